"""Port forwarding in the store: ports of floating IPs that are handed on to ports inside."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, String, Table

from polyvisor.model.router import PortForwarding
from polyvisor.store.network_standard import StandardNoun, standard_columns
from polyvisor.store.tables import metadata

port_forwarding = Table(
    "port_forwarding",
    metadata,
    *standard_columns(),
    Column("floating_ip_id", String(36), ForeignKey("floating_ip.id"), nullable=False, index=True),
    Column("protocol", String(8), nullable=False),
    Column("external_port", String(11), nullable=False),
    Column("internal_port", String(11), nullable=False),
    Column("internal_port_id", String(36), ForeignKey("port.id"), nullable=False, index=True),
    Column("internal_ip_address", String(64), nullable=False),
)


class PortForwardings(StandardNoun[PortForwarding]):
    """The statements on port forwarding."""

    table = port_forwarding
    kind = PortForwarding
    title = "Port forwarding"
    missing = "PortForwardingNotFound"
