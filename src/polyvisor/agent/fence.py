"""Turns a place's guests off when this agent was cut off for as long as the place's policy allows: they are started
elsewhere then, and must not run twice.

What was promised is kept in a file, so that an agent that is started anew while cut off keeps the promise too; and so
is what was turned off, until the cloud, which may not have started it elsewhere yet, has heard of it.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from polyvisor.agent.private_file import write_private
from polyvisor.hypervisor.driver import Driver, HypervisorError
from polyvisor.model.power import Power
from polyvisor.model.record import Record
from polyvisor.operate.holds import Holds
from polyvisor.operate.turned_off import TurnedOff

log = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
GRACE_SECONDS = 15.0
"""For so long after its start an agent that finds an old promise waits for the first answer."""


class Promise(Record):
    """That a place's guests are off so long after the last answer."""

    answered_at: float
    """On the steady clock of this start of the machine."""
    fence_seconds: float


class _Kept(Record):
    boot_id: str
    promises: dict[str, Promise] = {}
    turned_off: dict[str, tuple[str, ...]] = {}
    """Ids of servers, by place."""


class Fence:
    """A thread that counts the silence."""

    def __init__(
        self,
        holds: Holds,
        drivers: Mapping[str, Driver],
        steady: Callable[[], float],
        file: Path,
        boot_id: str,
        turned_off: TurnedOff | None = None,
    ) -> None:
        """`boot_id`: of this start of the machine; guests have not outlived another."""
        self._holds, self._drivers, self._steady = holds, drivers, steady
        self._file, self._boot_id = file, boot_id
        self._turned_off = turned_off or TurnedOff()
        self._promises = self._read()
        self._written = (dict(self._promises), self._turned_off.all())
        self._started_at = steady()
        self._fenced: set[str] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="fence", daemon=True)

    @property
    def fenced(self) -> frozenset[str]:
        """The places whose guests were turned off."""
        return frozenset(self._fenced)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and keep what was promised: an agent that ends is no reason to let guests run twice."""
        self._stopping.set()
        self._thread.join(timeout=5)

    def _loop(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            try:
                self.look()
            except Exception:
                log.exception("the fence could not look; it looks again")

    def look(self) -> None:
        """Take in what was heard, and turn off what is due."""
        if self._holds.answered.is_set():
            self._hear()
        elif self._steady() - self._started_at < GRACE_SECONDS:
            return  # just started: the cloud is asked first
        for place, promise in self._promises.items():
            silent = self._steady() - promise.answered_at
            if silent < promise.fence_seconds or place in self._fenced or place not in self._drivers:
                continue
            if self._turn_off(place, silent):
                self._fenced.add(place)

    def _hear(self) -> None:
        """A place that is ours renews its promise; one that the cloud says is another's has none any more."""
        held = self._holds.held()
        said = self._holds.roles()
        for place in list(self._promises):
            if place in said and place not in held:
                del self._promises[place]
        for place, ours in held.items():
            before = self._promises.get(place)
            if before is not None and ours.answered_at > before.answered_at and place in self._fenced:
                self._fenced.discard(place)
                log.warning(
                    "the cloud answers again: the guests of %s, which were turned off, are started again", place
                )
            if ours.fence_seconds > 0:
                self._promises[place] = Promise(answered_at=ours.answered_at, fence_seconds=ours.fence_seconds)
            else:
                self._promises.pop(place, None)
        self._write()

    def _turn_off(self, place: str, silent_seconds: float) -> bool:
        """Turn every guest of ours off; whether all are."""
        driver = self._drivers[place]
        try:
            guests = [guest for guest in driver.guests() if guest.server_id is not None]
            running = [guest for guest in guests if guest.power not in (Power.OFF, Power.SUSPENDED)]
            if not running:
                log.warning("%s: cut off for %.0f s; none of its guests runs", place, silent_seconds)
                return True
            log.error(
                "%s: cut off from the cloud for %.0f s, so its %d guests are turned off: they are started elsewhere",
                place, silent_seconds, len(running),
            )  # fmt: skip
            for guest in running:
                if guest.power is Power.ON:
                    self._turned_off.add(place, guest.server_id or "")
                self._turn_one_off(driver, guest.server_id or "")
            self._write()
        except HypervisorError as error:
            log.error("%s: its guests could not be turned off, which is tried again: %s", place, error)
        return False  # looked at once more: what was asked for has to be so

    def _turn_one_off(self, driver: Driver, server_id: str) -> None:
        try:
            driver.set_power(server_id, Power.OFF)
        except HypervisorError as error:
            log.error("the guest of server %s could not be turned off, which is tried again: %s", server_id, error)

    def _read(self) -> dict[str, Promise]:
        try:
            kept = msgspec.json.decode(self._file.read_bytes(), type=_Kept)
        except (OSError, msgspec.MsgspecError):
            return {}
        if kept.boot_id != self._boot_id:
            return {}
        for place, ids in kept.turned_off.items():
            for id in ids:
                self._turned_off.add(place, id)
        return dict(kept.promises)

    def _write(self) -> None:
        now = (dict(self._promises), self._turned_off.all())
        if now == self._written:
            return
        kept = _Kept(boot_id=self._boot_id, promises=now[0], turned_off=now[1])
        try:
            write_private(self._file, msgspec.json.encode(kept), durable=False)  # a loss of power ends the guests too
        except OSError as error:  # the promise holds all the same, for as long as this process lives
            log.error("what was promised of the guests could not be written to %s: %s", self._file, error)
        self._written = now


def boot_id() -> str:
    """Another at each start of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
