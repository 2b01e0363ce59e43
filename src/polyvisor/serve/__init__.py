"""Wires the parts together: the one package that knows them all."""
