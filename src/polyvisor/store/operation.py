"""Durable operations: one row each, with arguments, journal and lease."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from polyvisor.model.errors import NotFound
from polyvisor.model.operation import CONTROL, LOST, UNFINISHED, Entry, Leased, Operation, OperationState
from polyvisor.store.locking import may_write, to_change
from polyvisor.store.tables import Json, Moment, Word, metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

operation = Table(
    "operation",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("kind", String(64), nullable=False),
    Column("target_id", String(64), nullable=False),
    Column("project_id", String(64), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("trace", String(55), nullable=False, server_default=""),
    Column("args", Json(Any), nullable=False),
    Column("state", Word(OperationState), nullable=False),
    Column("step", Integer, nullable=False),
    Column("place", String(255), nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("since", Moment),
    Column("tries", Integer, nullable=False),
    Column("cancelled", Boolean, nullable=False),
    Column("journal", Json(tuple[Entry, ...]), nullable=False),
    Column("error", Text, nullable=False),
    Column("lease_owner", String(64), nullable=False),
    Column("lease_until", Moment),
    Column("lease_epoch", Integer, nullable=False),
    Column("progress", Float, nullable=False),
    Column("progress_of", String(255), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Index("ix_operation_due", "state", "place", "due_at"),
    Index("ix_operation_target", "target_id", "number"),
    Index("ix_operation_request", "request_id"),
)

_FIELDS = Operation.__struct_fields__
_COLUMNS = [operation.c[name] for name in _FIELDS]
_LIVE = (OperationState.RUNNING, OperationState.UNWINDING)
_MOST_NAMED = 500
"""To name more targets costs more than to read them all."""

_insert = insert(operation)
_get = select(*_COLUMNS).where(operation.c.id == bindparam("id"))
_unfinished = (
    select(*_COLUMNS)
    .where(operation.c.target_id == bindparam("target_id"), operation.c.state.in_(UNFINISHED))
    .order_by(operation.c.number)
)
_live_here = (
    operation.c.state.in_(_LIVE),
    operation.c.place.in_(bindparam("places", expanding=True)),
    operation.c.due_at <= bindparam("now", type_=Moment),
    or_(operation.c.lease_until.is_(None), operation.c.lease_until <= bindparam("now", type_=Moment)),
)
_in_line_of = (
    select(operation.c.id, operation.c.target_id, operation.c.state)
    .where(operation.c.target_id.in_(bindparam("targets", expanding=True)), operation.c.state.in_(UNFINISHED))
    .order_by(operation.c.number)
)
_hold = (
    select(operation.c.number)
    .where(operation.c.target_id == bindparam("target_id"), operation.c.state.in_(UNFINISHED))
    .order_by(operation.c.number)
    .with_for_update(key_share=True)
)
_due = (
    select(*_COLUMNS)
    .where(
        *_live_here,
    )
    .order_by(operation.c.due_at, operation.c.number)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_under_way = (
    select(*_COLUMNS)
    .where(operation.c.state.in_(_LIVE), operation.c.kind.in_(bindparam("kinds", expanding=True)))
    .order_by(operation.c.number)
)
_cancelled = (
    select(*_COLUMNS)
    .where(
        operation.c.cancelled.is_(True),
        operation.c.state.in_((OperationState.WAITING, OperationState.RUNNING)),
        or_(operation.c.lease_until.is_(None), operation.c.lease_until <= bindparam("now", type_=Moment)),
    )
    .order_by(operation.c.number)
    .limit(bindparam("most"))
)
_next_due = (
    select(operation.c.due_at, operation.c.lease_until)
    .where(operation.c.state.in_(_LIVE), operation.c.place.in_(bindparam("places", expanding=True)))
    .order_by(operation.c.due_at)
    .limit(bindparam("most"))
)
_in_line = (
    select(
        operation.c.number,
        func.row_number()
        .over(partition_by=operation.c.place, order_by=(operation.c.due_at, operation.c.number))
        .label("turn"),
    )
    .where(*_live_here)
    .subquery()
)
_due_at_each = (
    select(*_COLUMNS)
    .where(
        operation.c.number.in_(select(_in_line.c.number).where(_in_line.c.turn <= bindparam("most"))),
        # Said again, for the row may have changed since it was put in line.
        *_live_here,
    )
    .order_by(operation.c.due_at, operation.c.number)
    .with_for_update(skip_locked=True)
)
_when = case((operation.c.lease_until > operation.c.due_at, operation.c.lease_until), else_=operation.c.due_at)
_soonest = (
    select(operation.c.place, func.min(_when, type_=Moment).label("soonest"))
    .where(operation.c.state.in_(_LIVE), operation.c.place != CONTROL)
    .group_by(operation.c.place)
)
_leased = (
    select(operation.c.id, operation.c.lease_owner, operation.c.lease_epoch, operation.c.cancelled, operation.c.place)
    .where(operation.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(operation.c.id)
    .with_for_update()
)
_renew = (
    update(operation)
    .where(operation.c.id.in_(bindparam("ids", expanding=True)))
    .values(lease_until=bindparam("until", type_=Moment))
)
_owned = select(*_COLUMNS).where(
    operation.c.state.in_(_LIVE),
    operation.c.place.in_(bindparam("places", expanding=True)),
    operation.c.lease_owner.in_(bindparam("owners", expanding=True)),
)
_busy_targets = select(operation.c.target_id).where(operation.c.state.in_((*UNFINISHED, OperationState.STUCK)))
_busy_among = _busy_targets.where(operation.c.target_id.in_(bindparam("among", expanding=True)))
_note_progress = (
    update(operation)
    .where(operation.c.id == bindparam("of"))
    .values(progress=bindparam("so_far"), progress_of=bindparam("of_what"))
)
_many = select(*_COLUMNS).where(operation.c.id.in_(bindparam("ids", expanding=True))).order_by(operation.c.id)
_FIXED = frozenset(("id", "kind", "target_id", "project_id", "user_id", "request_id", "trace", "args", "created_at"))
_CHANGING = [name for name in _FIELDS if name not in _FIXED]
_save = (
    update(operation)
    .where(operation.c.id == bindparam("row_id"))
    .values({name: bindparam(f"new_{name}", type_=operation.c[name].type) for name in _CHANGING})
)


def _record(row: Row[Any]) -> Operation:
    return Operation(**dict(zip(_FIELDS, row, strict=True)))


class Operations:
    """The statements on operations. The state machine itself is in `operate`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def begin(
        self,
        *,
        id: str,
        kind: str,
        target_id: str,
        project_id: str,
        user_id: str,
        request_id: str,
        args: Any,
        now: datetime,
        alone: bool = False,
    ) -> Operation:
        """Record an operation; it starts once the transaction is committed and the target's earlier ones have ended.

        `alone=True` spares the look for earlier ones: the target was made in this transaction.
        """
        waits = not alone and bool(self.unfinished(target_id))
        record = Operation(
            id=id,
            kind=kind,
            target_id=target_id,
            project_id=project_id,
            user_id=user_id,
            request_id=request_id,
            trace=self._store.trace,
            args=args,
            state=OperationState.WAITING if waits else OperationState.RUNNING,
            step=0,
            place=CONTROL,
            due_at=now,
            created_at=now,
            updated_at=now,
        )
        self._sql.execute(_insert, {name: getattr(record, name) for name in _FIELDS})
        self._store.wake(CONTROL)
        return record

    def get(self, id: str) -> Operation:
        """One operation. Raises NotFound."""
        row = self._sql.execute(to_change(self._sql, _get), {"id": id}).first()
        if row is None:
            raise NotFound(f"No operation {id} was found.")
        return _record(row)

    def unfinished(self, target_id: str) -> list[Operation]:
        """The operations on one target that have not ended, the oldest first.

        In a transaction that may write they stay as they are until that ends: whoever begins one that has to wait, and
        whoever ends the one it waits for, know of each other.
        """
        statement = to_change(self._sql, _unfinished)
        return [_record(row) for row in self._sql.execute(statement, {"target_id": target_id})]

    def in_line(self, target_ids: Collection[str]) -> dict[str, list[tuple[str, OperationState]]]:
        """By target, (id, state) of the operations that have not ended, the oldest first; kept as `unfinished` does."""
        found: dict[str, list[tuple[str, OperationState]]] = {}
        if target_ids:
            statement = to_change(self._sql, _in_line_of)
            for id, target_id, state in self._sql.execute(statement, {"targets": sorted(target_ids)}):
                found.setdefault(target_id, []).append((id, state))
        return found

    def hold(self, target_id: str) -> None:
        """Keep the unfinished operations on one target as they are until the transaction ends, where it may write."""
        if may_write(self._sql) and self._sql.dialect.name != "sqlite":
            self._sql.execute(_hold, {"target_id": target_id})

    def cancel(self, target_id: str, now: datetime) -> int:
        """Ask the unfinished operations on one target to stop; they unwind. Returns how many were asked."""
        statement = (
            update(operation)
            .where(
                operation.c.target_id == target_id,
                operation.c.state.in_((OperationState.WAITING, OperationState.RUNNING)),
            )
            .values(cancelled=True, due_at=now, updated_at=now)
        )
        self._store.wake(CONTROL)
        return self._sql.execute(statement).rowcount

    def due(self, places: Sequence[str], now: datetime, most: int) -> list[Operation]:
        """Those whose step is due at one of `places` and not leased, in order of their turn."""
        found = self._sql.execute(_due, {"places": list(places), "now": now, "most": most})
        return [_record(row) for row in found]

    def due_at_each(self, places: Sequence[str], now: datetime, most: int) -> list[Operation]:
        """As `due`, up to `most` for each of the places, so that none takes the turn of another."""
        found = self._sql.execute(_due_at_each, {"places": list(places), "now": now, "most": most})
        return [_record(row) for row in found]

    def cancelled(self, now: datetime, most: int) -> list[Operation]:
        """Those asked to stop while nobody has their step leased."""
        statement = to_change(self._sql, _cancelled, skip_locked=True)
        return [_record(row) for row in self._sql.execute(statement, {"now": now, "most": most})]

    def under_way(self, kinds: Collection[str]) -> list[Operation]:
        """Those of these kinds that are being done or undone, the oldest first."""
        return [_record(row) for row in self._sql.execute(_under_way, {"kinds": sorted(kinds)})]

    def next_due(self, places: Sequence[str]) -> datetime | None:
        """When the next step at `places` is due (a leased one: when its lease runs out); None when there is none."""
        rows = self._sql.execute(_next_due, {"places": list(places), "most": 100}).all()
        return min((max(row.due_at, row.lease_until or row.due_at) for row in rows), default=None)

    def soonest(self) -> dict[str, datetime]:
        """When the next step is due (a leased one: when its lease runs out), by place, control left out."""
        return {row.place: row.soonest for row in self._sql.execute(_soonest)}

    def many(self, ids: Iterable[str]) -> dict[str, Operation]:
        """Those of `ids` that exist, by id."""
        wanted = list(ids)
        if not wanted:
            return {}
        # In one order, so that two who hold many wait for each other one way only.
        found = self._sql.execute(to_change(self._sql, _many), {"ids": wanted})
        return {row.id: _record(row) for row in found}

    def save(self, records: Sequence[Operation]) -> None:
        """Write back what the engine changed, all in one statement."""
        if records:
            self._sql.execute(
                _save,
                [{"row_id": r.id, **{f"new_{name}": getattr(r, name) for name in _CHANGING}} for r in records],
            )

    def leased(self, ids: Collection[str]) -> dict[str, Leased]:
        """Who has the due steps of these operations in hand, by id, to be written in this transaction."""
        if not ids:
            return {}
        return {row.id: Leased(**row._mapping) for row in self._sql.execute(_leased, {"ids": sorted(ids)})}

    def renew(self, ids: Sequence[str], until: datetime) -> None:
        """Prolong leases whose owners are known to be alive."""
        if ids:
            self._sql.execute(_renew, {"ids": list(ids), "until": until})

    def note_progress(self, told: dict[str, tuple[float, str]]) -> None:
        """How far running steps are: id → (fraction from 0 to 1, of what), in one statement."""
        if told:
            rows = [{"of": id, "so_far": fraction, "of_what": what} for id, (fraction, what) in told.items()]
            self._sql.execute(_note_progress, rows)

    def owned(self, owners: Collection[str], places: Collection[str]) -> list[Operation]:
        """The operations whose due step at one of `places` one of `owners` has leased."""
        found = self._sql.execute(_owned, {"places": sorted(places), "owners": sorted(owners)})
        return [_record(row) for row in found]

    def lose_leases(self, places: Collection[str], now: datetime) -> int:
        """Take back every lease at `places`, which have gone to other processes: those steps are due again at once."""
        statement = update(operation).where(
            operation.c.state.in_(_LIVE), operation.c.place.in_(places), operation.c.lease_until.is_not(None)
        )
        for place in places:
            self._store.wake(place)
        return self._sql.execute(statement.values(lease_owner=LOST, lease_until=now)).rowcount

    def busy_targets(self, among: Collection[str] | None = None) -> frozenset[str]:
        """Ids of all that an unfinished or stuck operation works on; of these alone where `among` names few."""
        if among is None or len(among) > _MOST_NAMED:
            return frozenset(self._sql.execute(_busy_targets).scalars())
        return frozenset(self._sql.execute(_busy_among, {"among": sorted(among)}).scalars()) if among else frozenset()

    def set_args(self, id: str, args: Any) -> None:
        """Replace the arguments: what was secret in them is no longer needed."""
        self._sql.execute(update(operation).where(operation.c.id == id).values(args=args))

    def release_leases(self, owner_prefix: str) -> int:
        """End the leases of an owner that is known to be dead, so that its steps are taken up at once."""
        statement = update(operation).where(
            operation.c.lease_owner.startswith(owner_prefix, autoescape=True), operation.c.state.in_(_LIVE)
        )
        return self._sql.execute(statement.values(lease_owner="", lease_until=None)).rowcount

    def of_target(self, target_id: str) -> list[Operation]:
        """All operations on one target, the newest first."""
        statement = select(*_COLUMNS).where(operation.c.target_id == target_id).order_by(operation.c.number.desc())
        return [_record(row) for row in self._sql.execute(statement)]

    def forget(self, kinds: Sequence[str], before: datetime) -> int:
        """Remove ended operations of these kinds that ended before a moment."""
        statement = delete(operation).where(
            operation.c.kind.in_(kinds),
            operation.c.state.in_((OperationState.DONE, OperationState.FAILED)),
            operation.c.updated_at < before,
        )
        return self._sql.execute(statement).rowcount

    def forget_targets(self, target_ids: Sequence[str]) -> None:
        """Remove the ended operations on targets that were purged."""
        if target_ids:
            ended = operation.c.state.in_((OperationState.DONE, OperationState.FAILED))
            self._sql.execute(delete(operation).where(operation.c.target_id.in_(target_ids), ended))

    def list(
        self,
        *,
        states: Sequence[OperationState] = (),
        kind: str | None = None,
        target_id: str | None = None,
        limit: int = 100,
    ) -> list[Operation]:
        """Operations for the operator, the newest first."""
        statement = select(*_COLUMNS).order_by(operation.c.number.desc()).limit(limit)
        if states:
            statement = statement.where(operation.c.state.in_(states))
        if kind:
            statement = statement.where(operation.c.kind == kind)
        if target_id:
            statement = statement.where(operation.c.target_id == target_id)
        return [_record(row) for row in self._sql.execute(statement)]
