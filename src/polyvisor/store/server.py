"""Servers: one row each, deleted ones kept for their actions until they are purged."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    false,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    type_coerce,
    update,
)

from polyvisor.model.errors import Invalid, NotFound
from polyvisor.model.flavor import Flavor
from polyvisor.model.image import ImageRef
from polyvisor.model.power import Power
from polyvisor.model.server import Fault, Server, ServerFilter, ServerPort, TaskState, VmState
from polyvisor.store.locking import to_change
from polyvisor.store.server_address import has_address_like
from polyvisor.store.tables import Json, Moment, Word, metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

server = Table(
    "server",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("project_id", String(64), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("hostname", String(255), nullable=False),
    Column("description", String(255)),
    Column("flavor", Json(Flavor), nullable=False),
    Column("image", Json(ImageRef)),
    Column("key_name", String(255)),
    Column("key_data", Text, nullable=False),
    Column("user_data", Text, nullable=False),
    Column("config_drive", Boolean, nullable=False),
    Column("metadata", Json(dict[str, str]), nullable=False),
    Column("tags", Json(tuple[str, ...]), nullable=False),
    Column("zone_requested", String(255)),
    Column("host", String(255), index=True),
    Column("place", String(255), index=True),
    Column("member", String(255), nullable=False),
    Column("zone", String(255), nullable=False),
    Column("reservation_id", String(64), nullable=False),
    Column("launch_index", Integer, nullable=False),
    Column("vm_state", Word(VmState), nullable=False),
    Column("task_state", Word(TaskState)),
    Column("power", Word(Power), nullable=False),
    Column("progress", Integer, nullable=False),
    Column("fault", Json(Fault)),
    Column("locked", Boolean, nullable=False),
    Column("locked_reason", String(255)),
    Column("access_ipv4", String(64), nullable=False),
    Column("access_ipv6", String(64), nullable=False),
    Column("ports", Json(tuple[ServerPort, ...]), nullable=False, server_default="[]"),
    Column("disk_config", String(8), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("launched_at", Moment),
    Column("deleted_at", Moment),
    # What lists filter and counts sum by, beside the flavor's copy.
    Column("flavor_id", String(255), nullable=False),
    Column("image_id", String(36)),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Index("ix_server_project", "project_id", "deleted_at", "created_at", "id"),
    Index("ix_server_changes", "updated_at"),
    Index("ix_server_usage", "project_id", "deleted_at", "vcpus", "memory_mib"),
)

_FIELDS = Server.__struct_fields__
_COLUMNS = [server.c[name] for name in _FIELDS]
_insert = insert(server)
_get = select(*_COLUMNS).where(server.c.id == bindparam("id"))
_at_place = select(*_COLUMNS).where(server.c.place == bindparam("place"), server.c.deleted_at.is_(None))

SORT_KEYS = {
    "uuid": server.c.id,
    "display_name": server.c.name,
    "name": server.c.name,
    "created_at": server.c.created_at,
    "updated_at": server.c.updated_at,
    "launched_at": server.c.launched_at,
    "vm_state": server.c.vm_state,
    "task_state": server.c.task_state,
    "power_state": server.c.power,
    "host": server.c.host,
    "project_id": server.c.project_id,
    "user_id": server.c.user_id,
    "availability_zone": server.c.zone,
    "image_ref": server.c.image_id,
    "instance_type_id": server.c.flavor_id,
    "key_name": server.c.key_name,
    "display_description": server.c.description,
    "config_drive": server.c.config_drive,
}


def _record(row: Row[Any]) -> Server:
    return Server(**dict(zip(_FIELDS, row, strict=True)))


class Servers:
    """The statements on servers."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def create(self, records: Sequence[Server]) -> None:
        """Record new servers."""
        rows = [
            {
                **{name: getattr(record, name) for name in _FIELDS},
                "flavor_id": record.flavor.id,
                "image_id": record.image.id if record.image else None,
                "vcpus": record.flavor.vcpus,
                "memory_mib": record.flavor.memory_mib,
            }
            for record in records
        ]
        self._sql.execute(_insert, rows)

    def get(self, id: str, *, project_id: str | None = None, deleted: bool = False) -> Server:
        """One server; of one project where it is given (None = of any). Raises NotFound.

        In a transaction that may write, the server and its unfinished operations stay as they are until that ends.
        """
        record = self._find(id)
        if (
            record is None
            or (project_id is not None and record.project_id != project_id)
            or (record.deleted_at is not None and not deleted)
        ):
            raise NotFound(f"Instance {id} could not be found.")
        return record

    def find(self, id: str) -> Server | None:
        """One server that is not deleted, or None."""
        record = self._find(id)
        return None if record is None or record.deleted_at is not None else record

    def find_unless_busy(self, id: str) -> Server | None:
        """One server that is not deleted, to be written; None also where another transaction has it in hand."""
        statement = to_change(self._sql, _get, skip_locked=True)
        row = self._sql.execute(statement, {"id": id}).first()
        record = None if row is None else _record(row)
        return None if record is None or record.deleted_at is not None else record

    def _find(self, id: str) -> Server | None:
        # Operations are held before their server, by everybody: the engine has an operation in hand when it comes to
        # write the server, and two that went opposite ways would wait for each other.
        self._store.operation.hold(id)
        row = self._sql.execute(to_change(self._sql, _get), {"id": id}).first()
        return None if row is None else _record(row)

    def change(self, id: str, **values: Any) -> None:
        """Set columns of one server."""
        self._sql.execute(update(server).where(server.c.id == id).values(**values))

    def _after(self, marker: str, order: Sequence[tuple[str, str]]) -> ColumnElement[bool]:
        columns = [SORT_KEYS[key] for key, _ in order]
        at = self._sql.execute(select(*columns).where(server.c.id == marker)).first()
        if at is None:
            raise Invalid(f"The marker {marker} was not found: give the id of the last server of the page before.")
        return or_(*(_later(columns, at, order, depth) for depth in range(len(order))))

    def usage(self, project_id: str) -> tuple[int, int, int]:
        """What a project uses: servers, vCPUs, memory in MiB."""
        statement = select(
            func.count(), func.coalesce(func.sum(server.c.vcpus), 0), func.coalesce(func.sum(server.c.memory_mib), 0)
        ).where(server.c.project_id == project_id, server.c.deleted_at.is_(None))
        count, vcpus, memory_mib = self._sql.execute(statement).one()
        return count, vcpus, memory_mib

    def at_place(self, place: str) -> list[Server]:
        """Every server that a place holds and that is not deleted."""
        return [_record(row) for row in self._sql.execute(_at_place, {"place": place})]

    def unknown_power(self, place: str) -> None:
        """The place does not answer: what its servers do is not known, and not lied about."""
        here = (server.c.place == place, server.c.deleted_at.is_(None))
        self._sql.execute(update(server).where(*here).values(power=Power.UNKNOWN))

    def on_host(self, host: str) -> list[Server]:
        """Every server on a host that is not deleted."""
        statement = select(*_COLUMNS).where(server.c.host == host, server.c.deleted_at.is_(None))
        return [_record(row) for row in self._sql.execute(statement.order_by(server.c.name))]

    def images_in_use(self, host: str) -> frozenset[str]:
        """Ids of the images that the servers on a host were made from."""
        statement = select(server.c.image_id).where(
            server.c.host == host, server.c.deleted_at.is_(None), server.c.image_id.is_not(None)
        )
        return frozenset(self._sql.execute(statement.distinct()).scalars())

    def purge(self, before: datetime) -> list[str]:
        """Forget the servers that were deleted before a moment; returns their ids."""
        gone = server.c.deleted_at < before
        ids = list(self._sql.execute(select(server.c.id).where(gone)).scalars())
        if ids:
            self._sql.execute(delete(server).where(gone))
        return ids

    def list(
        self,
        *,
        filter: ServerFilter,
        sort: Sequence[tuple[str, str]] = (),
        marker: str | None = None,
        limit: int | None = None,
    ) -> list[Server]:
        """Servers that match, in order, after `marker`. `sort` is (key of SORT_KEYS, "asc" or "desc") pairs.

        One statement (two with a marker). Raises Invalid for a marker that is not there.
        """
        statement = select(*_COLUMNS).where(*_conditions(filter))
        order = [*sort, ("created_at", "desc"), ("uuid", "desc")]
        if marker is not None:
            statement = statement.where(self._after(marker, order))
        statement = statement.order_by(*(_ordered(key, way) for key, way in order))
        return [_record(row) for row in self._sql.execute(statement.limit(limit))]


_EQUAL = {
    "project_id": server.c.project_id,
    "user_id": server.c.user_id,
    "host": server.c.host,
    "image_id": server.c.image_id,
    "flavor_id": server.c.flavor_id,
    "key_name": server.c.key_name,
    "reservation_id": server.c.reservation_id,
    "task_state": server.c.task_state,
    "zone": server.c.zone,
    "locked": server.c.locked,
    "config_drive": server.c.config_drive,
    "power": server.c.power,
}
_ONE_OF = {"ids": server.c.id, "vm_states": server.c.vm_state, "task_states": server.c.task_state}
_LIKE = {"name_like": server.c.name, "hostname_like": server.c.hostname}


def _conditions(wanted: ServerFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    for kind, columns in (("eq", _EQUAL), ("in", _ONE_OF), ("like", _LIKE)):
        for name, column in columns.items():
            value = getattr(wanted, name)
            if value is not None:
                found.append(_condition(kind, column, value))
    if wanted.deleted is not None:
        found.append(server.c.deleted_at.is_not(None) if wanted.deleted else server.c.deleted_at.is_(None))
    if wanted.not_task_states is not None:
        found.append(or_(server.c.task_state.is_(None), server.c.task_state.not_in(wanted.not_task_states)))
    # Tags hold neither quote nor comma, so this finds whole ones only.
    found.extend(type_coerce(server.c.tags, Text).contains(f'"{tag}"', autoescape=True) for tag in wanted.tags)
    found.extend(_addresses(wanted))
    if wanted.changed_since is not None:
        found.append(server.c.updated_at >= wanted.changed_since)
    if wanted.changed_before is not None:
        found.append(server.c.updated_at <= wanted.changed_before)
    return found


def _addresses(wanted: ServerFilter) -> list[ColumnElement[bool]]:
    patterns = ((wanted.ip_like, 4), (wanted.ip6_like, 6))
    return [has_address_like(server, pattern, version) for pattern, version in patterns if pattern is not None]


def _condition(kind: str, column: Column[Any], value: Any) -> ColumnElement[bool]:
    if kind == "eq":
        equal: ColumnElement[bool] = column == value
        return equal
    found: ColumnElement[bool] = column.in_(value) if kind == "in" else column.regexp_match(value)
    return found


def _ordered(key: str, way: str) -> ColumnElement[Any]:
    column = SORT_KEYS[key]
    return column.desc().nulls_last() if way == "desc" else column.asc().nulls_first()


def _later(
    columns: Sequence[ColumnElement[Any]], at: Row[Any], order: Sequence[tuple[str, str]], depth: int
) -> ColumnElement[bool]:
    """Equal to the marker up to `depth`, and beyond it there. Nulls come before all values, as `_ordered` has them."""
    values = [
        null() if value is None else literal(value, column.type) for column, value in zip(columns, at, strict=True)
    ]
    column, value = columns[depth], values[depth]
    if order[depth][1] == "desc":
        beyond = false() if at[depth] is None else or_(column < value, column.is_(None))
    else:
        beyond = column.is_not(None) if at[depth] is None else column > value
    same = (column.is_not_distinct_from(value) for column, value in zip(columns[:depth], values[:depth], strict=True))
    return and_(*same, beyond)
