"""What passes between the engine and those who run steps at hosts, in one process or over HTTPS."""

from datetime import datetime
from typing import Any, Protocol

from polyvisor.hypervisor.driver import GuestReport
from polyvisor.model.host import HostReport
from polyvisor.model.operation import Operation
from polyvisor.model.record import Record


class Lease(Record):
    """One step to run, in the hands of one worker until the lease runs out."""

    operation: Operation
    undo: bool
    """Run the step's undo, not the step."""


class Report(Record):
    """How a leased step ended."""

    operation_id: str
    epoch: int
    """The lease's: an older one is refused."""
    outcome: str
    """"done", "again", "failed" or "unreachable"."""
    output: Any = None
    seconds: float = 0.0
    error: str = ""


class Inventory(Record):
    """What a place says of all its hosts and guests, or why it cannot."""

    place: str
    since: datetime
    """When the look began: what the store learned later is newer."""
    unreachable: str = ""
    """A sentence; empty when the hypervisor answered."""
    hosts: tuple[HostReport, ...] = ()
    guests: tuple[GuestReport, ...] = ()


class Glimpse(Record):
    """What a place says of one guest, right after a change."""

    place: str
    since: datetime
    server_id: str
    guest: GuestReport | None


class Link(Protocol):
    """A worker's way to the engine."""

    def exchange(self, places: tuple[str, ...], reports: list[Report], most: int) -> list[Lease]:
        """Hand in what has ended, and take up to `most` new steps for `places`, in one transaction."""

    def wait(self, places: tuple[str, ...], timeout_seconds: float) -> None:
        """Return when there may be something new for `places` (or `poke` was called), or the time is out."""

    def poke(self) -> None:
        """End a `wait` that is under way: a step has ended here."""

    def renew(self, operation_ids: list[str], progress: dict[str, tuple[float, str]]) -> frozenset[str]:
        """Prolong leases, and tell how far they are; returns the ids that were asked to stop."""

    def inventory(self, found: Inventory) -> None:
        """Hand in what a place says of itself."""

    def glimpse(self, found: Glimpse) -> None:
        """Hand in what a place says of one guest."""
