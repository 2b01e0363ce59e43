"""A worker's way to the engine: by calls in one process, over HTTPS from an agent."""

from typing import Protocol

from polyvisor.model.link import Beat, Glimpse, Held, Inventory, Lease, Report


class LinkDown(Exception):
    """The engine cannot be reached now, in a sentence; the link has tried every way it knows."""


class LinkRefused(LinkDown):
    """The engine does not take this worker (its certificate was revoked): trying again soon is of no use."""


class Link(Protocol):
    """A worker's way to the engine."""

    def exchange(
        self, places: tuple[str, ...], reports: list[Report], most: int, running: tuple[str, ...] = ()
    ) -> list[Lease]:
        """Hand in what has ended, and take up to `most` new steps for `places`, in one transaction.

        Places that this process does not hold are given no steps. `running`: ids of the operations whose leases it
        knows; a lease whose hand-over was lost on the way is not among them, and is handed over again.
        """

    def wait(self, places: tuple[str, ...], timeout_seconds: float) -> None:
        """Return when there may be something new for `places` (or `poke` was called), or the time is out."""

    def poke(self) -> None:
        """End a `wait` that is under way: a step has ended here."""

    def beat(self, beat: Beat) -> Held:
        """Take or keep the places, prolong the leases of running steps, and hear who was asked to stop."""

    def note(self, place: str, epoch: int, notes: dict[str, str]) -> None:
        """Have kept what the next process to serve the place must remember (`Hold.notes`), under the hold's epoch."""

    def inventory(self, found: Inventory) -> None:
        """Hand in what a place says of itself."""

    def glimpse(self, found: Glimpse) -> None:
        """Hand in what a place says of one guest."""
