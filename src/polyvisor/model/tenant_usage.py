"""What a server used over a span of time: its size, and for how long."""

from datetime import datetime

from polyvisor.model.record import Record

_HOUR_SECONDS = 3600


class ServerUsage(Record):
    """One server's part in its project's usage."""

    server_id: str
    name: str
    project_id: str
    flavor_name: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    """Root and ephemeral disk together."""
    state: str
    """Its vm_state."""
    started_at: datetime
    ended_at: datetime | None

    def hours(self, start: datetime, end: datetime) -> float:
        """How long it was there between `start` and `end`, in hours."""
        first = max(self.started_at, start)
        last = end if self.ended_at is None else min(self.ended_at, end)
        return max(0.0, (last - first).total_seconds() / _HOUR_SECONDS)
