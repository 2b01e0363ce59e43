"""Subnets."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table

from polyvisor.model.subnet import HostRoute, Pool, Subnet
from polyvisor.store.network_standard import StandardNoun, standard_columns
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
