"""Speed on this machine: of metrics beside pysaliency, of methods, of networks of other sizes, and of clusters."""
