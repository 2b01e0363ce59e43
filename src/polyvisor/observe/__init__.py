"""Metrics, health and traces of a running process: what an operator's own tools read of it."""
