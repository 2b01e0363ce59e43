"""Hosts, the places that serve them, and the claims that servers hold on them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    bindparam,
    case,
    delete,
    insert,
    or_,
    select,
    update,
)

from polyvisor.model.claim import Claim
from polyvisor.model.errors import NotFound
from polyvisor.model.host import Capacity, Host, HostReport, HostState
from polyvisor.model.place import Plan
from polyvisor.store.server import server
from polyvisor.store.tables import Json, Moment, Word, metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

host = Table(
    "host",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("place", String(255), nullable=False, index=True),
    Column("report", Json(HostReport), nullable=False),
    Column("state", Word(HostState), nullable=False),
    Column("state_reason", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("disabled_reason", Text, nullable=False),
    Column("forced_down", Boolean, nullable=False),
    Column("zone", String(255), nullable=False),
    Column("vcpu_ratio", Float, nullable=False),
    Column("memory_ratio", Float, nullable=False),
    Column("disk_ratio", Float, nullable=False),
    Column("reserved_vcpus", Integer, nullable=False),
    Column("reserved_memory_mib", Integer, nullable=False),
    Column("reserved_disk_gib", Integer, nullable=False),
    Column("used_vcpus", Integer, nullable=False),
    Column("used_memory_mib", BigInteger, nullable=False),
    Column("used_disk_gib", BigInteger, nullable=False),
    Column("servers", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Column("gone", Boolean, nullable=False),
    Column("change", BigInteger, nullable=False, index=True),
)

claim = Table(
    "claim",
    metadata,
    Column("server_id", String(36), primary_key=True),
    Column("host_id", Integer, ForeignKey("host.id"), nullable=False),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", BigInteger, nullable=False),
    Column("disk_gib", BigInteger, nullable=False),
    Index("ix_claim_host_id", "host_id"),
)

_FORCED = "An administrator has forced it down: take that back when it may be used again."
_FIELDS = Host.__struct_fields__
_COLUMNS = [host.c[name] for name in _FIELDS]
_live = select(*_COLUMNS).where(host.c.gone.is_(False))
_by_name = _live.where(host.c.name == bindparam("name"))
_all = _live.order_by(host.c.name)
_at_place = _all.where(host.c.place == bindparam("place"))
_seen = update(host).where(host.c.place == bindparam("of")).values(seen_at=bindparam("now", type_=Moment))
_claim_of = (
    select(claim.c.server_id, host.c.name.label("host"), claim.c.vcpus, claim.c.memory_mib, claim.c.disk_gib)
    .join(host, host.c.id == claim.c.host_id)
    .where(claim.c.server_id == bindparam("server_id"))
)
_take = (
    update(host)
    .where(host.c.name == bindparam("of"), host.c.gone.is_(False))
    .values(
        used_vcpus=host.c.used_vcpus + bindparam("more_vcpus"),
        used_memory_mib=host.c.used_memory_mib + bindparam("more_memory_mib"),
        used_disk_gib=host.c.used_disk_gib + bindparam("more_disk_gib"),
        servers=host.c.servers + 1,
        generation=host.c.generation + 1,
        change=bindparam("number"),
    )
    .returning(host.c.id)
)
# What fits is taken, though others have taken of the host since the plan was made. As in the filters, who asks for
# nothing of a resource needs no room for it.
_take_within = _take.where(
    *(
        or_(
            bindparam(f"more_{name}") <= 0,
            host.c[f"used_{name}"] + bindparam(f"more_{name}") <= bindparam(f"most_{name}"),
        )
        for name in Capacity.__struct_fields__
    ),
    host.c.enabled,
    host.c.state == HostState.UP,
)
_give_back = (
    update(host)
    .where(host.c.name == bindparam("of"))
    .values(
        used_vcpus=host.c.used_vcpus - bindparam("less_vcpus"),
        used_memory_mib=host.c.used_memory_mib - bindparam("less_memory_mib"),
        used_disk_gib=host.c.used_disk_gib - bindparam("less_disk_gib"),
        servers=host.c.servers - 1,
        generation=host.c.generation + 1,
        change=bindparam("number"),
    )
)
_insert_claim = insert(claim)
_delete_claim = delete(claim).where(claim.c.server_id == bindparam("of")).returning(claim.c.server_id)


def _record(row: Row[Any]) -> Host:
    return Host(**dict(zip(_FIELDS, row, strict=True)))


class Hosts:
    """The statements on hosts and claims."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def get(self, name: str) -> Host:
        """One host by its name. Raises NotFound."""
        row = self._sql.execute(_by_name, {"name": name}).first()
        if row is None:
            raise NotFound(f"No hypervisor host named {name} was found.")
        return _record(row)

    def changed(self, since: int) -> tuple[list[Host], list[str]]:
        """The hosts changed after change number `since`, and the names of those that went."""
        rows = self._sql.execute(select(*_COLUMNS, host.c.gone).where(host.c.change > since)).all()
        return [_record(row[:-1]) for row in rows if not row.gone], [row.report.name for row in rows if row.gone]  # type: ignore[arg-type]

    def join(self, records: Iterable[Host]) -> None:
        """Record hosts that are seen for the first time (or again, after they had gone)."""
        number = self._store.change.next("host")
        for record in records:
            values = {**{name: getattr(record, name) for name in _FIELDS}, "name": record.name}
            values.pop("id")
            self._sql.execute(delete(host).where(host.c.name == record.name, host.c.gone.is_(True)))
            self._sql.execute(insert(host), {**values, "gone": False, "change": number})

    def save_report(self, name: str, report: HostReport, place: str, now: datetime) -> None:
        """The host answers, and says this of itself."""
        state = case((host.c.forced_down, HostState.DOWN), else_=HostState.UP)
        reason = case((host.c.forced_down, _FORCED), else_="")
        self._update(name, report=report, place=place, state=state, state_reason=reason, seen_at=now)

    def seen(self, place: str, now: datetime) -> None:
        """The hosts of a place answered, and nothing about them is new (no change for the scheduler)."""
        self._sql.execute(_seen, {"of": place, "now": now})

    def down(self, place: str, reason: str) -> int:
        """No host of the place answers. Returns how many were up until now."""
        statement = update(host).where(host.c.place == place, host.c.state == HostState.UP, host.c.gone.is_(False))
        number = self._store.change.next("host")
        return self._sql.execute(statement.values(state=HostState.DOWN, state_reason=reason, change=number)).rowcount

    def places(self) -> frozenset[str]:
        """The connections that hosts have been reported by."""
        return frozenset(self._sql.execute(select(host.c.place).where(host.c.gone.is_(False)).distinct()).scalars())

    def placed(self, names: Iterable[str]) -> dict[str, str]:
        """Of the hosts by these names that are in the cloud, the places that report them."""
        wanted = list(names)
        if not wanted:
            return {}
        statement = select(host.c.name, host.c.place).where(host.c.name.in_(wanted), host.c.gone.is_(False))
        return {row.name: row.place for row in self._sql.execute(statement)}

    def down_one(self, name: str, reason: str) -> None:
        """One host does not answer, though its place does."""
        self._update(name, state=HostState.DOWN, state_reason=reason)

    def leave(self, name: str) -> None:
        """The host has left the cloud; it holds no claim any more."""
        self._update(name, gone=True)

    def enable(self, name: str, enabled: bool, reason: str) -> None:
        """Let the scheduler use the host, or not."""
        self._update(name, enabled=enabled, disabled_reason="" if enabled else reason)

    def force_down(self, name: str, forced: bool) -> None:
        """Count the host as down whatever it reports; or believe it again, from its next report on."""
        told = {"state": HostState.DOWN, "state_reason": _FORCED} if forced else {}
        self._update(name, forced_down=forced, **told)

    def set_zone(self, names: Iterable[str], zone: str) -> None:
        """The availability zone that the hosts' aggregates give them."""
        number = self._store.change.next("host")
        self._sql.execute(update(host).where(host.c.name.in_(list(names))).values(zone=zone, change=number))

    def set_ratios(self, name: str, vcpu_ratio: float, memory_ratio: float, disk_ratio: float) -> None:
        """The host's own overcommit."""
        self._update(name, vcpu_ratio=vcpu_ratio, memory_ratio=memory_ratio, disk_ratio=disk_ratio)

    def set_reserved(self, name: str, vcpus: int, memory_mib: int, disk_gib: int) -> None:
        """What the host keeps for itself."""
        self._update(name, reserved_vcpus=vcpus, reserved_memory_mib=memory_mib, reserved_disk_gib=disk_gib)

    def _update(self, name: str, **values: Any) -> None:
        number = self._store.change.next("host")
        statement = update(host).where(host.c.name == name).values(**values, change=number)
        self._sql.execute(statement)

    # Claims

    def claim_of(self, server_id: str) -> Claim | None:
        """The claim that a server holds; None when it holds none."""
        row = self._sql.execute(_claim_of, {"server_id": server_id}).first()
        return None if row is None else Claim(**row._mapping)

    def claim(self, wanted: Claim, plan: Plan) -> bool:
        """Hold the resources on the plan's host; False when they no longer fit there, or the host takes no servers any
        more (plan again). A plan without limits is a forced one, and taken wherever the host is.

        Running it twice for one server holds them once.
        """
        held = self.claim_of(wanted.server_id)
        if held is not None and held.host == plan.host:
            return True
        if held is not None:
            self.release(wanted.server_id)
        more = {
            "of": plan.host,
            "more_vcpus": wanted.vcpus,
            "more_memory_mib": wanted.memory_mib,
            "more_disk_gib": wanted.disk_gib,
            "number": self._store.change.next("host"),
        }
        if plan.limits is None:
            taken = self._sql.execute(_take, more).scalar()
        else:
            most = {f"most_{name}": amount for name, amount in msgspec.structs.asdict(plan.limits).items()}
            taken = self._sql.execute(_take_within, {**more, **most}).scalar()
        if taken is None:
            return False
        values = {k: v for k, v in msgspec.structs.asdict(wanted).items() if k != "host"}
        self._sql.execute(_insert_claim, {**values, "host_id": taken})
        return True

    def release(self, server_id: str) -> str | None:
        """Give back what a server holds; returns the host that it was held on, None when nothing was."""
        held = self.claim_of(server_id)
        if held is None:
            return None
        number = self._store.change.next("host")
        if self._sql.execute(_delete_claim, {"of": server_id}).first() is None:
            return None  # another process was first
        self._sql.execute(
            _give_back,
            {
                "of": held.host,
                "less_vcpus": held.vcpus,
                "less_memory_mib": held.memory_mib,
                "less_disk_gib": held.disk_gib,
                "number": number,
            },
        )
        return held.host

    def claims(self, place: str | None = None) -> list[Claim]:
        """Every claim (on the hosts of one place)."""
        statement = select(
            claim.c.server_id, host.c.name.label("host"), claim.c.vcpus, claim.c.memory_mib, claim.c.disk_gib
        ).join(host, host.c.id == claim.c.host_id)
        if place is not None:
            statement = statement.where(host.c.place == place)
        return [Claim(**row._mapping) for row in self._sql.execute(statement)]

    def orphaned_claims(self) -> list[str]:
        """Ids of the servers that hold a claim, though they are deleted or were never recorded."""
        alive = select(server.c.id).where(server.c.deleted_at.is_(None))
        return list(self._sql.execute(select(claim.c.server_id).where(claim.c.server_id.not_in(alive))).scalars())

    def list(self, *, place: str | None = None) -> list[Host]:
        """Every host, by name; of one place where it is given."""
        rows = self._sql.execute(_all) if place is None else self._sql.execute(_at_place, {"place": place})
        return [_record(row) for row in rows]
