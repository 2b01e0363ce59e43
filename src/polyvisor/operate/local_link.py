"""The link of workers that live in the engine's own process: no wire, the same gate."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from polyvisor.model.agent import Party
from polyvisor.model.link import Beat, Exchange, Glimpse, Held, Inventory, Lease, Report
from polyvisor.operate.gate import Gate
from polyvisor.operate.link import LinkDown
from polyvisor.store.outage import said_elsewhere

ELSEWHERE_SECONDS = 0.05
"""A step that is due and was not leased is in another process's hands at this moment."""


@contextmanager
def _reaching() -> Iterator[None]:
    """A database that is away is, to a worker, an engine that cannot be reached: it tries again, and says so once."""
    try:
        yield
    except Exception as error:
        if said_elsewhere(error):
            raise LinkDown("The database does not answer, or gave way to another transaction.") from error
        raise


class LocalLink:
    """A worker's way to the engine, by calls."""

    def __init__(self, gate: Gate, owner: str, clock: Callable[[], datetime]) -> None:
        """`owner`: the name under which this process holds places, such as "up:…"; up to 64 characters."""
        self._gate, self._clock = gate, clock
        self._party = Party(session=owner)
        self._something = f"worker:{owner}"
        self._seen: dict[str, int] = {}
        self._lock = threading.Lock()

    def exchange(
        self, places: tuple[str, ...], reports: list[Report], most: int, running: tuple[str, ...] = ()
    ) -> list[Lease]:
        """One turn of the engine with these reports. Nothing is lost on the way, so nothing is handed over again."""
        signals = self._gate.database.signals
        with self._lock:
            for subject in (*places, self._something):
                self._seen[subject] = signals.count(subject)
        with _reaching():
            return self._gate.exchange(self._party, Exchange(places=places, reports=tuple(reports), most=most))

    def wait(self, places: tuple[str, ...], timeout_seconds: float) -> None:
        """Until a place was woken, or `poke`, or the next step here is due."""
        with _reaching(), self._gate.database.read() as store:
            due = store.operation.next_due(places)
        if due is not None:
            timeout_seconds = min(timeout_seconds, max(ELSEWHERE_SECONDS, (due - self._clock()).total_seconds()))
        with self._lock:
            seen = {subject: self._seen.get(subject, 0) for subject in (*places, self._something)}
        self._gate.database.signals.wait_any(seen, timeout_seconds)

    def poke(self) -> None:
        """Something has ended here."""
        self._gate.database.signals.wake(self._something)

    def beat(self, beat: Beat) -> Held:
        """Take or keep the places, prolong, note progress, and hear who was asked to stop."""
        with _reaching():
            return self._gate.beat(self._party, beat)

    def note(self, place: str, epoch: int, notes: dict[str, str]) -> None:
        """Have kept what the next process to serve the place must remember."""
        with _reaching():
            self._gate.note(self._party, place, epoch, notes)

    def inventory(self, found: Inventory) -> None:
        """Take a place's word about itself into the store."""
        with _reaching():
            self._gate.inventory(self._party, found)

    def glimpse(self, found: Glimpse) -> None:
        """Take a place's word about one guest into the store."""
        with _reaching():
            self._gate.glimpse(self._party, found)
