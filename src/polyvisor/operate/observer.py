"""Watches one hypervisor and tells the engine: whole inventories on a period, single guests as they change."""

import logging
import queue
import threading
from collections.abc import Callable
from datetime import datetime

from polyvisor.hypervisor.driver import Driver, HypervisorError
from polyvisor.model.link import Glimpse, Inventory
from polyvisor.operate.link import Link

log = logging.getLogger(__name__)

_WHOLE = ""


class Observer:
    """One thread per connection; a hypervisor that hangs delays nobody else."""

    def __init__(self, link: Link, driver: Driver, clock: Callable[[], datetime], period_seconds: float) -> None:
        self._link, self._driver, self._clock, self._period = link, driver, clock, period_seconds
        self._due: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._stopping = False
        self.looked = threading.Event()
        """Set once the first inventory was handed in."""
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
        """Take a whole inventory at once instead of at the next period."""
        self._due.put(_WHOLE)

    def _loop(self) -> None:
        watching = False
        while not self._stopping:
            try:
                if not watching:
                    self._driver.watch(self._due.put)
                    watching = True
            except HypervisorError:
                pass  # the inventory below says what is wrong
            self._guarded(self._take_inventory)
            self.looked.set()
            self._serve_until(self._clock().timestamp() + self._period)

    def _serve_until(self, deadline: float) -> None:
        while not self._stopping:
            try:
                server_id = self._due.get(timeout=max(0.0, deadline - self._clock().timestamp()))
            except queue.Empty:
                return
            if server_id == _WHOLE:
                return
            self._guarded(lambda id=server_id: self._take_glimpse(id))  # type: ignore[misc]

    def _take_inventory(self) -> None:
        since = self._clock()
        place = self._driver.place
        try:
            found = Inventory(
                place=place, since=since, hosts=tuple(self._driver.hosts()), guests=tuple(self._driver.guests())
            )
        except HypervisorError as error:
            found = Inventory(place=place, since=since, unreachable=str(error) or type(error).__name__)
        except Exception as error:
            log.exception("looking at %s failed", place)
            sentence = f"An unexpected {type(error).__name__} occurred while it was looked at; the log has the details."
            found = Inventory(place=place, since=since, unreachable=sentence)
        self._link.inventory(found)

    def _take_glimpse(self, server_id: str) -> None:
        since = self._clock()
        try:
            guest = self._driver.look(server_id)
        except HypervisorError:
            return  # the next inventory tells
        self._link.glimpse(Glimpse(place=self._driver.place, since=since, server_id=server_id, guest=guest))

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception:
            log.exception("looking at %s failed; trying again at the next period", self._driver.place)
