"""The engine: one turn takes reports in, runs what is due at control, and leases out the rest, in one transaction."""

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from polyvisor.model.errors import NoHost, PolyvisorError
from polyvisor.model.link import Lease, Report
from polyvisor.model.operation import CONTROL, LOST, Operation, OperationState
from polyvisor.model.record import Record
from polyvisor.operate import progress
from polyvisor.operate.definition import Again, Restart, Run
from polyvisor.operate.definition import Operation as Definition
from polyvisor.operate.tools import ControlTools
from polyvisor.operate.watch import about, running, tell
from polyvisor.store.outage import is_busy, is_outage, was_undone
from polyvisor.store.store import Store

log = logging.getLogger(__name__)

LEASE_SECONDS = 30.0
MOST_AT_ONCE = 128
MOST_REASONS = 200
STOPPED = "The operation was asked to stop."
_NOBODY = ("", LOST)
_ENDED = (OperationState.DONE, OperationState.FAILED)


class Engine:
    """Moves operations on. It keeps nothing in memory between turns: all it knows is in the store."""

    def __init__(self, kinds: Mapping[str, Definition[Any]], tools: ControlTools) -> None:
        self.kinds = kinds
        self.tools = tools
        self._alone = threading.RLock()

    def turn(
        self,
        store: Store,
        now: datetime,
        *,
        owner: str = "",
        places: Sequence[str] = (),
        reports: Iterable[Report] = (),
        most: int = 0,
    ) -> list[Lease]:
        """One turn within the caller's transaction; returns the steps leased to `owner` (up to `most`, at `places`)."""
        [leases] = self.turn_for(
            store, now, [Ask(owner=owner, places=tuple(places), reports=tuple(reports), most=most)]
        )
        return leases

    def turn_for(self, store: Store, now: datetime, asks: Sequence["Ask"]) -> list[list[Lease]]:
        """One turn for many workers at once, at the cost of one; returns what was leased to each, in their order."""
        # The scheduler's table follows one transaction at a time, until that is committed, or undone and forgotten.
        store.hold(self._alone)
        store.rolled_back.append(self.tools.estate.forget)
        work = _Work(self, store, now)
        work.take_in(asks)
        work.stop_cancelled()
        work.run_control()
        leases = work.lease(asks)
        work.save()
        return leases


class Ask(Record):
    """What one worker brings to a turn, and wants of it."""

    owner: str
    places: tuple[str, ...] = ()
    """Those that it holds: no two workers of one turn hold the same."""
    reports: tuple[Report, ...] = ()
    most: int = 0
    """How many steps it can take."""


class _Work:
    """One turn's rows: read once, moved on in memory, written once."""

    def __init__(self, engine: Engine, store: Store, now: datetime) -> None:
        self.kinds, self.tools = engine.kinds, engine.tools
        self.store, self.now = store, now
        self.rows: dict[str, Operation] = {}
        self.kept: dict[str, Operation] = {}
        self.read: dict[str, Operation] = {}
        """Rows as they were before this turn."""
        self.freed: set[str] = set()
        """Targets whose operation has ended: the next in line is to begin."""

    def keep(self, row: Operation) -> None:
        """Note a row that has moved on, and what follows from it."""
        self.rows[row.id] = self.kept[row.id] = row
        if row.state in _ENDED:
            self.store.wake(f"operation:{row.id}")
            self.freed.add(row.target_id)
        elif row.state is not OperationState.STUCK and row.place != CONTROL and not row.lease_owner:
            self.store.wake(row.place)

    def begin_next(self) -> None:
        """Let the next in line begin, at each target that is free now. One statement where nobody is in line."""
        line, self.freed = self.store.operation.in_line(self.freed), set()
        first = (next(((id, state) for id, state in ids if id not in self.kept), None) for ids in line.values())
        waiting = [one[0] for one in first if one is not None and one[1] is OperationState.WAITING]
        for row in self.store.operation.many(waiting).values():
            self.keep(progress.started(row, self.now))

    def take_in(self, asks: Iterable[Ask]) -> None:
        """Journal what workers report; a report under an old epoch, or of another's lease, says nothing."""
        told = [(ask.owner, report) for ask in asks for report in ask.reports]
        found = self.store.operation.many({report.operation_id for _, report in told})
        self.read |= found
        for owner, report in told:
            row = self.rows.get(report.operation_id) or found.get(report.operation_id)
            if row is None:
                continue
            if report.epoch != row.lease_epoch or row.lease_owner != owner:
                with about(row):
                    log.warning("a report of operation %s came too late, or twice: it is passed over", row.id)
                continue
            self.keep(self._reported(row, report))
        self.begin_next()

    def _reported(self, row: Operation, report: Report) -> Operation:
        kind = self.kinds[row.kind]
        undoing = row.state is OperationState.UNWINDING
        if report.outcome == "done":
            return (
                progress.undone(row, kind, self.now) if undoing else progress.done(row, kind, report.output, self.now)
            )
        if report.outcome in ("again", "unreachable"):
            if progress.out_of_patience(row, kind, self.now):
                waited = kind.steps[row.step].patience_seconds
                why = report.error or "it was not done"
                return progress.failed(row, kind, f"Gave up after {waited:.0f} seconds: {why}", self.now)
            seconds = report.seconds if report.outcome == "again" else progress.backoff_seconds(row.attempts)
            return progress.again(row, seconds, self.now)
        if undoing:
            return progress.undo_failed(row, kind, report.error, self.now)
        return progress.failed(row, kind, report.error, self.now)

    def stop_cancelled(self) -> None:
        """Turn round the operations that were asked to stop."""
        for row in self.store.operation.cancelled(self.now, MOST_AT_ONCE):
            current = self.rows.get(row.id, row)
            self.read.setdefault(row.id, row)
            if current.state is OperationState.WAITING:
                current = progress.started(current, self.now)
            if current.state is OperationState.RUNNING and current.lease_owner in _NOBODY:
                self.keep(progress.stop(current, self.kinds[row.kind], STOPPED, self.now))
        self.begin_next()

    def run_control(self) -> None:
        """Run what is due at control, until nothing is or the turn is full."""
        seen = 0
        while seen < MOST_AT_ONCE:
            fresh = [
                row for row in self.store.operation.due([CONTROL], self.now, MOST_AT_ONCE) if row.id not in self.rows
            ]
            for row in fresh:
                self.rows[row.id] = self.read[row.id] = row
            ready = [row for row in self.rows.values() if self._is_due_here(row)]
            if not ready:
                return
            for row in ready:
                seen += 1
                self.keep(self._run(row))
            self.begin_next()
        self.store.wake(CONTROL)

    def _is_due_here(self, row: Operation) -> bool:
        live = row.state in (OperationState.RUNNING, OperationState.UNWINDING)
        return live and row.place == CONTROL and row.due_at <= self.now and not row.lease_owner

    def _run(self, row: Operation) -> Operation:
        kind = self.kinds.get(row.kind)
        if kind is None:
            return progress.stuck(row, f"This version knows no operation {row.kind!r}.", self.now)
        if row.cancelled and row.state is OperationState.RUNNING:
            return progress.stop(row, kind, STOPPED, self.now)
        run = Run(row, kind.args(row), progress.outputs(row), self.now, store=self.store, tools=self.tools)
        undoing = row.state is OperationState.UNWINDING
        name = kind.steps[row.step].name if row.step >= 0 else "unwound"
        self.store.trace = row.trace
        with running(self.tools.watch, row, name, undo=undoing) as noted:
            try:
                with self.store.savepoint():
                    if undoing and row.step < 0:
                        return self._unwound(row, kind, run)
                    if undoing:
                        undo = kind.steps[row.step].undo_step
                        result = undo(run) if undo else None
                    else:
                        result = kind.steps[row.step].do(run)
            except Exception as error:  # whatever a step raises is that step's failure
                noted.outcome = "failed"
                if was_undone(error) or is_busy(error) or is_outage(error):
                    raise  # the database's trouble is no step's failure: the whole turn is done again
                return self._refused(row, kind, error, undoing)
            noted.outcome = "again" if isinstance(result, Again) else "done"
        if isinstance(result, Again):
            if progress.out_of_patience(row, kind, self.now):
                return progress.failed(row, kind, "It waited for too long.", self.now)
            return msgspec.structs.replace(progress.again(row, result.seconds, self.now), **result.told())
        if undoing:
            return progress.undone(row, kind, self.now)
        return progress.done(row, kind, msgspec.to_builtins(result), self.now)

    def _refused(self, row: Operation, kind: Definition[Any], error: Exception, undoing: bool) -> Operation:
        self.tools.estate.forget()  # what the savepoint undid may have been read into the scheduler's table
        sentence = describe(error)
        if not isinstance(error, PolyvisorError):
            log.error("operation %s of %s failed in %s", row.id, row.target_id, row.kind, exc_info=error)
        if row.step < 0:
            return progress.stuck(row, sentence, self.now)
        if undoing:
            return progress.undo_failed(row, kind, sentence, self.now)
        return progress.failed(row, kind, sentence, self.now, details=_host_by_host(error))

    def _unwound(self, row: Operation, kind: Definition[Any], run: Run[Any]) -> Operation:
        answer = kind.unwound_hook(run) if kind.unwound_hook else None
        if isinstance(answer, Restart):
            return progress.restarted(row, kind, self.now)
        return msgspec.structs.replace(row, state=OperationState.FAILED, place="", updated_at=self.now)

    def lease(self, asks: Sequence[Ask]) -> list[list[Lease]]:
        """Hand steps out to whoever holds their places."""
        wanting = {place: index for index, ask in enumerate(asks) if ask.most > 0 for place in ask.places}
        leases: list[list[Lease]] = [[] for _ in asks]
        for row in self._due(wanting, asks):
            index = wanting[row.place]
            if len(leases[index]) < asks[index].most:
                leases[index] += self._leased(row, asks[index].owner)
        return leases

    def _due(self, wanting: Mapping[str, int], asks: Sequence[Ask]) -> list[Operation]:
        if not wanting:
            return []
        places, most = tuple(wanting), max(asks[index].most for index in wanting.values())
        read = self.store.operation.due if len(asks) == 1 else self.store.operation.due_at_each
        found = {row.id: row for row in read(places, self.now, most)}
        for row in self.rows.values():
            found.pop(row.id, None)
            live = row.state in (OperationState.RUNNING, OperationState.UNWINDING)
            if live and row.place in wanting and row.due_at <= self.now and not row.lease_owner:
                found[row.id] = row
        return list(found.values())

    def _leased(self, row: Operation, owner: str) -> list[Lease]:
        """The step in its worker's hands. One whose worker died too often fails: it may be what killed it."""
        self.read.setdefault(row.id, row)
        undoing = row.state is OperationState.UNWINDING
        kind = self.kinds.get(row.kind)
        if kind is None:
            self.keep(progress.stuck(row, f"This version knows no operation {row.kind!r}.", self.now))
            return []
        if row.lease_owner and row.attempts >= progress.MOST_LOST_LEASES and not undoing:
            sentence = "The process at the host ended several times during this step."
            self.keep(progress.failed(row, kind, sentence, self.now))
            return []
        row = progress.leased(row, owner, self.now + timedelta(seconds=LEASE_SECONDS), self.now)
        self.keep(row)
        return [Lease(operation=row, undo=undoing)]

    def save(self) -> None:
        """Write every row that has moved on, in one statement."""
        self.begin_next()
        kept = list(self.kept.values())
        self.store.operation.save(kept)
        changes = [(self.read.get(row.id), row) for row in kept]
        self.store.afterwards(lambda: tell(self.tools.watch, changes))


def _host_by_host(error: Exception) -> str:
    """Why each host was passed over, a line each; of a large cloud the first ones."""
    if not isinstance(error, NoHost):
        return ""
    lines = [f"{host}: {reason}" for host, reason in sorted(error.refusals.items())]
    more = len(lines) - MOST_REASONS
    return "\n".join(lines if more <= 0 else [*lines[:MOST_REASONS], f"and {more} hosts more"])


def describe(error: BaseException) -> str:
    """The sentence a journal keeps of an error. The details of an unforeseen one go to the log alone."""
    if isinstance(error, PolyvisorError):
        return error.sentence
    return f"An unexpected {type(error).__name__} occurred; the log of the control plane has the details."
