"""Floating IPs in the store: addresses of external networks, and the ports that they stand for."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, ForeignKey, String, Table, UniqueConstraint, select

from polyvisor.model.errors import Conflict, Invalid
from polyvisor.model.network_intent import Unit
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.port import FLOATING_IP, FixedIp, Port, PortWanted, WantedIp
from polyvisor.model.router import FloatingIp, FloatingIpWanted, PortDetails, PortForwarding
from polyvisor.store.children import children
from polyvisor.store.network_standard import StandardNoun, standard_columns
from polyvisor.store.port_forwarding import port_forwarding
from polyvisor.store.port_tables import port
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
    UniqueConstraint("port_id", "fixed_ip_address", "floating_network_id"),
)


class FloatingIps(StandardNoun[FloatingIp]):
    """The statements on floating IPs. What backends are told of is their router."""

    table = floating_ip
    kind = FloatingIp
    title = "Floating IP"
    missing = "FloatingIPNotFound"

    def derived(self, viewer: str | None) -> dict[str, ColumnElement[Any]]:
        """The port that it stands for, and the ports that it hands on."""
        return {
            "ports": children(floating_ip.c.port_id, port.c.id, PortDetails, order=("id",)),
            "port_forwardings": children(floating_ip.c.id, port_forwarding.c.floating_ip_id, PortForwarding),
        }

    def create(
        self,
        wanted: FloatingIpWanted,
        *,
        id: str,
        port_id: str,
        viewer: str | None,
        now: datetime,
        settings: NetworkSettings,
    ) -> FloatingIp:
        """A new floating IP that stands for nothing yet. `port_id` is the id of the port that keeps its address.

        Raises NotFound where `viewer` (None = an administrator) does not see the network, and Invalid where that is not
        external or has no IPv4 addresses; Conflict where the address is taken, or none is left.
        """
        self._store.network_quota.check(wanted.project_id, floatingip=1)
        network = self._store.network.get(wanted.floating_network_id, viewer=viewer)
        if not network.external:
            raise Invalid(f"Bad floatingip request: Network {network.id} is not a valid external network.")
        subnets = [each for each in self._store.subnet.of_networks([network.id]) if each.ip_version == 4]
        if not subnets:
            raise Invalid(f"Bad floatingip request: Network {network.id} does not contain any IPv4 subnet.")
        held = PortWanted(
            project_id="",
            network_id=network.id,
            fixed_ips=_wanted_address(wanted),
            device_id=id,
            device_owner=FLOATING_IP,
            port_security_enabled=False,
        )
        keeper = self._store.port.create(held, id=port_id, now=now, settings=settings)
        address = next((each.ip_address for each in keeper.fixed_ips if ":" not in each.ip_address), None)
        if address is None:
            raise Invalid(f"Bad floatingip request: '{wanted.floating_ip_address}' is not an IPv4 address.")
        record = FloatingIp(
            id=id,
            project_id=wanted.project_id,
            description=wanted.description,
            floating_network_id=network.id,
            floating_ip_address=address,
            floating_port_id=keeper.id,
            tags=wanted.tags,
            created_at=now,
            updated_at=now,
        )
        self._add([record])
        return record

    def associate(
        self, record: FloatingIp, port_id: str, fixed_ip_address: str | None, *, viewer: str | None, now: datetime
    ) -> FloatingIp:
        """Let it stand for a port's address. Raises NotFound, Invalid and Conflict in Neutron's words."""
        if record.port_forwardings:
            raise Conflict(
                f"Floating IP {record.id} in use by Port Forwarding resources: remove those first.",
                kind="FipInUseByPortForwarding",
            )
        port = self._store.port.get(port_id, viewer=viewer)
        if viewer is not None and port.project_id != record.project_id:
            raise Invalid(
                f"Bad floatingip request: Cannot process floating IP association with Port {port.id}, since that port "
                "is owned by a different project."
            )
        fixed = address_of(port, fixed_ip_address)
        router_id = self._store.router.between(port, fixed, record.floating_network_id)
        taken = select(floating_ip.c.id).where(
            floating_ip.c.port_id == port.id,
            floating_ip.c.fixed_ip_address == fixed.ip_address,
            floating_ip.c.floating_network_id == record.floating_network_id,
            floating_ip.c.id != record.id,
        )
        if self._sql.execute(taken).first() is not None:
            raise Conflict(
                f"Cannot associate floating IP {record.floating_ip_address} ({record.id}) with port {port.id} using "
                f"fixed IP {fixed.ip_address}, as that fixed IP already has a floating IP on external network "
                f"{record.floating_network_id}.",
                kind="FloatingIPPortAlreadyAssociated",
            )
        values = {"port_id": port.id, "fixed_ip_address": fixed.ip_address, "router_id": router_id, "status": "ACTIVE"}
        return self._set(record, values, now)

    def disassociate(self, record: FloatingIp, now: datetime) -> FloatingIp:
        """Let it stand for nothing; with ports that it hands on it stays at its router."""
        router_id = record.router_id if record.port_forwardings else None
        values = {"port_id": None, "fixed_ip_address": None, "router_id": router_id, "status": "DOWN"}
        return self._set(record, values, now)

    def update(self, record: FloatingIp, changes: dict[str, Any], now: datetime) -> FloatingIp:
        """With another description."""
        return self._set(record, changes, now)

    def at_router(self, record: FloatingIp, router_id: str | None, now: datetime) -> None:
        """Ports that it hands on are behind this router; None = there are none any more."""
        status = "DOWN" if router_id is None else "ACTIVE"
        self._set(record, {"router_id": router_id, "status": status}, now)

    def delete(self, record: FloatingIp, now: datetime) -> None:
        """Give the address back. Raises Conflict while ports of it are handed on."""
        if record.port_forwardings:
            raise Conflict(
                f"Floating IP {record.id} in use by Port Forwarding resources: remove those first.",
                kind="FipInUseByPortForwarding",
            )
        self._remove([record.id])
        self._tell(record.router_id)
        self._store.port.delete([record.floating_port_id], now)

    def of_routers(self, ids: Collection[str]) -> list[FloatingIp]:
        """Those that routers translate. One statement."""
        statement = self._select(None).where(floating_ip.c.router_id.in_(sorted(ids))).order_by(floating_ip.c.id)
        return [self._of(row) for row in self._sql.execute(statement)]

    def refuse_standing_for(self, port_id: str, address: str) -> None:
        """Raise Conflict where a floating IP stands for a port's address as a whole. One statement."""
        of_address = (floating_ip.c.port_id == port_id, floating_ip.c.fixed_ip_address == address)
        found = self._sql.execute(
            select(floating_ip.c.floating_ip_address, floating_ip.c.id).where(*of_address)
        ).first()
        if found is not None:
            raise Conflict(
                f"Cannot create port forwarding with port {port_id} using fixed IP {address}, as that port already has "
                f"a binding floating IP, {found.floating_ip_address} ({found.id}).",
                kind="PortHasBindingFloatingIP",
            )

    # What ports call

    def ports_gone(self, port_ids: Collection[str], now: datetime) -> None:
        """These ports are about to be removed: floating IPs stand for them no longer. Two statements if none does."""
        self._store.port_forwarding.ports_gone(port_ids, now)
        for record in self._standing_for(port_ids):
            self.disassociate(record, now)

    def readdressed(self, record: Port, now: datetime) -> None:
        """A port has other addresses: floating IPs stand for those that are gone no longer."""
        left = {each.ip_address for each in record.fixed_ips}
        self._store.port_forwarding.readdressed(record, now)
        for each in self._standing_for([record.id]):
            if each.fixed_ip_address not in left:
                self.disassociate(each, now)

    def _standing_for(self, port_ids: Collection[str]) -> list[FloatingIp]:
        statement = self._select(None).where(floating_ip.c.port_id.in_(sorted(port_ids)))
        return [self._of(row) for row in self._sql.execute(statement.order_by(floating_ip.c.id))]

    def _set(self, record: FloatingIp, values: dict[str, Any], now: datetime) -> FloatingIp:
        self.change(record, values, now)
        self._tell(record.router_id, values.get("router_id"))
        return self.get(record.id)

    def _tell(self, *router_ids: str | None) -> None:
        self._store.network_intent.touch(Unit.ROUTER, [id for id in router_ids if id is not None])


def _wanted_address(wanted: FloatingIpWanted) -> tuple[WantedIp, ...] | None:
    if wanted.subnet_id is None and wanted.floating_ip_address is None:
        return None
    return (WantedIp(subnet_id=wanted.subnet_id, ip_address=wanted.floating_ip_address),)


def address_of(port: Port, asked: str | None) -> FixedIp:
    """The IPv4 address of a port that is meant; without `asked`, the only one that it has. Raises Invalid."""
    known: Iterable[FixedIp] = [each for each in port.fixed_ips if ":" not in each.ip_address]
    if asked is not None:
        found = [each for each in known if each.ip_address == asked]
        if not found:
            raise Invalid(f"Bad floatingip request: Port {port.id} does not have fixed ip {asked}.")
        return found[0]
    match list(known):
        case [only]:
            return only
        case []:
            raise Invalid(
                f"Bad floatingip request: Cannot add floating IP to port {port.id} that has no fixed IPv4 addresses."
            )
        case _:
            raise Invalid(
                f"Bad floatingip request: Port {port.id} has multiple fixed IPv4 addresses. Must provide a specific "
                "IPv4 address when assigning a floating IP."
            )
