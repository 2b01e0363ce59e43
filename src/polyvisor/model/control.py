"""Control processes: each `serve` (or `up`) that schedules and runs operations, and when it last said so."""

from datetime import datetime, timedelta

from polyvisor.model.record import Record

SERVICES = ("nova-conductor", "nova-scheduler")
"""The services of Nova's that a control process stands for."""
ALIVE_FOR = timedelta(seconds=60)


class Control(Record):
    """A control process as the store has it."""

    id: int
    uuid: str
    name: str
    """Unique in the cloud: the machine's name, and whatever tells several processes on it apart."""
    started_at: datetime
    seen_at: datetime
    agent_urls: tuple[str, ...] = ()
    """Where agents reach it; empty where it serves none."""

    def alive(self, now: datetime) -> bool:
        """Whether it has been heard of lately."""
        return now - self.seen_at < ALIVE_FOR
