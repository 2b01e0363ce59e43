"""The control loop of one process: runs control steps when there are any, and the reconcilers on their periods."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from polyvisor.model.operation import CONTROL
from polyvisor.operate.engine import Engine
from polyvisor.operate.kinds import PASSING
from polyvisor.operate.reconcile import forgotten_image, orphaned_claim
from polyvisor.operate.reconcile.port_filter import PortFilters
from polyvisor.operate.watchman import Watchman
from polyvisor.store.database import Database
from polyvisor.store.network_intent import SUBJECT as NETWORK
from polyvisor.store.outage import said_elsewhere, was_undone

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
SWEEP_SECONDS = 20.0
FILTER_SECONDS = 2.0
"""How long changes of networks are gathered before hosts that filter by themselves are told of them."""
ELSEWHERE_SECONDS = 0.05
BEAT_SECONDS = 20.0
PASSING_KEPT = timedelta(minutes=5)


class Controller:
    """A thread that turns the engine."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        clock: Callable[[], datetime],
        name: str,
        turned: Callable[[], None] = lambda: None,
        late_seconds: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`name` is the process's in the list of services; unique in the cloud. `turned` is told of each turn.

        `late_seconds`: for how long agents were let wait here since it was last asked, 0 where they were not.
        """
        self._turned = turned
        self._database, self._engine, self._clock, self._name = database, engine, clock, name
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="controller", daemon=True)
        self._sweep_at = self._beat_at = self._filter_at = clock()
        self._filtered = 0
        self._watchman = Watchman(database, engine.tools, late_seconds)
        self._filters = PortFilters()

    def start(self) -> None:
        """Begin."""
        with self._database.write() as store:
            store.control.start(self._name, uuid=self._engine.tools.new_id(), now=self._clock())
        self._thread.start()

    def stop(self) -> None:
        """End after the turn that is under way."""
        self._stopping.set()
        self._database.signals.wake(CONTROL)
        self._thread.join(timeout=10)

    def _loop(self) -> None:
        while not self._stopping.is_set():
            self._turned()
            seen = self._database.signals.count(CONTROL)
            try:
                self._turn()
                self._watchman.look(self._clock())
                self._sweep_when_due()
                self._filter_when_networks_changed()
                self._beat_when_due()
                pause = self._pause_seconds()
            except Exception as error:
                if not said_elsewhere(error):
                    log.exception("a turn of the engine failed; trying again")
                pause = 0.1 if was_undone(error) else 1.0
            self._database.signals.wait(CONTROL, seen, pause)

    def _turn(self) -> None:
        with self._database.write() as store:
            self._engine.turn(store, self._clock())

    def _pause_seconds(self) -> float:
        with self._database.read() as store:
            due = store.operation.next_due([CONTROL])
        if due is None:
            return LOOK_SECONDS
        # What is due and was not done is in another process's hands at this moment.
        return min(LOOK_SECONDS, max(ELSEWHERE_SECONDS, (due - self._clock()).total_seconds()))

    def _beat_when_due(self) -> None:
        """Say that this process lives."""
        now = self._clock()
        if now >= self._beat_at:
            self._beat_at = now + timedelta(seconds=BEAT_SECONDS)
            with self._database.write() as store:
                store.control.beat(self._name, now)

    def _filter_when_networks_changed(self) -> None:
        """Until a host is told it lets through what a security group no longer does: that is not left to the sweep."""
        now, changes = self._clock(), self._database.signals.count(NETWORK)
        if changes == self._filtered or now < self._filter_at:
            return
        self._filtered, self._filter_at = changes, now + timedelta(seconds=FILTER_SECONDS)
        with self._database.write() as store:
            if store.only_one("controller.sweep"):
                self._filters.sweep(store, now, self._engine.tools.new_id)

    def _sweep_when_due(self) -> None:
        now = self._clock()
        if now < self._sweep_at:
            return
        self._sweep_at = now + timedelta(seconds=SWEEP_SECONDS)
        with self._database.write() as store:
            if not store.only_one("controller.sweep"):
                return  # another process is at it
            orphaned_claim.sweep(store)
            forgotten_image.sweep(store, now, self._engine.tools.new_id)
            self._filters.sweep(store, now, self._engine.tools.new_id)
            store.operation.forget(PASSING, now - PASSING_KEPT)
            keep = timedelta(hours=self._engine.tools.compute.purge_after_hours)
            purged = store.server.purge(now - keep)
            store.operation.forget_targets(purged)
            store.migration.forget_servers(purged)
