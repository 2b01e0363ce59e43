"""Hears guests that ask 169.254.169.254 about themselves: a namespace for each network, one process for them all."""
