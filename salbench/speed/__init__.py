"""Speed on this machine: of the metric core beside pysaliency (`metrics`), and of networks (`networks`)."""
