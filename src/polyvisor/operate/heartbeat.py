"""Says every few seconds that this process lives, and passes on what the answer says of its places."""

import logging
import random
import threading
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Protocol

from polyvisor.model.link import Beat, Held, Hold, PlaceState, Role
from polyvisor.operate.holds import Changed, Holds
from polyvisor.operate.link import Link, LinkDown, LinkRefused
from polyvisor.operate.worker import Worker

log = logging.getLogger(__name__)

BEAT_SECONDS = 2.5
REFUSED_SECONDS = 30.0


class Place(Protocol):
    """What the heartbeat needs to know of a place, and tells it."""

    @property
    def trouble(self) -> str:
        """Why the place could not be served now; empty when it could."""

    def recall(self, notes: Mapping[str, str]) -> None:
        """What earlier processes have noted of the place."""

    def look_now(self) -> None:
        """The place was gained or lost."""


class Heartbeat:
    """A thread of its own, so that no step and no hypervisor can hold it up."""

    def __init__(
        self,
        link: Link,
        holds: Holds,
        worker: Worker,
        places: Mapping[str, Place],
        driver_kinds: Mapping[str, str],
        steady: Callable[[], float],
        chance: random.Random | None = None,
    ) -> None:
        self._link, self._holds, self._worker, self._places = link, holds, worker, places
        self._driver_kinds, self._steady = driver_kinds, steady
        self._chance = chance or random.Random()  # noqa: S311 - spreads beats
        self._stopping = threading.Event()
        self._failures = 0
        self._next_free = BEAT_SECONDS
        self.trouble = ""
        """Why the last beat was not answered; empty when it was."""
        self.tried_at = steady()
        """When the last beat was sent, answered or not."""
        self._thread = threading.Thread(target=self._loop, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and give the places back, so that another takes them at once."""
        self._stopping.set()
        self._thread.join(timeout=BEAT_SECONDS)
        try:
            self._link.beat(Beat(places=self._states(), leaving=True))
        except Exception as error:  # noqa: BLE001 - they run out by themselves
            log.info("the places could not be given back, and run out by themselves: %s", error)
        self._tell(self._holds.take(Held(), self._steady()))

    def _loop(self) -> None:
        while not self._stopping.is_set():
            refused = self._beat()
            self._stopping.wait(self._pause_seconds(refused=refused))

    def _pause_seconds(self, *, refused: bool) -> float:
        """Until the next beat; a standby beats as soon as another's hold has run out, to take the place over."""
        if refused:
            return REFUSED_SECONDS * self._chance.uniform(0.5, 1.0)
        pause = BEAT_SECONDS * self._chance.uniform(0.9, 1.0)
        return pause if self._failures else min(pause, self._next_free + self._chance.uniform(0.05, 0.25))

    def _beat(self) -> bool:
        """One beat; whether it was refused for good."""
        sent_at = self.tried_at = self._steady()
        at_work = self._worker.at_work()
        progress = {id: told for id, told in at_work.items() if told is not None}
        try:
            # What has ended, and could not be handed in yet, stays ours: it would be done again.
            running = tuple(dict.fromkeys((*at_work, *self._worker.unreported())))
            held = self._link.beat(Beat(places=self._states(), running=running, progress=progress))
        except Exception as error:  # noqa: BLE001 - the next beat tries again, whatever it was
            self._failed(error)
            return isinstance(error, LinkRefused)
        if self._failures:
            log.info("the engine answers again")
        self._failures, self.trouble = 0, ""
        self._next_free = min((hold.lease_seconds for hold in held.holds if _may_free(hold)), default=BEAT_SECONDS)
        for hold in held.holds:
            if hold.notes and hold.place in self._places:
                self._places[hold.place].recall(hold.notes)
        changed = self._holds.take(held, sent_at)
        self._tell(changed)
        self._worker.stop_steps([id for id in held.stopped if id in at_work])
        standby = {hold.place for hold in held.holds if hold.role is Role.STANDBY}
        self._give_up(standby.intersection(changed.lost))
        return False

    def _give_up(self, names: Set[str]) -> None:
        """Say of places that were ours, and are to be another's, that we have let go: nobody has to wait for it."""
        if not names:
            return
        try:
            self._link.beat(Beat(places=tuple(state for state in self._states() if state.name not in names)))
        except Exception as error:  # noqa: BLE001 - they run out by themselves
            log.info("%s could not be given up, and run out by themselves: %s", ", ".join(sorted(names)), error)

    def _failed(self, error: Exception) -> None:
        self.trouble = str(error) or type(error).__name__
        if not isinstance(error, LinkDown):
            log.error("a beat failed; trying again", exc_info=error)
        elif not self._failures:
            log.warning("%s", error)
        self._failures += 1

    def _tell(self, changed: Changed) -> None:
        self._worker.lose(changed.lost)
        for name in changed.lost:
            if name not in changed.gained:
                log.info("%s is served by another process now, or by none", name)
        for name in changed.gained:
            log.info("this process serves %s from now on", name)
        self._look(changed.gained)
        self._look(name for name in changed.lost if name not in changed.gained)
        if changed.gained:
            self._link.poke()

    def _look(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self._places:
                self._places[name].look_now()

    def _states(self) -> tuple[PlaceState, ...]:
        return tuple(
            PlaceState(name=name, driver=self._driver_kinds.get(name, ""), trouble=place.trouble)
            for name, place in self._places.items()
        )


def _may_free(hold: Hold) -> bool:
    """Whether the place may become ours: `lease_seconds` is what is left of another's hold."""
    return hold.role is Role.STANDBY and hold.lease_seconds > 0
