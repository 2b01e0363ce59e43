"""Choosing a host, or saying why none fits: pure functions over a table of hosts."""
