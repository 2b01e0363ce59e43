"""The state machine of one operation, as functions from a row and what happened to the next row."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from polyvisor.model.operation import CONTROL, Entry, Operation, OperationState
from polyvisor.operate.definition import Operation as Definition
from polyvisor.operate.definition import Outputs

MOST_BACKOFF_SECONDS = 30.0
MOST_UNDO_ATTEMPTS = 8
MOST_LOST_LEASES = 5
_replace = msgspec.structs.replace


def outputs(row: Operation) -> dict[str, Any]:
    """The outputs of the steps that are done and not undone."""
    found: dict[str, Any] = {}
    for entry in row.journal:
        if entry.outcome == "done":
            found[entry.step] = entry.output
        elif entry.outcome == "undone":
            found.pop(entry.step, None)
    return found


def backoff_seconds(attempts: int) -> float:
    """How long to wait after the given number of attempts in a row."""
    return min(MOST_BACKOFF_SECONDS, 0.5 * 2.0 ** min(attempts, 10))


def done(row: Operation, definition: Definition[Any], output: Any, now: datetime) -> Operation:
    """The due step has ended with `output` (builtins): on to the next, or to the end."""
    row = _log(row, definition, "done", now, output=output)
    index = row.step + 1
    if index == len(definition.steps):
        return _replace(row, state=OperationState.DONE, step=index, place="", due_at=now)
    return _due(row, definition, index, outputs(row), now)


def again(row: Operation, seconds: float, now: datetime) -> Operation:
    """The due step (or undo) waits for something."""
    return _free(row, now, due_at=now + timedelta(seconds=seconds), since=row.since or now)


def out_of_patience(row: Operation, definition: Definition[Any], now: datetime) -> bool:
    """Whether the due step has waited for as long as it may. Undoing has patience without end."""
    if row.state is not OperationState.RUNNING or row.since is None:
        return False
    return now - row.since > timedelta(seconds=definition.steps[row.step].patience_seconds)


def failed(row: Operation, definition: Definition[Any], error: str, now: datetime, details: str = "") -> Operation:
    """The due step refused: unwind, the step itself included, for a lost reply is no refusal."""
    row = _log(row, definition, "failed", now, error=error, details=details)
    row = _replace(row, error=row.error or error)
    return _unwind_from(row, definition, row.step, now)


def stop(row: Operation, definition: Definition[Any], reason: str, now: datetime) -> Operation:
    """Somebody asked it to stop between two steps: unwind what is done, and the due step where it was begun."""
    begun = row.since is not None or row.attempts > 0
    row = _replace(row, error=row.error or reason)
    return _unwind_from(row, definition, row.step if begun else row.step - 1, now)


def undone(row: Operation, definition: Definition[Any], now: datetime) -> Operation:
    """The due undo has ended: on to the one before."""
    row = _log(row, definition, "undone", now)
    return _unwind_from(row, definition, row.step - 1, now)


def undo_failed(row: Operation, definition: Definition[Any], error: str, now: datetime) -> Operation:
    """The due undo refused: try again later, and after many times leave it to the operator."""
    if row.attempts < MOST_UNDO_ATTEMPTS:
        return again(row, backoff_seconds(row.attempts), now)
    row = _log(row, definition, "undo failed", now, error=error)
    return _free(row, now, state=OperationState.STUCK)


def stuck(row: Operation, error: str, now: datetime) -> Operation:
    """Something failed that has no undo of its own (an `unwound` hook, an unknown kind)."""
    return _free(row, now, state=OperationState.STUCK, error=error)


def retried(row: Operation, now: datetime) -> Operation:
    """The operator asks for a stuck operation's undo again."""
    return _free(row, now, state=OperationState.UNWINDING, attempts=0, since=None, due_at=now)


def restarted(row: Operation, definition: Definition[Any], now: datetime) -> Operation:
    """Unwound, and begun anew."""
    row = _replace(row, state=OperationState.RUNNING, tries=row.tries + 1, error="")
    return _due(row, definition, 0, {}, now)


def started(row: Operation, now: datetime) -> Operation:
    """A waiting operation's turn has come."""
    return _free(row, now, state=OperationState.RUNNING, due_at=now)


def leased(row: Operation, owner: str, until: datetime, now: datetime) -> Operation:
    """The due step is in somebody's hands until a moment. The epoch fences the ones who had it before."""
    return _replace(
        row,
        lease_owner=owner,
        lease_until=until,
        lease_epoch=row.lease_epoch + 1,
        attempts=row.attempts + 1,
        since=row.since or now,
        updated_at=now,
    )


def _unwind_from(row: Operation, definition: Definition[Any], index: int, now: datetime) -> Operation:
    while index >= 0 and definition.steps[index].undo_step is None:
        index -= 1
    row = _replace(row, state=OperationState.UNWINDING)
    if index < 0:
        return _free(row, now, step=-1, place=CONTROL, due_at=now, attempts=0, since=None)
    return _due(row, definition, index, outputs(row), now)


def _due(row: Operation, definition: Definition[Any], index: int, known: Outputs, now: datetime) -> Operation:
    place = definition.steps[index].at(known)
    return _free(row, now, step=index, place=place, due_at=now, attempts=0, since=None, progress=0.0, progress_of="")


def _log(
    row: Operation,
    definition: Definition[Any],
    outcome: str,
    now: datetime,
    *,
    output: Any = None,
    error: str = "",
    details: str = "",
) -> Operation:
    entry = Entry(
        step=definition.steps[row.step].name,
        outcome=outcome,
        started_at=row.since or now,
        finished_at=now,
        output=output,
        error=error,
        details=details,
        place=row.place,
    )
    return _free(row, now, journal=(*row.journal, entry))


def _free(row: Operation, now: datetime, **changes: Any) -> Operation:
    return _replace(row, lease_owner="", lease_until=None, updated_at=now, **changes)
