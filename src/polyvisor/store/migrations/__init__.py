"""The schema's history, by Alembic."""

from pathlib import Path

NEWEST = "0010"
"""The revision that this version of the program works on."""
FLOOR = "schema_floor"
"""The fact in the table `cloud` that says which revision a program must know at least: set by steps that take away."""
MORE: list[Path] = []
"""Folders with more steps than this package has."""
