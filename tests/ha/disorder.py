"""A link on which what is sent arrives twice, late, in another order, or not at all; a seed decides which."""

import random
import threading
from collections.abc import Callable
from typing import TypeVar

from polyvisor.model.agent import Party
from polyvisor.model.errors import Conflict
from polyvisor.model.link import Beat, Exchange, Glimpse, Held, Inventory, Lease, Report
from polyvisor.operate.gate import Gate
from polyvisor.operate.link import LinkDown

T = TypeVar("T")
MOST_KEPT = 64


class DisorderedLink:
    """A worker's way to a gate, as a bad network would make it."""

    def __init__(self, gate: Gate, owner: str, seed: int, rate: float) -> None:
        """`rate`: the share (0 to 1) of messages to which each of the mishaps happens."""
        self._gate, self._party = gate, Party(session=owner)
        self._chance = random.Random(seed)
        self._rate = rate
        self._lock = threading.Lock()
        self._old_reports: list[Report] = []
        self._old_inventories: list[Inventory] = []
        self._poked = threading.Event()
        self.mishaps: dict[str, int] = {}

    def exchange(
        self, places: tuple[str, ...], reports: list[Report], most: int, running: tuple[str, ...] = ()
    ) -> list[Lease]:
        """With the reports come old ones once more, in any order. The request may be lost, and so may its answer."""
        sent = [*reports, *self._again()]
        with self._lock:
            self._chance.shuffle(sent)
            self._old_reports = [*self._old_reports, *reports][-MOST_KEPT:]
        asked = Exchange(places=places, reports=tuple(sent), most=most, recover=True, running=running)
        return self._send("exchange", lambda: self._gate.exchange(self._party, asked))

    def _again(self) -> list[Report]:
        with self._lock:
            known = list(self._old_reports)
        again = [report for report in known if self._happens("reports sent twice")]
        return again + [report for report in again if self._happens("reports sent three times")]

    def wait(self, places: tuple[str, ...], timeout_seconds: float) -> None:
        """Not for long: no server tells anything on this link."""
        self._poked.wait(min(timeout_seconds, 0.02))
        self._poked.clear()

    def poke(self) -> None:
        """Something has ended here."""
        self._poked.set()

    def beat(self, beat: Beat) -> Held:
        """May be lost, on either way."""
        return self._send("beat", lambda: self._gate.beat(self._party, beat))

    def note(self, place: str, epoch: int, notes: dict[str, str]) -> None:
        """Passed on."""
        self._gate.note(self._party, place, epoch, notes)

    def inventory(self, found: Inventory) -> None:
        """Now and then an old one arrives after the new one."""
        self._send("inventory", lambda: self._gate.inventory(self._party, found))
        with self._lock:
            self._old_inventories = [*self._old_inventories, found][-MOST_KEPT:]
            old = self._chance.choice(self._old_inventories)
        if self._happens("inventories delayed"):
            self._gate.inventory(self._party, old)

    def glimpse(self, found: Glimpse) -> None:
        """Sometimes twice."""
        for _ in range(2 if self._happens("glimpses sent twice") else 1):
            self._gate.glimpse(self._party, found)

    def _send(self, what: str, act: Callable[[], T]) -> T:
        if self._happens(f"{what} lost"):
            raise LinkDown("The request was lost on its way.")
        try:
            answer = act()
        except Conflict as error:
            raise LinkDown(error.sentence) from error
        if self._happens(f"answer to {what} lost"):
            raise LinkDown("The answer was lost on its way.")
        return answer

    def _happens(self, what: str) -> bool:
        with self._lock:
            hit = self._chance.random() < self._rate
            if hit:
                self.mishaps[what] = self.mishaps.get(what, 0) + 1
        return hit
