"""Host aggregates, their metadata and hosts; and the availability zones that they make, kept true in the host table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    Row,
    String,
    Table,
    UniqueConstraint,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    select,
    update,
)

from polyvisor.model.aggregate import ZONE_KEY, Aggregate
from polyvisor.model.errors import Conflict, NotFound
from polyvisor.model.host import HostState
from polyvisor.model.place import AggregateView
from polyvisor.store.host import host as host_table
from polyvisor.store.server import server
from polyvisor.store.tables import Json, Moment, metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

aggregate = Table(
    "aggregate",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("metadata", Json(dict[str, str]), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment),
    sqlite_autoincrement=True,
)

aggregate_host = Table(
    "aggregate_host",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("aggregate_id", Integer, ForeignKey("aggregate.id"), nullable=False),
    Column("host", String(255), nullable=False, index=True),
    UniqueConstraint("aggregate_id", "host"),
)

_COLUMNS = [aggregate.c[name] for name in ("id", "uuid", "name", "metadata", "created_at", "updated_at")]
_with_hosts = (
    select(*_COLUMNS, aggregate_host.c.host)
    .select_from(aggregate.outerjoin(aggregate_host, aggregate_host.c.aggregate_id == aggregate.c.id))
    .order_by(aggregate.c.id, aggregate_host.c.id)
)
_get = _with_hosts.where(aggregate.c.id == bindparam("of"))
_by_uuid = _with_hosts.where(aggregate.c.uuid == bindparam("of"))
_by_name = _with_hosts.where(aggregate.c.name == bindparam("of"))
_everything = select(aggregate.c.id, aggregate.c.name, aggregate.c.metadata)
_members = select(aggregate_host.c.aggregate_id, aggregate_host.c.host)


def _records(rows: Iterable[Row[Any]]) -> list[Aggregate]:
    heads: dict[int, Row[Any]] = {}
    hosts: dict[int, list[str]] = {}
    for row in rows:
        heads.setdefault(row.id, row)
        found = hosts.setdefault(row.id, [])
        if row.host is not None:
            found.append(row.host)
    return [
        Aggregate(
            id=row.id,
            uuid=row.uuid,
            name=row.name,
            metadata=row.metadata,
            hosts=tuple(hosts[number]),
            created_at=row.created_at,
            updated_at=row.updated_at,
        )
        for number, row in heads.items()
    ]


class Aggregates:
    """The statements on aggregates. Each change first takes the aggregates' change number, so that changes of zones
    come one after the other and a host is never in two."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def get(self, aggregate_id: int | str) -> Aggregate:
        """One aggregate by its number (int) or uuid (str). Raises NotFound."""
        statement = _get if isinstance(aggregate_id, int) else _by_uuid
        found = _records(self._sql.execute(statement, {"of": aggregate_id}))
        if not found:
            raise NotFound(f"Aggregate {aggregate_id} could not be found.")
        return found[0]

    def views(self) -> list[AggregateView]:
        """Every aggregate as the scheduler sees it. Two statements."""
        hosts: dict[int, set[str]] = {}
        for number, host in self._sql.execute(_members):
            hosts.setdefault(number, set()).add(host)
        return [
            AggregateView(id=row.id, name=row.name, metadata=row.metadata, hosts=frozenset(hosts.get(row.id, ())))
            for row in self._sql.execute(_everything)
        ]

    def zones(self) -> frozenset[str]:
        """The availability zones that there are: those of the hosts."""
        statement = select(host_table.c.zone).where(host_table.c.gone.is_(False)).distinct()
        return frozenset(self._sql.execute(statement).scalars())

    def open_zones(self) -> dict[str, bool]:
        """The availability zones in order, and whether any host there takes servers now. One statement."""
        usable = case((and_(host_table.c.enabled, host_table.c.state == HostState.UP), 1), else_=0)
        statement = select(host_table.c.zone, func.max(usable)).where(host_table.c.gone.is_(False))
        rows = self._sql.execute(statement.group_by(host_table.c.zone).order_by(host_table.c.zone))
        return {row[0]: bool(row[1]) for row in rows}

    def list(self) -> list[Aggregate]:
        """Every aggregate, oldest first. One statement."""
        return _records(self._sql.execute(_with_hosts))

    def create(self, name: str, entries: Mapping[str, str], *, uuid: str, now: datetime) -> Aggregate:
        """A new aggregate without hosts. Raises Conflict where the name is taken."""
        self._store.change.next("aggregate")
        self._refuse_name(name)
        values = {"uuid": uuid, "name": name, "metadata": dict(entries), "created_at": now}
        number = self._sql.execute(insert(aggregate).values(values).returning(aggregate.c.id)).scalar_one()
        return Aggregate(id=number, uuid=uuid, name=name, metadata=dict(entries), created_at=now)

    def update(
        self,
        aggregate_id: int,
        *,
        name: str | None,
        entries: Mapping[str, str | None],
        default_zone: str,
        now: datetime,
    ) -> Aggregate:
        """Rename it where `name` is given, and set metadata; an entry that is None is removed.

        `default_zone` is where hosts go that no aggregate names a zone for. Raises Conflict where the name is taken or
        a host would be in two zones.
        """
        self._store.change.next("aggregate")
        before = self.get(aggregate_id)
        merged = {**before.metadata, **entries}
        kept = {key: value for key, value in merged.items() if value is not None}
        values: dict[str, Any] = {"metadata": kept, "updated_at": now}
        if name is not None and name != before.name:
            self._refuse_name(name)
            values["name"] = name
        self._sql.execute(update(aggregate).where(aggregate.c.id == aggregate_id).values(**values))
        if kept.get(ZONE_KEY) != before.zone:
            self._settle_zones(before.hosts, default_zone)
        return self.get(aggregate_id)

    def delete(self, aggregate_id: int) -> None:
        """Remove an aggregate that has no hosts. Raises NotFound, and Conflict while it has some."""
        self._store.change.next("aggregate")
        found = self.get(aggregate_id)
        if found.hosts:
            raise Conflict(f"Aggregate {aggregate_id} is not empty: remove its {len(found.hosts)} hosts first.")
        self._sql.execute(delete(aggregate).where(aggregate.c.id == aggregate_id))

    def add_host(self, aggregate_id: int, host: str, *, default_zone: str, now: datetime) -> Aggregate:
        """Add a host. Raises NotFound, and Conflict where it is a member already or would be in two zones."""
        self._store.change.next("aggregate")
        found = self.get(aggregate_id)
        self._store.host.get(host)
        if host in found.hosts:
            raise Conflict(f"Aggregate {aggregate_id} already has host {host}.")
        self._add(aggregate_id, [host], now)
        if found.zone is not None:
            self._settle_zones([host], default_zone)
        return self.get(aggregate_id)

    def remove_host(self, aggregate_id: int, host: str, *, default_zone: str, now: datetime) -> Aggregate:
        """Remove a host. Raises NotFound where it is no member."""
        self._store.change.next("aggregate")
        found = self.get(aggregate_id)
        member = (aggregate_host.c.aggregate_id == aggregate_id, aggregate_host.c.host == host)
        if not self._sql.execute(delete(aggregate_host).where(*member)).rowcount:
            raise NotFound(f"Aggregate {aggregate_id} has no host {host}.")
        self._touch(aggregate_id, now)
        if found.zone is not None:
            self._settle_zones([host], default_zone)
        return self.get(aggregate_id)

    # What the inventory calls

    def join(self, kind: str, names: Sequence[str], *, new_uuid: str, now: datetime) -> None:
        """Put hosts that join the cloud into the aggregate of their kind, made where there is none."""
        self._store.change.next("aggregate")
        found = _records(self._sql.execute(_by_name, {"of": kind}))
        home = found[0] if found else self.create(kind, {"hypervisor_type": kind}, uuid=new_uuid, now=now)
        missing = [name for name in names if name not in set(home.hosts)]
        if missing:
            self._add(home.id, missing, now)
        if missing and home.zone is not None:
            self._store.host.set_zone(missing, home.zone)

    def leave(self, host: str, now: datetime) -> None:
        """Take a host that leaves the cloud out of its aggregates."""
        self._store.change.next("aggregate")
        statement = delete(aggregate_host).where(aggregate_host.c.host == host)
        for number in self._sql.execute(statement.returning(aggregate_host.c.aggregate_id)).scalars().all():
            self._touch(number, now)

    def _add(self, aggregate_id: int, names: Iterable[str], now: datetime) -> None:
        self._sql.execute(insert(aggregate_host), [{"aggregate_id": aggregate_id, "host": name} for name in names])
        self._touch(aggregate_id, now)

    def _touch(self, aggregate_id: int, now: datetime) -> None:
        self._sql.execute(update(aggregate).where(aggregate.c.id == aggregate_id).values(updated_at=now))

    def _refuse_name(self, name: str) -> None:
        if self._sql.execute(_by_name, {"of": name}).first() is not None:
            raise Conflict(f"Aggregate {name} already exists: choose another name.")

    def _settle_zones(self, names: Sequence[str], default_zone: str) -> None:
        """Give hosts the zone that their aggregates name now."""
        zones: dict[str, set[str]] = {name: set() for name in names}
        joined = select(aggregate_host.c.host, aggregate.c.metadata).join(
            aggregate, aggregate.c.id == aggregate_host.c.aggregate_id
        )
        for host, entries in self._sql.execute(joined.where(aggregate_host.c.host.in_(list(names)))):
            if ZONE_KEY in entries:
                zones[host].add(entries[ZONE_KEY])
        by_zone: dict[str, list[str]] = {}
        for host, named in zones.items():
            if len(named) > 1:
                raise Conflict(f"Host {host} would be in the availability zones {' and '.join(sorted(named))} at once.")
            by_zone.setdefault(min(named, default=default_zone), []).append(host)
        for zone, hosts in by_zone.items():
            self._refuse_pinned(hosts, zone)
            self._store.host.set_zone(hosts, zone)
            moved = update(server).where(server.c.host.in_(hosts), server.c.deleted_at.is_(None))
            self._sql.execute(moved.values(zone=zone))

    def _refuse_pinned(self, hosts: Sequence[str], zone: str) -> None:
        statement = select(server.c.id, server.c.host, server.c.zone_requested).where(
            server.c.host.in_(hosts), server.c.deleted_at.is_(None), server.c.zone_requested != zone
        )
        held = self._sql.execute(statement.limit(1)).first()
        if held is not None:
            raise Conflict(
                f"Host {held.host} holds server {held.id}, which was asked for in availability zone "
                f"{held.zone_requested}: the host cannot go to zone {zone} before that server has left it."
            )
