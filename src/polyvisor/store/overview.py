"""The whole cloud's work in a few rows: what an operator's metrics are made of."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import and_, bindparam, case, func, or_, select

from polyvisor.model.operation import UNFINISHED, OperationState
from polyvisor.model.record import Record
from polyvisor.store.operation import operation
from polyvisor.store.tables import Moment

if TYPE_CHECKING:
    from polyvisor.store.store import Store


class OperationCount(Record):
    """The operations of one kind that are in one state with their due step at one place."""

    kind: str
    state: OperationState
    place: str
    operations: int
    leased: int
    """How many of their steps somebody has in hand."""
    oldest_due: datetime | None
    """Since when the longest waiting step is due that nobody has in hand; None when there is none."""


_now = bindparam("now", type_=Moment)
_leased = and_(operation.c.lease_owner != "", operation.c.lease_until > _now)
_waits = and_(
    operation.c.state.in_((OperationState.RUNNING, OperationState.UNWINDING)),
    operation.c.due_at <= _now,
    or_(operation.c.lease_owner == "", operation.c.lease_until.is_(None), operation.c.lease_until <= _now),
)
_counted = (
    select(
        operation.c.kind,
        operation.c.state,
        operation.c.place,
        func.count().label("operations"),
        func.count(case((_leased, 1))).label("leased"),
        func.min(case((_waits, operation.c.due_at)), type_=Moment).label("oldest_due"),
    )
    # Ended ones are many, and are counted as they end.
    .where(operation.c.state.in_((*UNFINISHED, OperationState.STUCK)))
    .group_by(operation.c.kind, operation.c.state, operation.c.place)
)


def operations(store: Store, now: datetime) -> list[OperationCount]:
    """All operations that have not ended, counted. One statement, by the index on the state."""
    return [OperationCount(**row._mapping) for row in store.connection.execute(_counted, {"now": now})]
