"""What the agent counts, for Prometheus; everything is read when it is asked for."""
