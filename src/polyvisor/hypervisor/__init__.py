"""Hypervisor drivers: one folder each, behind one Protocol."""
