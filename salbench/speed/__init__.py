"""Speed on this machine: of the metric core beside pysaliency (`metrics`), and of methods (`methods`)."""
