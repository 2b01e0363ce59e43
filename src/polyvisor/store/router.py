"""Routers in the store."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, ColumnElement, ForeignKey, Row, String, Table, select

from polyvisor.model.network_intent import Unit
from polyvisor.model.router import Gateway, Router
from polyvisor.model.subnet import HostRoute
from polyvisor.store.network_standard import StandardNoun, standard_columns
from polyvisor.store.port_tables import port
from polyvisor.store.tables import Json, metadata

router = Table(
    "router",
    metadata,
    *standard_columns(),
    Column("admin_state_up", Boolean, nullable=False),
    Column("gateway_network_id", String(36), ForeignKey("network.id"), index=True),
    Column("gateway_port_id", String(36), ForeignKey("port.id"), unique=True),
    Column("enable_snat", Boolean, nullable=False),
    Column("routes", Json(tuple[HostRoute, ...]), nullable=False),
    Column("availability_zone_hints", Json(tuple[str, ...]), nullable=False),
)
"""A router's interfaces are ports whose `device_id` is the router's id."""


_PLAIN = tuple(name for name in Router.__struct_fields__ if name != "gateway")


class Routers(StandardNoun[Router]):
    """The statements on routers."""

    table = router
    kind = Router
    title = "Router"
    missing = "RouterNotFound"
    unit = Unit.ROUTER

    def _fields(self, viewer: str | None) -> dict[str, ColumnElement[Any]]:
        addresses = select(port.c.fixed_ips).where(port.c.id == router.c.gateway_port_id).scalar_subquery()
        gateway: dict[str, ColumnElement[Any]] = {
            "network_id": router.c.gateway_network_id,
            "port_id": router.c.gateway_port_id,
            "enable_snat": router.c.enable_snat,
            "external_fixed_ips": addresses,
        }
        return {**{name: router.c[name] for name in _PLAIN}, **gateway}

    def _of(self, row: Row[Any]) -> Router:
        plain = dict(zip(_PLAIN, row, strict=False))
        network_id, port_id, enable_snat, addresses = row[len(_PLAIN) :]
        gateway = None
        if network_id is not None:
            gateway = Gateway(
                network_id=network_id, port_id=port_id, enable_snat=enable_snat, external_fixed_ips=addresses
            )
        return Router(**plain, gateway=gateway)
