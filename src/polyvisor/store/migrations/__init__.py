"""The schema's history, by Alembic."""

NEWEST = "0003"
"""The revision that this version of the program works on."""
