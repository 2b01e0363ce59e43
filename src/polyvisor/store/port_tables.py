"""The tables of ports: the ports, the addresses that they have, and their security groups."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, String, Table, UniqueConstraint

from polyvisor.model.port import AddressPair, ExtraDhcpOption, FixedIp
from polyvisor.store.network_standard import standard_columns
from polyvisor.store.tables import Json, metadata

port = Table(
    "port",
    metadata,
    *standard_columns(),
    Column("network_id", String(36), ForeignKey("network.id"), nullable=False),
    Column("mac_address", String(32), nullable=False),
    Column("fixed_ips", Json(tuple[FixedIp, ...]), nullable=False),
    Column("admin_state_up", Boolean, nullable=False),
    Column("status", String(16), nullable=False),
    Column("device_id", String(255), nullable=False, index=True),
    Column("device_owner", String(255), nullable=False),
    Column("security_group_ids", Json(tuple[str, ...]), nullable=False),
    Column("port_security_enabled", Boolean, nullable=False),
    Column("allowed_address_pairs", Json(tuple[AddressPair, ...]), nullable=False),
    Column("extra_dhcp_opts", Json(tuple[ExtraDhcpOption, ...]), nullable=False),
    Column("host", String(255), nullable=False, index=True),
    Column("vif_type", String(64), nullable=False),
    Column("vif_details", Json(dict[str, object]), nullable=False),
    Column("vnic_type", String(64), nullable=False),
    Column("profile", Json(dict[str, object]), nullable=False),
    Column("dns_name", String(255), nullable=False),
    Column("dns_domain", String(255), nullable=False),
    Column("qos_policy_id", String(36), index=True),
    Column("propagate_uplink_status", Boolean, nullable=False),
    UniqueConstraint("network_id", "mac_address"),
)
"""`fixed_ips` and `security_group_ids` repeat what the tables below say, so that a list of ports is one statement.
`host` to `profile` are the fields of the port's `binding`."""

port_address = Table(
    "port_address",
    metadata,
    Column("subnet_id", String(36), ForeignKey("subnet.id"), primary_key=True),
    Column("key", String(32), primary_key=True),
    Column("port_id", String(36), ForeignKey("port.id"), nullable=False, index=True),
    Column("ip_address", String(64), nullable=False, index=True),
)
"""`key` is the address in hexadecimal, of 8 digits (IPv4) or 32: as text it sorts like the number."""

port_security_group = Table(
    "port_security_group",
    metadata,
    Column("port_id", String(36), ForeignKey("port.id"), primary_key=True),
    Column("security_group_id", String(36), primary_key=True, index=True),
)

port_binding = Table(
    "port_binding",
    metadata,
    Column("port_id", String(36), ForeignKey("port.id", ondelete="CASCADE"), primary_key=True),
    Column("host", String(255), primary_key=True),
    Column("vif_type", String(64), nullable=False),
    Column("vif_details", Json(dict[str, object]), nullable=False),
    Column("vnic_type", String(64), nullable=False),
    Column("profile", Json(dict[str, object]), nullable=False),
)
"""Bindings that are not active; the active one is a part of its port."""
