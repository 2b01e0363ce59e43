"""Measurements: printed as counts and ratios of one run, never asserted."""
