"""Host aggregates: hosts grouped by an administrator, with metadata that the scheduler reads."""

from datetime import datetime

from polyvisor.model.record import Record

ZONE_KEY = "availability_zone"
"""The metadata key that makes an availability zone of an aggregate."""
EVACUATE_KEY = "polyvisor:evacuate"
"""The metadata key that says whether servers are evacuated without being asked to: "automatic", else by hand."""
AUTOMATIC = "automatic"
EVACUATE_DISKS_KEY = "polyvisor:evacuate_local_disks"
"""The metadata key that lets an automatic evacuation make local disks anew, and lose what is on them: "rebuild"."""
REBUILD = "rebuild"


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
