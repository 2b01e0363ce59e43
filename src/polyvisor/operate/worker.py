"""A worker runs the steps of the places it holds: it leases them, runs them in threads, and reports how they ended."""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from polyvisor.hypervisor.driver import Driver, ImageSource
from polyvisor.model.link import Lease, Report
from polyvisor.operate.definition import Operation as Definition
from polyvisor.operate.holds import Holds
from polyvisor.operate.link import Link, LinkDown
from polyvisor.operate.step_run import StepRun, run_step
from polyvisor.operate.watch import UNWATCHED, Watch, running

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
MOST_PAUSE_SECONDS = 5.0
TAKE_BACK_SECONDS = 1.0

SourceFor = Callable[[StepRun], ImageSource]
"""Where the bytes of one step's image come from."""


class Worker:
    """Serves one or several drivers over one link. Steps of different operations run side by side."""

    def __init__(
        self,
        link: Link,
        drivers: Mapping[str, Driver],
        kinds: Mapping[str, Definition[Any]],
        source: SourceFor,
        clock: Callable[[], datetime],
        holds: Holds,
        threads: int = 16,
        look_seconds: float = LOOK_SECONDS,
        watch: Watch = UNWATCHED,
        chance: random.Random | None = None,
    ) -> None:
        self._link, self._drivers, self._kinds, self._source, self._clock = link, drivers, kinds, source, clock
        self._holds, self._threads, self._look_seconds, self._watch = holds, threads, look_seconds, watch
        self._chance = chance or random.Random()  # noqa: S311 - spreads retries
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="step")
        self._lock = threading.Lock()
        self._running: dict[str, StepRun] = {}
        self._ended: list[Report] = []
        self._handing_in: list[Report] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._lease_loop, name="worker-lease", daemon=True)

    def start(self) -> None:
        """Begin to serve, in threads of its own."""
        self._thread.start()

    def stop(self, patience_seconds: float = 10.0) -> bool:
        """Take no more steps, wait for those at work, and report them; whether all have ended.

        What takes longer is told to leave off, and is not reported: the next process does it again.
        """
        deadline = time.monotonic() + patience_seconds
        self._stopping.set()
        self._holds.nudge()
        self._link.poke()
        # First whoever begins steps: an exchange that is under way may bring some more.
        self._thread.join(timeout=max(0.1, deadline - time.monotonic()))
        while self._running and time.monotonic() < deadline:
            self._stopping_wait()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._hand_in()
        with self._lock:
            left = list(self._running.values())
        for at_work in left:
            at_work.abandon()
        return not left

    def _stopping_wait(self) -> None:
        time.sleep(0.02)

    def _hand_in(self) -> None:
        reports, known = self._take_ended()
        try:
            if reports:
                self._link.exchange((), reports, 0, known)
        except LinkDown as error:
            log.warning("the last reports could not be handed in, and are done again by the next: %s", error)

    # What the heartbeat tells and asks

    def at_work(self) -> dict[str, tuple[float, str] | None]:
        """The operations whose steps are at work here, with how far each is."""
        with self._lock:
            return {id: at_work.told for id, at_work in self._running.items()}

    def unreported(self) -> tuple[str, ...]:
        """The operations whose steps have ended here, and nobody has taken that in yet: nobody else is to do them."""
        with self._lock:
            return tuple({report.operation_id: None for report in (*self._handing_in, *self._ended)})

    def stop_steps(self, operation_ids: Iterable[str]) -> None:
        """These were asked to stop, or are another's."""
        with self._lock:
            told = [self._running[id] for id in operation_ids if id in self._running]
        for at_work in told:
            at_work.cancel()

    def lose(self, places: Iterable[str]) -> None:
        """These places are another's: their steps are left to it, and not reported."""
        lost = frozenset(places)
        with self._lock:
            for at_work in self._running.values():
                if at_work.lease.operation.place in lost:
                    at_work.abandon()
                    at_work.following = None

    # Leasing

    def _lease_loop(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            places = self._holds.active()
            reports, known = self._take_ended()
            if not places and not reports:
                self._holds.wait(self._look_seconds)
                continue
            try:
                leases = self._link.exchange(places, reports, self._free() if places else 0, known)
                failures = 0
                with self._lock:
                    self._handing_in = []
            except Exception as error:  # noqa: BLE001 - tried again, whatever it was
                self._say(error, failures)
                failures += 1
                with self._lock:
                    self._ended, self._handing_in = [*reports, *self._ended], []
                self._stopping.wait(self._pause_seconds(failures))
                continue
            for lease in leases:
                self._begin(lease)
            if not leases and not self._ended and not self._stopping.is_set():
                # Whoever can take nothing more waits for its own steps alone: what is due would wake it at once.
                self._wait(places if self._free() else ())

    def _wait(self, places: tuple[str, ...]) -> None:
        try:
            self._link.wait(places, self._look_seconds)
        except Exception as error:  # noqa: BLE001 - the exchange that follows tells
            log.debug("waiting for work was broken off: %s", error)
            self._stopping.wait(self._pause_seconds(1))

    def _pause_seconds(self, failures: int) -> float:
        """Full jitter: those that one server's end has cut off do not all come back at once."""
        return self._chance.uniform(0.0, min(MOST_PAUSE_SECONDS, 0.5 * 2.0 ** min(failures, 10)))

    def _say(self, error: Exception, failures: int) -> None:
        if not isinstance(error, LinkDown):
            log.error("the engine could not be reached; trying again", exc_info=error)
        elif not failures:
            log.warning("the engine could not be reached; trying again: %s", error)

    def _free(self) -> int:
        with self._lock:
            return self._threads - len(self._running)

    def _take_ended(self) -> tuple[list[Report], tuple[str, ...]]:
        """What has ended, and the ids of what has not."""
        with self._lock:
            ended, self._ended = self._ended, []
            self._handing_in = ended
            return ended, tuple(self._running)

    # Running

    def _begin(self, lease: Lease) -> None:
        with self._lock:
            at_work = self._running.get(lease.operation.id)
            if at_work is not None:
                at_work.lease_again(lease)
            else:
                self._submit(lease)

    def _submit(self, lease: Lease) -> None:
        row = lease.operation
        epoch = self._holds.epoch(row.place)
        if epoch is None:  # the hold ran out while the lease was on its way
            why = f"{row.place} was not held any more when the step was to begin."
            self._ended.append(StepRun(lease).report("again", seconds=TAKE_BACK_SECONDS, error=why))
            return
        at_work = StepRun(lease, lambda: self._holds.ensure(row.place, epoch))
        self._running[row.id] = at_work
        self._pool.submit(self._step, at_work)

    def _step(self, at_work: StepRun) -> None:
        row = at_work.lease.operation
        name = self._kinds[row.kind].steps[row.step].name
        with running(self._watch, row, name, undo=at_work.lease.undo) as noted:
            report = run_step(at_work, self._kinds, self._drivers[row.place], self._source(at_work), self._clock())
            noted.outcome = report.outcome
        with self._lock:
            self._running.pop(row.id, None)
            following = at_work.following
            if following is not None and not self._stopping.is_set():
                self._submit(following)
            elif not at_work.abandoned:
                # The lease may be a newer one than the step was begun under.
                self._ended.append(at_work.report(report.outcome, **_ending(report)))
        self._link.poke()


def _ending(report: Report) -> dict[str, Any]:
    return {"output": report.output, "seconds": report.seconds, "error": report.error}
