"""Watches one hypervisor and tells the engine: whole inventories on a period, single guests as they change.

Only the process that holds the place tells. A standby looks too, to keep its session warm and to know whether it could
serve, and keeps what it sees to itself.
"""

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

import msgspec

from polyvisor.hypervisor.driver import Driver, HypervisorError, Remembering
from polyvisor.model.guest import GuestReport
from polyvisor.model.link import Glimpse, Inventory
from polyvisor.operate.link import Link, LinkDown
from polyvisor.operate.turned_off import TurnedOff

log = logging.getLogger(__name__)

_WHOLE = ""
_FIRST_ANSWER_SECONDS = 0.5


class HoldsOf(Protocol):
    """What an observer asks of the table of holds."""

    answered: threading.Event

    def epoch(self, place: str) -> int | None:
        """The epoch under which the place is ours at this moment; None when it is not."""


class Observer:
    """One thread per connection; a hypervisor that hangs delays nobody else."""

    def __init__(
        self,
        link: Link,
        driver: Driver,
        clock: Callable[[], datetime],
        period_seconds: float,
        holds: HoldsOf,
        turned_off: TurnedOff | None = None,
    ) -> None:
        """`turned_off`: what the process's fence has turned off, where it has one."""
        self._link, self._driver, self._clock, self._period = link, driver, clock, period_seconds
        self._holds = holds
        self._turned_off = turned_off or TurnedOff()
        self._due: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._stopping = False
        self._watching = False
        self._noted: dict[str, str] = {}
        self._taken: int | None = None
        self.trouble = "It was not looked at yet."
        """Why the place could not be served now, in a sentence; empty when it could."""
        self.looked = threading.Event()
        """Set once the first look has ended, and was handed in where the place is ours."""
        self._thread = threading.Thread(target=self._loop, name=f"observe-{driver.place}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End within one call to the hypervisor."""
        self._stopping = True
        self._due.put(_WHOLE)
        self._thread.join(timeout=5)

    def look_now(self) -> None:
        """Look at the whole at once instead of at the next period."""
        self._due.put(_WHOLE)

    def recall(self, notes: Mapping[str, str]) -> None:
        """Take in what earlier processes have noted of the place."""
        if isinstance(self._driver, Remembering) and dict(notes) != self._noted:
            self._driver.recall(notes)
            self._noted = dict(notes)

    def _loop(self) -> None:
        while not self._stopping and not self._holds.answered.wait(_FIRST_ANSWER_SECONDS):
            pass  # what others have noted of the place comes with the first answer
        while not self._stopping:
            epoch = self._holds.epoch(self._driver.place)
            if epoch is not None and epoch != self._taken:
                self._guarded(lambda epoch=epoch: self._take_over(epoch))  # type: ignore[misc]
            self._watch()
            self._guarded(lambda epoch=epoch: self._look(epoch))  # type: ignore[misc]
            self.looked.set()
            self._serve_until(self._clock().timestamp() + self._period, epoch)

    def _watch(self) -> None:
        if self._watching:
            return
        try:
            self._driver.watch(self._due.put)
            self._watching = True
        except HypervisorError:
            pass  # the look tells what is wrong

    def _serve_until(self, deadline: float, epoch: int | None) -> None:
        while not self._stopping:
            try:
                server_id = self._due.get(timeout=max(0.0, deadline - self._clock().timestamp()))
            except queue.Empty:
                return
            if server_id == _WHOLE:
                return
            if epoch is not None and self._holds.epoch(self._driver.place) == epoch:
                self._guarded(lambda id=server_id: self._take_glimpse(id, epoch))  # type: ignore[misc]

    def _look(self, epoch: int | None) -> None:
        found = self._inventory(epoch)
        self.trouble = found.unreachable
        if epoch is None or self._holds.epoch(self._driver.place) != epoch:
            return
        self._note(epoch)
        self._link.inventory(found)
        self._turned_off.told(found.place, frozenset(str(guest.server_id) for guest in found.guests if guest.fenced))

    def _take_over(self, epoch: int) -> None:
        """Once for each hold: what the process before has open is ended, and what is this one's is noted."""
        try:
            if isinstance(self._driver, Remembering):
                self._driver.end_predecessor()
                self._note(epoch)
        except HypervisorError as error:
            log.warning("%s: what was open of the process before could not be ended yet: %s", self._driver.place, error)
            return
        self._taken = epoch

    def _inventory(self, epoch: int | None) -> Inventory:
        since = self._clock()
        place = self._driver.place
        try:
            hosts = tuple(self._driver.hosts())
            guests = self._marked(self._driver.guests()) if epoch is not None else ()
            return Inventory(place=place, epoch=epoch or 0, since=since, hosts=hosts, guests=guests)
        except HypervisorError as error:
            sentence = str(error) or type(error).__name__
        except Exception as error:
            log.exception("looking at %s failed", place)
            sentence = f"An unexpected {type(error).__name__} occurred while it was looked at; the log has the details."
        return Inventory(place=place, epoch=epoch or 0, since=since, unreachable=sentence)

    def _marked(self, guests: list[GuestReport]) -> tuple[GuestReport, ...]:
        fenced = self._turned_off.of(self._driver.place)
        return tuple(
            msgspec.structs.replace(each, fenced=True) if each.server_id in fenced else each for each in guests
        )

    def _note(self, epoch: int) -> None:
        """What must outlive this process is kept before anything that follows from it is told."""
        if not isinstance(self._driver, Remembering):
            return
        notes = self._driver.notes()
        if notes != self._noted:
            self._link.note(self._driver.place, epoch, notes)
            self._noted = notes

    def _take_glimpse(self, server_id: str, epoch: int) -> None:
        since = self._clock()
        try:
            guest = self._driver.look(server_id)
        except HypervisorError:
            return  # the next inventory tells
        if server_id in self._turned_off.of(self._driver.place):
            return  # likewise, and that it was turned off here
        self._link.glimpse(
            Glimpse(place=self._driver.place, epoch=epoch, since=since, server_id=server_id, guest=guest)
        )

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except LinkDown as error:
            log.info("what was seen at %s could not be handed in; it is looked at again: %s", self._driver.place, error)
        except Exception:
            log.exception("looking at %s failed; trying again at the next period", self._driver.place)
