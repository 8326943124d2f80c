"""Faults of every kind while many processes share the work; `make chaos-cluster`."""
