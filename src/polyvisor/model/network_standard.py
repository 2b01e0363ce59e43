"""What every record of the Networking API has: Neutron's standard attributes."""

from datetime import datetime

from polyvisor.model.record import Record


class Standard(Record):
    """The standard attributes, by Neutron's names."""

    id: str
    project_id: str
    name: str = ""
    description: str = ""
    created_at: datetime
    updated_at: datetime
    revision_number: int = 0
    """Grows by one with each change."""
    tags: tuple[str, ...] = ()
