"""Routers in the store, and the ports that make up their interfaces."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Column, ColumnElement, ForeignKey, Row, String, Table, select, update

from polyvisor.model.errors import Conflict, NotFound
from polyvisor.model.network_intent import Unit
from polyvisor.model.port import ROUTER_GATEWAY, ROUTER_INTERFACE, FixedIp, Port
from polyvisor.model.router import Gateway, Interface, Router
from polyvisor.model.routing import check_routes
from polyvisor.model.subnet import HostRoute, Subnet
from polyvisor.store.floating_ip import floating_ip
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
)
"""A router's interfaces are ports whose `device_id` is the router's id."""

_PLAIN = tuple(name for name in Router.__struct_fields__ if name != "gateway")
_MANY = 500
_INTERFACE_COLUMNS = (port.c.device_id, port.c.id, port.c.network_id, port.c.mac_address, port.c.fixed_ips)


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

    def create(self, record: Router) -> None:
        """A new router; a gateway is given to it afterwards. Raises Conflict over quota."""
        self._store.network_quota.check(record.project_id, router=1)
        self._add([record], enable_snat=True)

    def delete(self, record: Router, now: datetime) -> None:
        """Remove a router, with its gateway. Raises Conflict while it has interfaces, or floating IPs use it."""
        held = [each.port_id for each in inner(record, self.interfaces([record.id])[record.id])]
        if held:
            raise Conflict(
                f"Router {record.id} has ports still attached: {', '.join(held)}. Remove its interfaces first.",
                kind="RouterInUse",
            )
        if record.gateway is not None:
            self._store.router_gateway.clear(record, now)
        self._remove([record.id])

    def set_routes(self, record: Router, routes: tuple[HostRoute, ...], now: datetime) -> Router:
        """The router with these routes and no others. Raises Invalid where it cannot reach a next hop."""
        check_routes(routes, self.connected(record), self.interfaces([record.id])[record.id])
        return self.change(record, {"routes": tuple(dict.fromkeys(routes))}, now)

    def changed(self, record: Router, now: datetime, **columns: Any) -> None:
        """What belongs to a router was changed: it gets its next revision, and backends look at it again.

        `columns` are those of its row that are no fields of the record. One statement, two more for backends.
        """
        values = {"updated_at": now, "revision_number": record.revision_number + 1, **columns}
        self._sql.execute(update(router).where(router.c.id == record.id).values(**values))
        self.touched([record.id])

    # What it is connected to

    def interfaces(self, ids: Collection[str]) -> dict[str, tuple[Interface, ...]]:
        """The ports of routers, by their ids, oldest first; a gateway's is among them. One statement for 500."""
        found: dict[str, list[Interface]] = {id: [] for id in ids}
        names = sorted(found)
        for at in range(0, len(names), _MANY):
            statement = select(*_INTERFACE_COLUMNS).where(
                port.c.device_id.in_(names[at : at + _MANY]),
                port.c.device_owner.in_([ROUTER_INTERFACE, ROUTER_GATEWAY]),
            )
            for row in self._sql.execute(statement.order_by(port.c.created_at, port.c.id)):
                device_id, port_id, *rest = row
                found[device_id].append(
                    Interface(port_id=port_id, **dict(zip(Interface.__struct_fields__[1:], rest, strict=True)))
                )
        return {id: tuple(interfaces) for id, interfaces in found.items()}

    def connected(self, record: Router, without: str | None = None) -> list[Subnet]:
        """The subnets that a router reaches: those of its interfaces, and all of its external network.

        `without`: the id of a port that does not count. Three statements.
        """
        interfaces = [each for each in self.interfaces([record.id])[record.id] if each.port_id != without]
        ids = {fixed.subnet_id for each in inner(record, interfaces) for fixed in each.fixed_ips}
        found = list(self._store.subnet.of_ids(ids).values())
        if record.gateway is not None and record.gateway.port_id != without:
            found += self._store.subnet.of_networks([record.gateway.network_id])
        return found

    def projects_outside(self, network_id: str) -> set[str]:
        """The projects that have gateways or floating IPs on an external network. One statement."""
        gateways = select(router.c.project_id).where(router.c.gateway_network_id == network_id)
        addresses = select(floating_ip.c.project_id).where(floating_ip.c.floating_network_id == network_id)
        return set(self._sql.execute(gateways.union(addresses)).scalars())

    def reaching(self, network_id: str, subnet_id: str, external_network_id: str) -> list[tuple[str, str]]:
        """Routers between a subnet and an external network: (router's id, its address in the subnet), oldest first.

        One statement.
        """
        statement = (
            select(router.c.id, port.c.fixed_ips)
            .join(port, port.c.device_id == router.c.id)
            .where(
                port.c.device_owner == ROUTER_INTERFACE,
                port.c.network_id == network_id,
                router.c.gateway_network_id == external_network_id,
            )
            .order_by(router.c.created_at, router.c.id)
        )
        return [
            (id, fixed.ip_address)
            for id, fixed_ips in self._sql.execute(statement)
            for fixed in fixed_ips
            if fixed.subnet_id == subnet_id
        ]

    def between(self, port: Port, fixed: FixedIp, external_network_id: str) -> str:
        """The id of the router through which an address of a port is reached from an external network.

        The one that is the subnet's gateway goes before others. It stays as it is until the transaction ends. Raises
        NotFound where there is none.
        """
        subnet = self._store.subnet.get(fixed.subnet_id)
        found = self.reaching(port.network_id, subnet.id, external_network_id)
        for id, _ in sorted(found, key=lambda each: each[1] != subnet.gateway_ip):
            # Held now: had its gateway or its interface gone in the meantime, it would not reach both any more.
            self.get(id)
            if id in dict(self.reaching(port.network_id, subnet.id, external_network_id)):
                return id
        raise NotFound(
            f"External network {external_network_id} is not reachable from subnet {subnet.id}. Therefore, cannot "
            f"associate Port {port.id} with a Floating IP: connect both by a router first.",
            kind="ExternalGatewayForFloatingIPNotFound",
        )


def inner(record: Router, interfaces: Iterable[Interface]) -> list[Interface]:
    """Those of a router's interfaces that are not its gateway's."""
    gateway = None if record.gateway is None else record.gateway.port_id
    return [each for each in interfaces if each.port_id != gateway]
