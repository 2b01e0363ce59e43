"""Migrations: one row for each, kept as long as the server's record."""

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
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from polyvisor.model.errors import Invalid
from polyvisor.model.migration import Migration, MigrationFilter, MigrationStatus, MigrationType
from polyvisor.model.operation import UNFINISHED, Operation, OperationState
from polyvisor.store.flavor import flavor
from polyvisor.store.operation import operation
from polyvisor.store.tables import Moment, Word, metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

migration = Table(
    "migration",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("server_id", String(36), nullable=False, index=True),
    Column("project_id", String(64), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("type", Word(MigrationType), nullable=False),
    Column("status", Word(MigrationStatus), nullable=False),
    Column("source_host", String(255), nullable=False),
    Column("source_place", String(255), nullable=False),
    Column("target_host", String(255), nullable=False),
    Column("target_place", String(255), nullable=False),
    Column("target_address", String(255), nullable=False),
    Column("disks_kept", Boolean, nullable=False),
    Column("flavor_number", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Index("ix_migration_created", "created_at", "id"),
    Index("ix_migration_source", "source_place", "status"),
    sqlite_autoincrement=True,
)

_FIELDS = Migration.__struct_fields__
_COLUMNS = [migration.c[name] for name in _FIELDS]
_select = select(*_COLUMNS)
_left = _select.where(migration.c.source_place == bindparam("place"), migration.c.status == MigrationStatus.DONE)
_newest_first = (migration.c.created_at.desc(), migration.c.id.desc())
_ARRIVED = (MigrationStatus.DONE, MigrationStatus.COMPLETED)
_EQUAL = {
    "server_id": migration.c.server_id,
    "source_host": migration.c.source_host,
    "type": migration.c.type,
    "user_id": migration.c.user_id,
    "project_id": migration.c.project_id,
}


def _record(row: Row[Any]) -> Migration:
    return Migration(**dict(zip(_FIELDS, row, strict=True)))


class Migrations:
    """The statements on migrations."""

    def __init__(self, store: Store) -> None:
        self._sql = store.connection

    def record(self, wanted: Migration, flavor_id: str) -> None:
        """Record a migration, once: a second run for the same uuid changes nothing. The database gives the numbers."""
        if self._sql.execute(select(migration.c.id).where(migration.c.uuid == wanted.uuid)).first() is None:
            values = {name: getattr(wanted, name) for name in _FIELDS if name not in ("id", "flavor_number")}
            number = select(flavor.c.number).where(flavor.c.id == flavor_id).scalar_subquery()
            self._sql.execute(insert(migration).values(**values, flavor_number=func.coalesce(number, 0)))

    def change(self, uuid: str, **values: Any) -> None:
        """Set columns of one migration."""
        self._sql.execute(update(migration).where(migration.c.uuid == uuid).values(**values))

    def of_server(self, server_id: str) -> list[Migration]:
        """A server's migrations, the newest first."""
        found = self._sql.execute(_select.where(migration.c.server_id == server_id).order_by(*_newest_first))
        return [_record(row) for row in found]

    def arrived(self, server_id: str) -> list[Migration]:
        """Those by which the server has reached another host, the newest first."""
        return [each for each in self.of_server(server_id) if each.status in _ARRIVED]

    def uncleared(self, server_id: str) -> list[Migration]:
        """Those after which the place that the server left has not said yet that nothing of it is left there."""
        return [each for each in self.of_server(server_id) if each.status is MigrationStatus.DONE]

    def left(self, place: str) -> list[Migration]:
        """The same of all servers that have left one place."""
        return [_record(row) for row in self._sql.execute(_left, {"place": place})]

    def removals(self, target_prefix: str) -> list[Any]:
        """The arguments of unfinished operations whose targets begin so: those that remove a server's old guests."""
        unended = operation.c.state.in_((*UNFINISHED, OperationState.STUCK))
        like = operation.c.target_id.startswith(target_prefix, autoescape=True)
        return list(self._sql.execute(select(operation.c.args).where(like, unended)).scalars())

    def newest_operations(self, server_ids: Sequence[str]) -> list[Operation]:
        """Of each of these servers, the newest operation on it. One statement."""
        last = (
            select(func.max(operation.c.number))
            .where(operation.c.target_id.in_(list(server_ids)))
            .group_by(operation.c.target_id)
        )
        columns = [operation.c[name] for name in Operation.__struct_fields__]
        found = self._sql.execute(select(*columns).where(operation.c.number.in_(last)))
        return [Operation(**row._mapping) for row in found]

    def automatic_under_way(self) -> int:
        """How many evacuations that nobody asked for have not ended."""
        statement = select(func.count()).where(
            operation.c.kind == "server.evacuate", operation.c.user_id == "", operation.c.state.in_(UNFINISHED)
        )
        return int(self._sql.execute(statement).scalar_one())

    def complete(self, server_id: str, place: str, now: datetime) -> None:
        """Nothing of the server is left at the place that it went from."""
        here = and_(
            migration.c.server_id == server_id,
            migration.c.source_place == place,
            migration.c.status == MigrationStatus.DONE,
        )
        values = {"status": MigrationStatus.COMPLETED, "updated_at": now}
        self._sql.execute(update(migration).where(here).values(**values))

    def forget_servers(self, server_ids: Sequence[str]) -> None:
        """Remove the migrations of servers that were purged."""
        if server_ids:
            self._sql.execute(delete(migration).where(migration.c.server_id.in_(server_ids)))

    def list(self, wanted: MigrationFilter, *, marker: str | None = None, limit: int | None = None) -> list[Migration]:
        """The newest first, after the one whose uuid `marker` is. One statement (two with a marker).

        Raises Invalid for a marker that is not there.
        """
        statement = _select.where(*_conditions(wanted)).order_by(*_newest_first).limit(limit)
        if marker is not None:
            at = self._sql.execute(
                select(migration.c.created_at, migration.c.id).where(migration.c.uuid == marker)
            ).first()
            if at is None:
                raise Invalid(f"The marker {marker} was not found: give the uuid of the page before's last one.")
            earlier = migration.c.created_at < at.created_at
            statement = statement.where(
                or_(earlier, and_(migration.c.created_at == at.created_at, migration.c.id < at.id))
            )
        return [_record(row) for row in self._sql.execute(statement)]


def _conditions(wanted: MigrationFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [
        column == getattr(wanted, name) for name, column in _EQUAL.items() if getattr(wanted, name) is not None
    ]
    if wanted.host is not None:
        found.append(or_(migration.c.source_host == wanted.host, migration.c.target_host == wanted.host))
    if wanted.statuses is not None:
        found.append(migration.c.status.in_(wanted.statuses))
    if wanted.changed_since is not None:
        found.append(migration.c.updated_at >= wanted.changed_since)
    if wanted.changed_before is not None:
        found.append(migration.c.updated_at <= wanted.changed_before)
    return found
