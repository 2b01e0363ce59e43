"""The schema's history, by Alembic."""

NEWEST = "0004"
"""The revision that this version of the program works on."""
