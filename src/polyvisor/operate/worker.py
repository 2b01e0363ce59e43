"""A worker runs the steps of its places: it leases them, runs them in threads, and reports how they ended."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import msgspec

from polyvisor.hypervisor.driver import Cancelled, Driver, HypervisorError, ImageSource, Unreachable
from polyvisor.model.link import Beat, Lease, PlaceState, Report
from polyvisor.operate import progress
from polyvisor.operate.definition import Again, Run
from polyvisor.operate.definition import Operation as Definition
from polyvisor.operate.engine import STOPPED, describe
from polyvisor.operate.link import Link
from polyvisor.operate.watch import UNWATCHED, Watch, running

log = logging.getLogger(__name__)

RENEW_SECONDS = 5.0
LOOK_SECONDS = 5.0


class Worker:
    """Serves one or several drivers over one link. Steps of different operations run side by side."""

    def __init__(
        self,
        link: Link,
        drivers: Mapping[str, Driver],
        kinds: Mapping[str, Definition[Any]],
        source: ImageSource,
        clock: Callable[[], datetime],
        threads: int = 16,
        watch: Watch = UNWATCHED,
    ) -> None:
        self._link, self._drivers, self._kinds, self._source, self._clock = link, drivers, kinds, source, clock
        self._threads = threads
        self._watch = watch
        self._places = tuple(drivers)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="step")
        self._lock = threading.Lock()
        self._running: dict[str, _Progress] = {}
        self._ended: list[Report] = []
        self._stopping = threading.Event()
        self._loops: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to serve, in threads of its own."""
        for name, loop in (("lease", self._lease_loop), ("renew", self._renew_loop)):
            thread = threading.Thread(target=loop, name=f"worker-{name}", daemon=True)
            thread.start()
            self._loops.append(thread)

    def stop(self, patience_seconds: float = 10.0) -> bool:
        """Take no more steps, wait for those at work, and report them; whether all have ended.

        What takes longer is told to leave off, and is not reported: the next process does it again.
        """
        deadline = time.monotonic() + patience_seconds
        self._stopping.set()
        self._link.poke()
        while self._running and time.monotonic() < deadline:
            self._stopping_wait()
        for thread in self._loops:
            thread.join(timeout=max(0.1, deadline - time.monotonic()))
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._hand_in()
        with self._lock:
            left = list(self._running.values())
        for told in left:
            told.abandon()
        return not left

    def _stopping_wait(self) -> None:
        time.sleep(0.02)

    def _hand_in(self) -> None:
        reports = self._take_ended()
        if reports:
            self._link.exchange(self._places, reports, 0)

    def _lease_loop(self) -> None:
        while not self._stopping.is_set():
            reports = self._take_ended()
            try:
                leases = self._link.exchange(self._places, reports, self._free())
            except Exception:
                log.exception("the engine could not be reached; trying again")
                with self._lock:
                    self._ended = [*reports, *self._ended]
                self._stopping.wait(1.0)
                continue
            for lease in leases:
                self._begin(lease)
            if not leases and not self._ended:
                self._link.wait(self._places, LOOK_SECONDS)

    def _free(self) -> int:
        with self._lock:
            return self._threads - len(self._running)

    def _take_ended(self) -> list[Report]:
        with self._lock:
            ended, self._ended = self._ended, []
            return ended

    def _begin(self, lease: Lease) -> None:
        told = _Progress()
        with self._lock:
            self._running[lease.operation.id] = told
        self._pool.submit(self._step, lease, told)

    def _step(self, lease: Lease, told: "_Progress") -> None:
        row = lease.operation
        with running(self._watch, row, self._kinds[row.kind].steps[row.step].name, undo=lease.undo) as noted:
            report = self._run(lease, told)
            noted.outcome = report.outcome
        with self._lock:
            self._running.pop(lease.operation.id, None)
            if not told.abandoned:
                self._ended.append(report)
        self._link.poke()

    def _run(self, lease: Lease, told: "_Progress") -> Report:
        row = lease.operation
        kind = self._kinds[row.kind]
        step = kind.steps[row.step]
        base = Report(operation_id=row.id, epoch=row.lease_epoch, outcome="done")
        try:
            run = Run(
                row,
                kind.args(row),
                progress.outputs(row),
                self._clock(),
                driver=self._drivers[row.place],
                source=self._source,
                progress=told,
            )
            result = (step.undo_step(run) if step.undo_step else None) if lease.undo else step.do(run)
            if isinstance(result, Again):
                return msgspec.structs.replace(base, outcome="again", seconds=result.seconds)
            return msgspec.structs.replace(base, output=msgspec.to_builtins(result))
        except Unreachable as error:
            return msgspec.structs.replace(base, outcome="unreachable", error=str(error))
        except Cancelled:
            return msgspec.structs.replace(base, outcome="failed", error=STOPPED)
        except HypervisorError as error:
            return msgspec.structs.replace(base, outcome="failed", error=str(error))
        except Exception as error:
            log.exception("step %s of operation %s (%s) failed", step.name, row.id, row.kind)
            return msgspec.structs.replace(base, outcome="failed", error=describe(error))

    def _renew_loop(self) -> None:
        while not self._stopping.wait(RENEW_SECONDS):
            with self._lock:
                running = dict(self._running)
            if not running:
                continue
            try:
                told = {id: p.told for id, p in running.items() if p.told}
                held = self._link.beat(Beat(places=self._states(), running=tuple(running), progress=told))
            except Exception:
                log.exception("leases could not be renewed; trying again")
                continue
            for id in held.stopped:
                if id in running:
                    running[id].cancel()

    def _states(self) -> tuple[PlaceState, ...]:
        return tuple(PlaceState(name=place, driver="") for place in self._places)


class _Progress:
    """How far a step is, and whether it was asked to stop."""

    def __init__(self) -> None:
        self.told: tuple[float, str] | None = None
        self.abandoned = False
        self._cancelled = False

    def __call__(self, fraction: float, what: str) -> None:
        self.told = (fraction, what)
        if self._cancelled:
            raise Cancelled

    def cancel(self) -> None:
        """Stop at the step's next word about its progress."""
        self._cancelled = True

    def abandon(self) -> None:
        """Stop likewise, and leave the step to whoever leases it next."""
        self.abandoned = self._cancelled = True
