"""Subnet pools: the ranges that subnets are made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from ipaddress import ip_network
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, String, Table, exists, or_, select

from polyvisor.model.errors import Conflict, Invalid
from polyvisor.model.ip import overlapping
from polyvisor.model.subnet_pool import SubnetPool
from polyvisor.model.subnet_pool_room import first_free, inside, merged, weight
from polyvisor.store.locking import one_at_a_time
from polyvisor.store.network import network
from polyvisor.store.network_standard import StandardNoun, standard_columns
from polyvisor.store.subnet import subnet
from polyvisor.store.tables import Json, metadata

subnet_pool = Table(
    "subnet_pool",
    metadata,
    *standard_columns(),
    Column("ip_version", Integer, nullable=False),
    Column("prefixes", Json(tuple[str, ...]), nullable=False),
    Column("min_prefixlen", Integer, nullable=False),
    Column("max_prefixlen", Integer, nullable=False),
    Column("default_prefixlen", Integer, nullable=False),
    Column("default_quota", BigInteger),
    Column("address_scope_id", String(36), ForeignKey("address_scope.id"), index=True),
    Column("is_default", Boolean, nullable=False),
)


_MADE = "default_subnet_pool"
"""The cloud's fact that says that the first start has made the default pool, or was told to make none."""


class SubnetPools(StandardNoun[SubnetPool]):
    """The statements on subnet pools."""

    table = subnet_pool
    kind = SubnetPool
    title = "Subnet pool"
    missing = "SubnetPoolNotFound"
    object_type = "subnetpool"

    def create(self, record: SubnetPool) -> SubnetPool:
        """A new pool. Raises Conflict where another one of its address scope has addresses in common with it."""
        if record.project_id:
            self._store.network_quota.check(record.project_id, subnetpool=1)
        self._check(record)
        self._add([record])
        if record.shared:
            self._store.rbac_policy.open_to_all("subnetpool", record.id, record.project_id)
        return msgspec.structs.replace(record)

    def bootstrap(self, prefix: str, new_id: str, now: datetime) -> None:
        """Give a cloud that has no networks yet its default pool, once; "" = none, from now on.

        Automatic networks are made of it, of 62 servers each. Raises Invalid where the range is none.
        """
        one_at_a_time(self._sql, "first_start")
        if self._store.cloud.find(_MADE) is not None:
            return
        self._store.cloud.keep(_MADE, prefix or "none")
        fresh = not self._sql.execute(
            select(or_(exists().select_from(subnet_pool), exists().select_from(network)))
        ).scalar()
        if prefix and fresh:
            self.create(_default_pool(prefix, new_id, now))

    def change(self, record: SubnetPool, changes: Mapping[str, Any], now: datetime) -> SubnetPool:
        """The pool with other fields. Raises Conflict."""
        changed = super().change(record, changes, now)
        self._check(changed)
        return changed

    def delete(self, record: SubnetPool) -> None:
        """Remove a pool. Raises Conflict while subnets are made of it."""
        if self._sql.execute(select(exists().where(subnet.c.subnetpool_id == record.id))).scalar():
            raise Conflict(
                f"Unable to complete operation on subnet pool {record.id}. Subnets are allocated from it: "
                "delete them first.",
                kind="SubnetPoolInUse",
            )
        self._remove([record.id])

    def refuse_lost(self, record: SubnetPool, prefixes: Collection[str]) -> None:
        """Raise Conflict where a subnet is made of what the pool would have no longer, or nothing would be left."""
        lost = sorted(cidr for _, cidr in self._store.subnet.cidrs_of_pool(record.id) if not inside(prefixes, cidr))
        if lost or not prefixes:
            reason = f"subnets are allocated from them: {', '.join(lost[:3])}" if lost else "a pool has at least one"
            raise Conflict(
                f"Prefixes of subnet pool {record.id} cannot be removed: {reason}.",
                kind="IllegalSubnetPoolPrefixUpdate",
            )

    def projects_in_scope(self, address_scope_id: str) -> set[str]:
        """The projects that have pools in an address scope. One statement."""
        where = subnet_pool.c.address_scope_id == address_scope_id
        return set(self._sql.execute(select(subnet_pool.c.project_id).where(where).distinct()).scalars())

    def scopes(self, ids: Collection[str]) -> dict[str, str]:
        """The address scopes of pools, by the pools' ids; those that are in none are left out. One statement."""
        where = (subnet_pool.c.id.in_(sorted(ids)), subnet_pool.c.address_scope_id.is_not(None))
        rows = self._sql.execute(select(subnet_pool.c.id, subnet_pool.c.address_scope_id).where(*where))
        return {row.id: row.address_scope_id for row in rows}

    def default(self, ip_version: int) -> SubnetPool | None:
        """The default pool of an IP version. One statement."""
        where = (subnet_pool.c.is_default, subnet_pool.c.ip_version == ip_version)
        row = self._sql.execute(self._select(None).where(*where).limit(1)).first()
        return None if row is None else self._of(row)

    def allocate(self, record: SubnetPool, project_id: str, *, cidr: str | None, prefixlen: int | None) -> str:
        """The range of a new subnet: `cidr` where it is given, else the first free one of that size.

        The caller has got the pool in this transaction. Raises Invalid and Conflict.
        """
        used = self._store.subnet.cidrs_of_pool(record.id)
        wanted = ip_network(cidr).prefixlen if cidr is not None else prefixlen or record.default_prefixlen
        _check_size(record, wanted)
        if cidr is None:
            cidr = first_free(record.prefixes, [each for _, each in used], wanted)
            if cidr is None:
                raise Conflict(
                    "Failed to allocate subnet: Insufficient prefix space to allocate subnet size "
                    f"/{wanted} from pool {record.id}.",
                    kind="SubnetAllocationError",
                )
        elif not inside(record.prefixes, cidr) or any(overlapping(cidr, each) for _, each in used):
            raise Conflict(
                f"Failed to allocate subnet: Cannot allocate requested subnet {cidr} from the available set of "
                f"prefixes of pool {record.id}.",
                kind="SubnetAllocationError",
            )
        held = sum(weight(each) for owner, each in used if owner == project_id)
        if record.default_quota is not None and held + weight(cidr) > record.default_quota:
            raise Conflict("Per-tenant subnet pool prefix quota exceeded.", kind="SubnetPoolQuotaExceeded")
        return cidr

    def _check(self, record: SubnetPool) -> None:
        """Within one address scope no address is in two pools."""
        if record.address_scope_id is None:
            return
        where = (subnet_pool.c.address_scope_id == record.address_scope_id, subnet_pool.c.id != record.id)
        for other in self._sql.execute(select(subnet_pool.c.id, subnet_pool.c.prefixes).where(*where)):
            if any(overlapping(one, two) for one in record.prefixes for two in other.prefixes):
                raise Conflict(
                    f"Failed to associate address scope: subnetpools within an address scope must have unique "
                    f"prefixes, and pool {other.id} has some of these.",
                    kind="AddressScopePrefixConflict",
                )


def _default_pool(prefix: str, id: str, now: datetime) -> SubnetPool:
    try:
        [kept] = merged([prefix])
        version = ip_network(kept).version
    except ValueError:
        raise Invalid(
            f"[network] default_subnet_pool: {prefix!r} is no range of addresses, such as 10.64.0.0/12."
        ) from None
    six = version == 6
    return SubnetPool(
        id=id,
        project_id="",
        name="default",
        description="Made at the cloud's first start, for automatic networks",
        ip_version=version,
        prefixes=(kept,),
        min_prefixlen=64 if six else 8,
        max_prefixlen=128 if six else 32,
        default_prefixlen=64 if six else 26,
        shared=True,
        is_default=True,
        created_at=now,
        updated_at=now,
    )


def _check_size(record: SubnetPool, prefixlen: int) -> None:
    if prefixlen < record.min_prefixlen:
        raise Invalid(
            f"Unable to allocate subnet with prefix length {prefixlen}, minimum allowed prefix is "
            f"{record.min_prefixlen}.",
            kind="MinPrefixSubnetAllocationError",
        )
    if prefixlen > record.max_prefixlen:
        raise Invalid(
            f"Unable to allocate subnet with prefix length {prefixlen}, maximum allowed prefix is "
            f"{record.max_prefixlen}.",
            kind="MaxPrefixSubnetAllocationError",
        )
