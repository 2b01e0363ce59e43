"""Subnet pools: the ranges that subnets are made of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_network
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, String, Table, exists, select

from polyvisor.model.errors import Conflict, Invalid
from polyvisor.model.ip import overlapping
from polyvisor.model.subnet_pool import SubnetPool
from polyvisor.model.subnet_pool_room import first_free, inside, weight
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
