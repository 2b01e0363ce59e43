"""What the engine and workers tell of their work: to logs always, to metrics and traces where somebody listens."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from structlog.contextvars import bound_contextvars

from polyvisor.model.operation import Entry, Operation, OperationState
from polyvisor.model.record import Record

log = logging.getLogger("polyvisor.operate")

_SAID = (OperationState.DONE, OperationState.FAILED, OperationState.STUCK)


class Moved(Record):
    """An operation that has moved on, once that is committed."""

    row: Operation
    entries: tuple[Entry, ...]
    """The lines of its journal that are new."""
    ended: bool
    """It has just become done, failed or stuck."""


class Running:
    """One run of one step, while it lasts; whoever runs it notes how it ended."""

    __slots__ = ("outcome",)

    def __init__(self) -> None:
        self.outcome = "done"
        """ "done", "again", "failed" or "unreachable"."""


class Watch(Protocol):
    """Sees what happens, and changes nothing. It is called from many threads, and must neither block nor raise."""

    def step(self, row: Operation, name: str, *, undo: bool) -> AbstractContextManager[Running]:
        """Around each run of a step (or of its undo), at control or at a host."""

    def placing(self) -> AbstractContextManager[None]:
        """Around each choice of a host; NoHost passes through it."""

    def moved(self, moved: Sequence[Moved]) -> None:
        """Operations have moved on; called after the commit that made it true."""


class Unwatched:
    """Nobody listens."""

    def step(self, row: Operation, name: str, *, undo: bool) -> AbstractContextManager[Running]:
        """Nothing but the note."""
        return nullcontext(Running())

    def placing(self) -> AbstractContextManager[None]:
        """Nothing."""
        return nullcontext()

    def moved(self, moved: Sequence[Moved]) -> None:
        """Nothing."""


UNWATCHED = Unwatched()


def about(row: Operation, step: str = "") -> AbstractContextManager[None]:
    """Every line that is logged within names the operation, and what it belongs to."""
    named = {"request_id": row.request_id, "operation_id": row.id, "project_id": row.project_id}
    if row.kind.startswith("server."):
        # What only answers has a target of its own, and names the server in its arguments.
        named["server_id"] = row.args.get("server_id", row.target_id) if isinstance(row.args, dict) else row.target_id
    if step:
        named |= {"step": step, "place": row.place}
    return bound_contextvars(**{name: value for name, value in named.items() if value})


@contextmanager
def running(watch: Watch, row: Operation, name: str, *, undo: bool) -> Iterator[Running]:
    """Around one run of a step: its log lines are named, and whoever watches is told."""
    with about(row, name), watch.step(row, name, undo=undo) as noted:
        yield noted
        log.debug("%s %s %s: %s", row.kind, "undo of" if undo else "step", name, noted.outcome)


def tell(watch: Watch, changes: Iterable[tuple[Operation | None, Operation]]) -> None:
    """Log and pass on what has moved: pairs of a row as it was read (None = not known) and as it is now."""
    moved = []
    for before, row in changes:
        entries = row.journal[len(before.journal) :] if before is not None else ()
        ended = row.state in _SAID and (before is None or before.state is not row.state)
        if entries or ended:
            moved.append(Moved(row=row, entries=entries, ended=ended))
        if ended:
            _say_end(row)
    if moved:
        watch.moved(moved)


def _say_end(row: Operation) -> None:
    level = logging.ERROR if row.state is OperationState.STUCK else logging.INFO
    if log.isEnabledFor(level):
        with about(row):
            log.log(level, "operation %s is %s%s", row.kind, row.state, f": {row.error}" if row.error else "")
