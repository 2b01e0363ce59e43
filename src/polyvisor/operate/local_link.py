"""The link of workers that live in the engine's own process: no wire, the same words."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from polyvisor.model.link import Beat, Glimpse, Held, Hold, Inventory, Lease, PlaceState, Report, Role
from polyvisor.operate import inventory as inventories
from polyvisor.operate.engine import LEASE_SECONDS, Engine
from polyvisor.store.database import Database

HOLD_SECONDS = 10.0


class LocalLink:
    """A worker's way to the engine, by calls."""

    def __init__(self, database: Database, engine: Engine, owner: str, clock: Callable[[], datetime]) -> None:
        self._database, self._engine, self._owner, self._clock = database, engine, owner, clock
        self._something = f"worker:{owner}"
        self._seen: dict[str, int] = {}
        self._lock = threading.Lock()

    def exchange(
        self, places: tuple[str, ...], reports: list[Report], most: int, running: tuple[str, ...] = ()
    ) -> list[Lease]:
        """One turn of the engine with these reports."""
        with self._lock:
            for subject in (*places, self._something):
                self._seen[subject] = self._database.signals.count(subject)
        with self._database.write() as store:
            return self._engine.turn(store, self._clock(), owner=self._owner, places=places, reports=reports, most=most)

    def wait(self, places: tuple[str, ...], timeout_seconds: float) -> None:
        """Until a place was woken, or `poke`, or the next step here is due."""
        with self._database.read() as store:
            due = store.operation.next_due(places)
        if due is not None:
            timeout_seconds = min(timeout_seconds, max(0.0, (due - self._clock()).total_seconds()))
        with self._lock:
            seen = {subject: self._seen.get(subject, 0) for subject in (*places, self._something)}
        self._database.signals.wait_any(seen, timeout_seconds)

    def poke(self) -> None:
        """Something has ended here."""
        self._database.signals.wake(self._something)

    def beat(self, beat: Beat) -> Held:
        """Prolong, note progress, and look who was asked to stop."""
        now = self._clock()
        operation_ids = list(beat.running)
        with self._database.write() as store:
            store.operation.renew(operation_ids, self._owner, now + timedelta(seconds=LEASE_SECONDS))
            store.operation.note_progress(beat.progress)
            rows = store.operation.many(operation_ids)
        lost = frozenset(operation_ids) - rows.keys()
        stopped = lost | {row.id for row in rows.values() if row.cancelled or row.lease_owner != self._owner}
        holds = () if beat.leaving else tuple(_mine(place) for place in beat.places)
        return Held(holds=holds, stopped=tuple(sorted(stopped)))

    def note(self, place: str, epoch: int, notes: dict[str, str]) -> None:
        """The one process keeps its notes beside its data."""

    def inventory(self, found: Inventory) -> None:
        """Take a place's word about itself into the store."""
        with self._database.write() as store:
            inventories.take(store, self._engine.tools, found, self._clock())

    def glimpse(self, found: Glimpse) -> None:
        """Take a place's word about one guest into the store."""
        with self._database.write() as store:
            inventories.take_glimpse(store, found, self._clock())


def _mine(place: PlaceState) -> Hold:
    """There is no other process."""
    return Hold(place=place.name, role=Role.ACTIVE, lease_seconds=HOLD_SECONDS)
