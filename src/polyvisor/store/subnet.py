"""Subnets, and the addresses that go with them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Integer,
    String,
    Table,
    and_,
    delete,
    exists,
    func,
    or_,
    select,
)

from polyvisor.model.errors import Conflict
from polyvisor.model.ip import is_automatic
from polyvisor.model.network_intent import Unit
from polyvisor.model.rbac_policy import AS_SHARED, EVERYBODY
from polyvisor.model.subnet import HostRoute, Pool, Subnet
from polyvisor.model.subnet_check import check_apart, check_subnet
from polyvisor.store.network import check_mtu_of_subnets, network
from polyvisor.store.network_standard import Condition, StandardNoun, matches, standard_columns
from polyvisor.store.port_tables import port, port_address
from polyvisor.store.rbac_policy import rbac_policy
from polyvisor.store.tables import Json, metadata

subnet = Table(
    "subnet",
    metadata,
    *standard_columns(),
    Column("network_id", String(36), ForeignKey("network.id"), nullable=False, index=True),
    Column("ip_version", Integer, nullable=False),
    Column("cidr", String(64), nullable=False),
    Column("gateway_ip", String(64)),
    Column("allocation_pools", Json(tuple[Pool, ...]), nullable=False),
    Column("dns_nameservers", Json(tuple[str, ...]), nullable=False),
    Column("host_routes", Json(tuple[HostRoute, ...]), nullable=False),
    Column("enable_dhcp", Boolean, nullable=False),
    Column("ipv6_ra_mode", String(32)),
    Column("ipv6_address_mode", String(32)),
    Column("subnetpool_id", String(36), index=True),
    Column("segment_id", String(36), index=True),
    Column("service_types", Json(tuple[str, ...]), nullable=False),
    Column("dns_publish_fixed_ip", Boolean, nullable=False),
    Column("last_key", String(32), nullable=False),
)
"""`last_key`: the address that was given out last, as `port_address.key`; the next one is looked for after it."""


class Subnets(StandardNoun[Subnet]):
    """The statements on subnets."""

    table = subnet
    kind = Subnet
    title = "Subnet"
    missing = "SubnetNotFound"

    def visible(self, viewer: str) -> ColumnElement[bool]:
        """A project sees its own subnets, those of its own networks, and those of networks that are shared with it."""
        on_own = exists().where(network.c.id == subnet.c.network_id, network.c.project_id == viewer)
        shared = exists().where(
            rbac_policy.c.object_id == subnet.c.network_id,
            rbac_policy.c.action == AS_SHARED,
            rbac_policy.c.target_project.in_([EVERYBODY, viewer]),
        )
        return or_(subnet.c.project_id == viewer, on_own, shared)

    def filters(self) -> Mapping[str, Condition]:
        """Subnets are shared as their networks are."""
        everybody = exists().where(
            rbac_policy.c.object_id == subnet.c.network_id,
            rbac_policy.c.action == AS_SHARED,
            rbac_policy.c.target_project == EVERYBODY,
        )
        return {"shared": lambda values: matches(everybody, values, "shared")}

    def of_networks(self, network_ids: Collection[str]) -> list[Subnet]:
        """The subnets of networks, oldest first. One statement."""
        statement = self._select(None).where(subnet.c.network_id.in_(sorted(network_ids)))
        return [self._of(row) for row in self._sql.execute(statement.order_by(subnet.c.created_at, subnet.c.id))]

    def create(self, record: Subnet, now: datetime) -> Subnet:
        """A new subnet, on a network that the caller has got in this transaction. Raises Invalid and Conflict.

        Where ports make their addresses themselves, those of the network have one each from now on.
        """
        check_subnet(record)
        if record.project_id:
            self._store.network_quota.check(record.project_id, subnet=1)
        held = self._store.network.get(record.network_id)
        check_mtu_of_subnets(held.id, held.mtu, [record.ip_version])
        check_apart(record, self.of_networks([record.network_id]))
        self._add([record], last_key="")
        self._store.network.change(held, {"subnet_ids": (*held.subnet_ids, record.id)}, now)
        if is_automatic(record):
            self._store.network_port.add_automatic(record, now)
        return record

    def change(self, record: Subnet, changes: Mapping[str, Any], now: datetime) -> Subnet:
        """The subnet with other fields. Raises Invalid and Conflict."""
        changed = super().change(record, changes, now)
        check_subnet(changed)
        if changed.gateway_ip != record.gateway_ip:
            self._refuse_gateway_in_use(record)
        self._store.network.bump([record.network_id], now)
        self._store.network_intent.touch(Unit.NETWORK, [record.network_id])
        return changed

    def delete(self, record: Subnet, now: datetime) -> None:
        """Remove a subnet. Raises Conflict while ports have addresses of it that they did not make themselves."""
        held = self._store.network.get(record.network_id)
        self._store.network_port.clear_subnet(record, now)
        self._remove([record.id])
        left = tuple(id for id in held.subnet_ids if id != record.id)
        self._store.network.change(held, {"subnet_ids": left}, now)

    def clear_network(self, network_id: str) -> None:
        """Remove the subnets of a network that has no ports any more."""
        self._sql.execute(delete(subnet).where(subnet.c.network_id == network_id))

    def cidrs_of_pool(self, pool_id: str) -> list[tuple[str, str]]:
        """(Project, CIDR) of the subnets that are made of a pool. One statement."""
        statement = select(subnet.c.project_id, subnet.c.cidr).where(subnet.c.subnetpool_id == pool_id)
        return [(row.project_id, row.cidr) for row in self._sql.execute(statement.order_by(subnet.c.cidr))]

    def used(self, ids: Collection[str]) -> dict[str, int]:
        """How many addresses ports have of subnets, by the subnets' ids. One statement."""
        counted = select(port_address.c.subnet_id, func.count().label("used")).group_by(port_address.c.subnet_id)
        rows = self._sql.execute(counted.where(port_address.c.subnet_id.in_(sorted(ids))))
        return dict.fromkeys(ids, 0) | {row.subnet_id: row.used for row in rows}

    def _refuse_gateway_in_use(self, record: Subnet) -> None:
        if record.gateway_ip is None:
            return
        statement = (
            select(port.c.id)
            .join(port_address, port_address.c.port_id == port.c.id)
            .where(
                and_(
                    port_address.c.subnet_id == record.id,
                    port_address.c.ip_address == record.gateway_ip,
                    port.c.device_owner.startswith("network:router"),
                )
            )
        )
        used = self._sql.execute(statement.limit(1)).scalar()
        if used is not None:
            raise Conflict(
                f"Current gateway ip {record.gateway_ip} already in use by port {used}. Unable to update.",
                kind="GatewayIpInUse",
            )
