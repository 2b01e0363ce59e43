"""Durable operations: what was asked, how far it is, and the journal of its steps."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from polyvisor.model.record import Told

CONTROL = "control"
"""The place of steps that use the store; every other place is the name of a hypervisor connection."""

LOST = "lost"
"""Stands for the owner of a lease whose place has gone to another process: nobody has the step now."""


class OperationState(StrEnum):
    """Where an operation stands."""

    WAITING = "waiting"
    """Behind an earlier operation on the same target."""
    RUNNING = "running"
    UNWINDING = "unwinding"
    DONE = "done"
    FAILED = "failed"
    """Unwound: nothing of it is left."""
    STUCK = "stuck"
    """An undo failed for good; `polyvisor operations retry` takes it up again."""


UNFINISHED = (OperationState.WAITING, OperationState.RUNNING, OperationState.UNWINDING)


class Entry(Told):
    """One line of the journal: a step done, undone or failed."""

    step: str
    outcome: str
    """"done", "undone", "failed" (its undo is due), "undo failed"."""
    started_at: datetime
    finished_at: datetime
    output: Any = None
    error: str = ""
    details: str = ""
    """More about the error, for the administrator: host by host why none fits."""
    place: str = CONTROL


class Operation(Told):
    """One operation as the store has it."""

    id: str
    kind: str
    """Such as "server.create"."""
    target_id: str
    """What it works on: operations on one target run one after the other."""
    project_id: str
    user_id: str
    request_id: str
    trace: str = ""
    """The request's `traceparent` (W3C Trace Context), where its trace is recorded; else empty."""
    args: Any
    """The record of its arguments, as builtins; `operate` gives it its type."""
    state: OperationState
    step: int
    """Index of the step that is due (or, when unwinding, whose undo is due)."""
    place: str
    """Where that step must run."""
    due_at: datetime
    """Not before this time."""
    attempts: int = 0
    """How often the due step was begun without an end."""
    since: datetime | None = None
    """When the due step was first begun; None when it was not yet."""
    tries: int = 0
    """How often the whole operation began anew after it had unwound (on another host)."""
    cancelled: bool = False
    """Somebody asked it to stop: it unwinds at the next moment."""
    journal: tuple[Entry, ...] = ()
    error: str = ""
    """Why it failed, in a sentence, once it did."""
    lease_owner: str = ""
    lease_until: datetime | None = None
    lease_epoch: int = 0
    progress: float = 0.0
    progress_of: str = ""
    created_at: datetime
    updated_at: datetime


class Leased(Told):
    """Who has an operation's due step in hand."""

    id: str
    place: str
    lease_owner: str
    lease_epoch: int
    cancelled: bool
