"""Trunks in the store, with the ports that they carry."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, ColumnElement, ForeignKey, Integer, String, Table, UniqueConstraint

from polyvisor.model.trunk import SubPort, Trunk
from polyvisor.store.children import children
from polyvisor.store.network_standard import StandardNoun, standard_columns
from polyvisor.store.tables import metadata

trunk = Table(
    "trunk",
    metadata,
    *standard_columns(),
    Column("port_id", String(36), ForeignKey("port.id"), nullable=False, unique=True),
    Column("admin_state_up", Boolean, nullable=False),
    Column("status", String(16), nullable=False),
)

trunk_sub_port = Table(
    "trunk_sub_port",
    metadata,
    Column("port_id", String(36), ForeignKey("port.id"), primary_key=True),
    Column("trunk_id", String(36), ForeignKey("trunk.id"), nullable=False),
    Column("segmentation_type", String(16), nullable=False),
    Column("segmentation_id", Integer, nullable=False),
    UniqueConstraint("trunk_id", "segmentation_type", "segmentation_id"),
)


class Trunks(StandardNoun[Trunk]):
    """The statements on trunks."""

    table = trunk
    kind = Trunk
    title = "Trunk"
    missing = "TrunkNotFound"

    def derived(self, viewer: str | None) -> dict[str, ColumnElement[Any]]:
        """The ports on it."""
        order = ("segmentation_type", "segmentation_id")
        return {"sub_ports": children(trunk.c.id, trunk_sub_port.c.trunk_id, SubPort, order=order)}
