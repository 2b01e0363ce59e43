"""Floating IPs in the store."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, String, Table, UniqueConstraint

from polyvisor.model.router import FloatingIp
from polyvisor.store.network_standard import StandardNoun, standard_columns
from polyvisor.store.tables import metadata

floating_ip = Table(
    "floating_ip",
    metadata,
    *standard_columns(),
    Column("floating_network_id", String(36), ForeignKey("network.id"), nullable=False, index=True),
    Column("floating_ip_address", String(64), nullable=False, index=True),
    Column("floating_port_id", String(36), ForeignKey("port.id"), nullable=False, unique=True),
    Column("router_id", String(36), ForeignKey("router.id"), index=True),
    Column("port_id", String(36), ForeignKey("port.id"), index=True),
    Column("fixed_ip_address", String(64)),
    Column("status", String(16), nullable=False),
    Column("qos_policy_id", String(36), ForeignKey("qos_policy.id"), index=True),
    UniqueConstraint("port_id", "fixed_ip_address", "floating_network_id"),
)


class FloatingIps(StandardNoun[FloatingIp]):
    """The statements on floating IPs."""

    table = floating_ip
    kind = FloatingIp
    title = "Floating IP"
    missing = "FloatingIPNotFound"
