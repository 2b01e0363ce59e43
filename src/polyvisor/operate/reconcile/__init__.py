"""Reconcilers: they read, compare and act, on a signal and on a period."""
