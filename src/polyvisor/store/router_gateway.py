"""Routers' ways out: given, changed and taken away."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import exists, select

from polyvisor.model.errors import Conflict, Invalid
from polyvisor.model.network import Network
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.port import ROUTER_GATEWAY, PortWanted, WantedIp
from polyvisor.model.router import Gateway, GatewayWanted, Router
from polyvisor.model.routing import check_routes, refuse_overlap
from polyvisor.model.subnet import Subnet
from polyvisor.store.floating_ip import floating_ip

if TYPE_CHECKING:
    from polyvisor.store.store import Store


class RouterGateways:
    """The statements on gateways. A router is handed in as it was read in the same transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def set(
        self,
        record: Router,
        wanted: GatewayWanted,
        *,
        viewer: str | None,
        port_id: str,
        now: datetime,
        settings: NetworkSettings,
    ) -> Router:
        """Give a router its way out, or change it. `port_id` is the id of the port that may have to be made.

        Raises NotFound where `viewer` (None = an administrator) does not see the network, Invalid where it is not
        external or overlaps what the router reaches, and Conflict while floating IPs need the way out that it has.
        """
        network = self._store.network.get(wanted.network_id, viewer=viewer)
        if not network.external:
            raise Invalid(f"Bad router request: Network {network.id} is not an external network.")
        subnets = self._store.subnet.of_networks([network.id])
        _refuse_gateways(wanted.external_fixed_ips or (), subnets)
        if record.gateway is not None and record.gateway.network_id == network.id:
            self._change(record, record.gateway, wanted, now)
        else:
            if record.gateway is not None:
                self.clear(record, now)
                record = self._store.router.get(record.id)
            self._make(record, wanted, network, subnets, port_id, now, settings)
        return self._store.router.get(record.id)

    def clear(self, record: Router, now: datetime) -> None:
        """Take a router's way out away. Raises Conflict while floating IPs need it, or routes lead there."""
        gateway = record.gateway
        if gateway is None:
            return
        if self._sql.execute(select(exists().where(floating_ip.c.router_id == record.id))).scalar():
            raise Conflict(
                f"Gateway cannot be updated for router {record.id}, since a gateway to external network "
                f"{gateway.network_id} is required by one or more floating IPs: disassociate those first.",
                kind="RouterExternalGatewayInUseByFloatingIp",
            )
        interfaces = [each for each in self._store.router.interfaces([record.id])[record.id]
                      if each.port_id != gateway.port_id]  # fmt: skip
        check_routes(record.routes, self._store.router.connected(record, without=gateway.port_id), interfaces)
        self._store.router.changed(record, now, gateway_network_id=None, gateway_port_id=None, enable_snat=True)
        self._store.port.delete([gateway.port_id], now)

    def _make(
        self,
        record: Router,
        wanted: GatewayWanted,
        network: Network,
        subnets: Collection[Subnet],
        port_id: str,
        now: datetime,
        settings: NetworkSettings,
    ) -> None:
        refuse_overlap(subnets, self._store.router.connected(record))
        # It belongs to no project: what a router needs outside is not its project's to see or to count.
        port = PortWanted(
            project_id="",
            network_id=network.id,
            fixed_ips=wanted.external_fixed_ips,
            device_id=record.id,
            device_owner=ROUTER_GATEWAY,
            port_security_enabled=False,
        )
        self._store.port.create(port, id=port_id, now=now, settings=settings)
        self._store.router.changed(
            record,
            now,
            gateway_network_id=network.id,
            gateway_port_id=port_id,
            enable_snat=wanted.enable_snat is not False,
        )

    def _change(self, record: Router, gateway: Gateway, wanted: GatewayWanted, now: datetime) -> None:
        if wanted.external_fixed_ips:
            port = self._store.port.get(gateway.port_id)
            self._store.port.change(port, {"fixed_ips": wanted.external_fixed_ips}, now)
        snat = gateway.enable_snat if wanted.enable_snat is None else wanted.enable_snat
        self._store.router.changed(record, now, enable_snat=snat)


def _refuse_gateways(wanted: Collection[WantedIp], subnets: Collection[Subnet]) -> None:
    taken = {subnet.gateway_ip for subnet in subnets if subnet.gateway_ip}
    for each in wanted:
        if each.ip_address in taken:
            raise Invalid(f"Bad router request: External IP {each.ip_address} is the same as the gateway IP.")
