"""Regions: where endpoints are."""

from polyvisor.model.record import Record


class Region(Record):
    """A region as the store has it."""

    id: str
    name: str | None = None
    description: str = ""
    parent_id: str | None = None
