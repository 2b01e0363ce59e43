"""What the nouns of the Networking API share: standard columns, visibility by RBAC, lists as Neutron has them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import msgspec
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Integer,
    Row,
    String,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    false,
    func,
    insert,
    not_,
    or_,
    select,
    true,
    type_coerce,
    update,
)

from polyvisor.model.errors import Invalid, NotFound
from polyvisor.model.network_list import NetworkList
from polyvisor.model.network_standard import Standard
from polyvisor.model.rbac_policy import EVERYBODY
from polyvisor.store.keyset import Key, after, ordered
from polyvisor.store.locking import to_change
from polyvisor.store.rbac_policy import rbac_policy
from polyvisor.store.tables import Json, Moment

if TYPE_CHECKING:
    from polyvisor.model.network_intent import Unit
    from polyvisor.store.store import Store

R = TypeVar("R", bound=Standard)
Conditions = list[ColumnElement[bool]]
Condition = Callable[[tuple[str, ...]], ColumnElement[bool]]
"""From the values of a filter to what must hold."""
_MANY = 500
"""How many values one statement names at most: SQLite takes 32,766, and shorter statements are compiled sooner."""


def standard_columns() -> list[Column[Any]]:
    """The columns of the standard attributes, for one table."""
    return [
        Column("id", String(36), primary_key=True),
        Column("project_id", String(64), nullable=False, index=True),
        Column("name", String(255), nullable=False),
        Column("description", String(1024), nullable=False),
        Column("created_at", Moment, nullable=False),
        Column("updated_at", Moment, nullable=False),
        Column("revision_number", Integer, nullable=False),
        Column("tags", Json(tuple[str, ...]), nullable=False),
    ]


class StandardNoun(Generic[R]):
    """The statements of one noun. Its record's fields are columns of the same name, but for those in `derived`."""

    table: ClassVar[Table]
    kind: ClassVar[type[Any]]
    title: ClassVar[str]
    """What sentences call it: "Network"."""
    missing: ClassVar[str]
    """What the API calls it that there is none: "NetworkNotFound"."""
    object_type: ClassVar[str | None] = None
    """What RBAC policies call it; None where nothing can be shared."""
    unit: ClassVar[Unit | None] = None
    """What backends are told of where it changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    # For a noun to override

    def derived(self, viewer: str | None) -> dict[str, ColumnElement[Any]]:
        """Fields of the record that are no columns, as expressions. `viewer`: the project that looks; None = all."""
        return {} if self.object_type is None else {"shared": self.opened("access_as_shared", viewer)}

    def visible(self, viewer: str) -> ColumnElement[bool]:
        """Which rows a project sees: its own, and what is opened to it."""
        own = self.table.c.project_id == viewer
        return own if self.object_type is None else or_(own, self.opened(None, viewer))

    def filters(self) -> Mapping[str, Condition]:
        """Filters that are more than "the column has one of these values"."""
        return {}

    def touched(self, ids: Iterable[str]) -> None:
        """These were changed or removed: backends look at them again."""
        if self.unit is not None:
            self._store.network_intent.touch(self.unit, ids)

    # What all share

    def not_found(self, id: str) -> NotFound:
        """The error that says so."""
        return NotFound(f"{self.title} {id} could not be found.", kind=self.missing)

    def opened(self, action: str | None, viewer: str | None) -> ColumnElement[bool]:
        """Whether an RBAC policy opens the row to everybody or to `viewer`, with `action` (None = any)."""
        targets = [EVERYBODY] if viewer is None else [EVERYBODY, viewer]
        where: Conditions = [rbac_policy.c.object_id == self.table.c.id, rbac_policy.c.target_project.in_(targets)]
        if action is not None:
            where.append(rbac_policy.c.action == action)
        return exists().where(*where)

    def get(self, id: str, *, viewer: str | None = None) -> R:
        """One record, where `viewer` sees it (None = any). Raises its NotFound. One statement."""
        where: Conditions = [self.table.c.id == bindparam("of")]
        if viewer is not None:
            where.append(self.visible(viewer))
        statement = to_change(self._sql, self._select(viewer).where(*where), of=self.table)
        row = self._sql.execute(statement, {"of": id}).first()
        if row is None:
            raise self.not_found(id)
        return self._of(row)

    def of_ids(self, ids: Collection[str], *, viewer: str | None = None) -> dict[str, R]:
        """Those of these records that there are and that `viewer` sees, by id. One statement for 500."""
        found: dict[str, R] = {}
        names = sorted(set(ids))
        for at in range(0, len(names), _MANY):
            where: Conditions = [self.table.c.id.in_(names[at : at + _MANY])]
            if viewer is not None:
                where.append(self.visible(viewer))
            statement = to_change(
                self._sql, self._select(viewer).where(*where).order_by(self.table.c.id), of=self.table
            )
            found |= {record.id: record for record in map(self._of, self._sql.execute(statement))}
        return found

    def every(self, *where: ColumnElement[bool]) -> dict[str, R]:
        """All records of which this holds, by id, whoever looks. One statement."""
        statement = self._select(None).where(*where).order_by(self.table.c.id)
        return {record.id: record for record in map(self._of, self._sql.execute(statement))}

    def list(self, asked: NetworkList) -> list[R]:
        """A page of what the asking project sees. One statement, two with a marker. Raises Invalid."""
        statement = self._select(asked.viewer).where(*self._conditions(asked))
        keys: list[Key] = [(self._sort_column(name), way) for name, way in (*asked.sort, ("id", "asc"))]
        if asked.reverse:
            keys = [(column, "asc" if way == "desc" else "desc") for column, way in keys]
        if asked.marker is not None:
            own = [self.table.c.id == asked.marker]
            if asked.viewer is not None:
                own.append(self.visible(asked.viewer))
            at = self._sql.execute(select(*(column for column, _ in keys)).where(*own)).first()
            if at is None:
                raise Invalid(f"The marker {asked.marker} was not found: give the id of the last item before the page.")
            statement = statement.where(after(keys, at))
        found = [self._of(row) for row in self._sql.execute(statement.order_by(*ordered(keys)).limit(asked.limit))]
        return found[::-1] if asked.reverse else found

    def count(self, project_id: str) -> int:
        """How many a project has. One statement."""
        statement = select(func.count()).select_from(self.table).where(self.table.c.project_id == project_id)
        return int(self._sql.execute(statement).scalar_one())

    def change(self, record: R, changes: Mapping[str, Any], now: datetime) -> R:
        """The record with other fields and the next revision. One statement, two more for backends."""
        changed: R = msgspec.structs.replace(
            record, **changes, updated_at=now, revision_number=record.revision_number + 1
        )
        values = {name: getattr(changed, name) for name in (*changes, "updated_at", "revision_number")}
        values = {name: value for name, value in values.items() if name in self.table.c}
        self._sql.execute(update(self.table).where(self.table.c.id == record.id).values(**values))
        self.touched([record.id])
        return changed

    def bump(self, ids: Iterable[str], now: datetime) -> None:
        """What belongs to these records has changed: they get their next revision. One statement."""
        of = self.table.c.id.in_(sorted(set(ids)))
        values = {"revision_number": self.table.c.revision_number + 1, "updated_at": now}
        self._sql.execute(update(self.table).where(of).values(**values))

    def _add(self, records: Sequence[R], **more: Any) -> None:
        rows = []
        for record in records:
            fields = msgspec.structs.asdict(record)
            rows.append({**{name: value for name, value in fields.items() if name in self.table.c}, **more})
        self._sql.execute(insert(self.table), rows)
        self.touched(record.id for record in records)

    def _remove(self, ids: Collection[str]) -> None:
        self._sql.execute(delete(self.table).where(self.table.c.id.in_(sorted(ids))))
        self._store.rbac_policy.forget(ids)
        self.touched(ids)

    def _fields(self, viewer: str | None) -> dict[str, ColumnElement[Any]]:
        more = self.derived(viewer)
        return {name: more[name] if name in more else self.table.c[name] for name in self.kind.__struct_fields__}

    def _select(self, viewer: str | None) -> Any:
        return select(*(column.label(name) for name, column in self._fields(viewer).items()))

    def _of(self, row: Row[Any]) -> R:
        record: R = self.kind(**dict(zip(self.kind.__struct_fields__, row, strict=True)))
        return record

    def _sort_column(self, name: str) -> ColumnElement[Any]:
        column = self.table.c.get(name)
        if column is None:
            raise Invalid(f"'sort_key' is invalid: '{name[:64]}' is no attribute that lists can be sorted by.")
        return func.coalesce(column, "") if column.nullable and isinstance(column.type, String) else column

    def _conditions(self, asked: NetworkList) -> Conditions:
        where: Conditions = [] if asked.viewer is None else [self.visible(asked.viewer)]
        own = self.filters()
        derived = self.derived(asked.viewer)
        for name, values in asked.filters:
            if name in own:
                where.append(own[name](values))
            elif name in _TAGS:
                where.append(_TAGS[name](self.table.c.tags, values))
            elif name in derived:
                where.append(matches(derived[name], values, name))
            else:
                where.append(matches(self.table.c[name], values, name))
        if asked.changed_since is not None:
            where.append(self.table.c.updated_at >= asked.changed_since)
        return where


def matches(column: ColumnElement[Any], values: tuple[str, ...], name: str) -> ColumnElement[bool]:
    """Whether a column (or a condition) has one of the values, which come as text. Raises Invalid."""
    if isinstance(column.type, Boolean):
        wanted = {truth_of(value, name) for value in values}
        return or_(*((column if value else not_(column)) for value in wanted))
    if isinstance(column.type, Integer):
        if not all(value.lstrip("-").isdigit() for value in values):
            raise Invalid(f"The filter '{name}' is invalid: a number is expected.")
        return column.in_([int(value) for value in values])
    some = type_coerce(column, String).in_(values)
    return or_(some, column.is_(None)) if "" in values else some


def truth_of(text: str, name: str) -> bool:
    """A boolean from a filter's text. Raises Invalid."""
    lowered = text.strip().lower()
    if lowered in ("true", "1", "t", "yes", "on"):
        return True
    if lowered in ("false", "0", "f", "no", "off"):
        return False
    raise Invalid(f"The filter '{name}' is invalid: true or false is expected, not '{text[:64]}'.")


def holds(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """Whether a list of strings in JSON text has this one. `replace` heeds case, where SQLite's LIKE would not."""
    part = msgspec.json.encode(text).decode()
    kept = type_coerce(column, String)
    return or_(*(func.replace(kept, before + part, "") != kept for before in ("[", ",")))


def _split(values: tuple[str, ...]) -> list[str]:
    return [tag for value in values for tag in value.split(",") if tag]


def _all(column: ColumnElement[Any], values: tuple[str, ...]) -> ColumnElement[bool]:
    return and_(true(), *(holds(column, tag) for tag in _split(values)))


def _any(column: ColumnElement[Any], values: tuple[str, ...]) -> ColumnElement[bool]:
    return or_(false(), *(holds(column, tag) for tag in _split(values)))


_TAGS: dict[str, Callable[[ColumnElement[Any], tuple[str, ...]], ColumnElement[bool]]] = {
    "tags": _all,
    "tags-any": _any,
    "not-tags": lambda column, values: not_(_all(column, values)),
    "not-tags-any": lambda column, values: not_(_any(column, values)),
}
TAG_FILTERS = tuple(_TAGS)
