"""Compute v2.1: servers and all that belongs to them."""
