"""Host aggregates: hosts grouped by an administrator, with metadata that the scheduler reads."""

from datetime import datetime

from polyvisor.model.record import Record

ZONE_KEY = "availability_zone"
"""The metadata key that makes an availability zone of an aggregate."""


class Aggregate(Record):
    """An aggregate as the store has it."""

    id: int
    uuid: str
    name: str
    metadata: dict[str, str] = {}
    hosts: tuple[str, ...] = ()
    """Names of its hosts, in the order in which they were added."""
    created_at: datetime
    updated_at: datetime | None = None

    @property
    def zone(self) -> str | None:
        """The availability zone that its hosts are in; None where it makes none."""
        return self.metadata.get(ZONE_KEY)
