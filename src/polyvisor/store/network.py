"""Networks."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table

from polyvisor.model.network import Network, SegmentRef
from polyvisor.model.network_intent import Unit
from polyvisor.store.network_standard import StandardNoun, standard_columns
from polyvisor.store.tables import Json, metadata

network = Table(
    "network",
    metadata,
    *standard_columns(),
    Column("admin_state_up", Boolean, nullable=False),
    Column("mtu", Integer, nullable=False),
    Column("external", Boolean, nullable=False),
    Column("is_default", Boolean, nullable=False),
    Column("port_security_enabled", Boolean, nullable=False),
    Column("dns_domain", String(255), nullable=False),
    Column("qos_policy_id", String(36), index=True),
    Column("availability_zone_hints", Json(tuple[str, ...]), nullable=False),
    Column("segments", Json(tuple[SegmentRef, ...]), nullable=False),
    Column("subnet_ids", Json(tuple[str, ...]), nullable=False),
)
"""`segments` and `subnet_ids` repeat what the tables of those say, so that a list of networks is one statement."""

auto_allocated = Table(
    "auto_allocated",
    metadata,
    Column("project_id", String(64), primary_key=True),
    Column("network_id", String(36), ForeignKey("network.id"), nullable=False, unique=True),
    Column("router_id", String(36)),
)


class Networks(StandardNoun[Network]):
    """The statements on networks."""

    table = network
    kind = Network
    title = "Network"
    missing = "NetworkNotFound"
    object_type = "network"
    unit = Unit.NETWORK

    def filters(self) -> Any:
        return {}
