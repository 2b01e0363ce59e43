"""Subnet pools."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, String, Table

from polyvisor.model.subnet_pool import SubnetPool
from polyvisor.store.network_standard import StandardNoun, standard_columns
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
