"""Routers' interfaces: the ports by which they are on networks."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

from sqlalchemy import select

from polyvisor.model.errors import Conflict, Invalid, NotFound
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.port import ROUTER_INTERFACE, Port, PortWanted, WantedIp
from polyvisor.model.rbac_policy import EVERYBODY
from polyvisor.model.router import Interface, Router
from polyvisor.model.routing import in_pools, inside, refuse_overlap, refuse_routes_through, refuse_scopes
from polyvisor.model.subnet import Subnet
from polyvisor.store.floating_ip import floating_ip
from polyvisor.store.port_forwarding import port_forwarding
from polyvisor.store.port_tables import port_address
from polyvisor.store.rbac_policy import rbac_policy
from polyvisor.store.router import inner

if TYPE_CHECKING:
    from polyvisor.store.store import Store


class RouterInterfaces:
    """The statements on interfaces. A router is handed in as it was read in the same transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def add_subnet(
        self,
        record: Router,
        subnet_id: str,
        *,
        viewer: str | None,
        port_id: str,
        now: datetime,
        settings: NetworkSettings,
    ) -> tuple[Port, Subnet]:
        """Let a router be the gateway of a subnet, at the address that the subnet names.

        A second subnet of IPv6 on a network comes to the port that is there. `port_id` is the id of the port that may
        have to be made. Raises NotFound, Invalid and Conflict in Neutron's words.
        """
        subnet = self._store.subnet.get(subnet_id, viewer=viewer)
        if subnet.gateway_ip is None:
            raise Invalid("Bad router request: Subnet for router interface must have a gateway IP.")
        if viewer is not None and subnet.project_id != viewer:
            self._check_opened(subnet, viewer)
        self._check_connected(record, [subnet])
        address = WantedIp(subnet_id=subnet.id, ip_address=subnet.gateway_ip)
        there = self._ipv6_port(record, subnet.network_id) if subnet.ip_version == 6 else None
        if there is not None:
            held = self._store.port.get(there.port_id)
            kept = tuple(WantedIp(subnet_id=each.subnet_id, ip_address=each.ip_address) for each in held.fixed_ips)
            port = self._store.port.change(held, {"fixed_ips": (*kept, address)}, now)
        else:
            wanted = PortWanted(
                project_id=record.project_id,
                network_id=subnet.network_id,
                fixed_ips=(address,),
                device_id=record.id,
                device_owner=ROUTER_INTERFACE,
                port_security_enabled=False,
            )
            port = self._store.port.create(wanted, id=port_id, now=now, settings=settings)
        self._store.router.changed(record, now)
        return port, subnet

    def add_port(self, record: Router, port_id: str, *, viewer: str | None, now: datetime) -> tuple[Port, list[Subnet]]:
        """Let a router be on a network by a port that is nobody's. Raises as `add_subnet` does."""
        port = self._store.port.get(port_id, viewer=viewer)
        if port.device_id:
            raise Conflict(
                f"Unable to complete operation on port {port.id} for network {port.network_id}. "
                f"Port already has an attached device {port.device_id}.",
                kind="PortInUse",
            )
        if not port.fixed_ips:
            raise Invalid("Bad router request: Router port must have at least one fixed IP.")
        known = self._store.subnet.of_ids({each.subnet_id for each in port.fixed_ips})
        subnets = [known[each.subnet_id] for each in port.fixed_ips]
        if sum(1 for subnet in subnets if subnet.ip_version == 4) > 1:
            raise Invalid("Bad router request: Cannot have multiple IPv4 subnets on router port.")
        self._check_connected(record, subnets)
        if viewer is not None:
            _refuse_foreign_addresses(port, known, viewer)
        changes = {"device_id": record.id, "device_owner": ROUTER_INTERFACE}
        port = self._store.port.change(port, changes, now)
        self._store.router.changed(record, now)
        return port, subnets

    def remove(
        self, record: Router, *, port_id: str | None, subnet_id: str | None, now: datetime
    ) -> tuple[Interface, list[Subnet]]:
        """Take a router off a subnet, or off the network of a port, which goes. One of the two must be given.

        Raises NotFound where the router is not there, and Conflict while floating IPs or routes need the interface.
        """
        interfaces = inner(record, self._store.router.interfaces([record.id])[record.id])
        if port_id is not None:
            found = next((each for each in interfaces if each.port_id == port_id), None)
            if found is None:
                raise NotFound(
                    f"Router {record.id} does not have an interface with id {port_id}.", kind="RouterInterfaceNotFound"
                )
            held = {each.subnet_id for each in found.fixed_ips}
            if subnet_id is not None and subnet_id not in held:
                raise Invalid(
                    f"Subnet on port {port_id} does not match the requested subnet {subnet_id}.",
                    kind="SubnetMismatchForPort",
                )
        else:
            found = next(
                (each for each in interfaces for fixed in each.fixed_ips if fixed.subnet_id == subnet_id), None
            )
            if found is None:
                _not_on_subnet(record, subnet_id)
            held = {fixed.subnet_id for fixed in found.fixed_ips if fixed.subnet_id == subnet_id}
        subnets = list(self._store.subnet.of_ids(held).values())
        for subnet in subnets:
            self._refuse_in_use(record, subnet)
        self._let_go(found, held, now)
        self._store.router.changed(record, now)
        return found, subnets

    def _check_connected(self, record: Router, new: Collection[Subnet]) -> None:
        """Raise Invalid where the router cannot be on these subnets and on those that it is on already."""
        connected = self._store.router.connected(record)
        refuse_overlap(new, connected)
        if any(each.subnetpool_id for each in new):
            outside = None if record.gateway is None else record.gateway.network_id
            # What leaves by the gateway is translated.
            inside_ones = [each for each in connected if each.network_id != outside]
            pools = {each.subnetpool_id for each in (*new, *inside_ones) if each.subnetpool_id}
            refuse_scopes(new, inside_ones, self._store.subnet_pool.scopes(pools))

    def _let_go(self, found: Interface, held: Collection[str], now: datetime) -> None:
        left = tuple(
            WantedIp(subnet_id=each.subnet_id, ip_address=each.ip_address)
            for each in found.fixed_ips
            if each.subnet_id not in held
        )
        if left:
            self._store.port.change(self._store.port.get(found.port_id), {"fixed_ips": left}, now)
        else:
            self._store.port.delete([found.port_id], now)

    def _ipv6_port(self, record: Router, network_id: str) -> Interface | None:
        for each in inner(record, self._store.router.interfaces([record.id])[record.id]):
            if each.network_id == network_id and any(":" in fixed.ip_address for fixed in each.fixed_ips):
                return each
        return None

    def _check_opened(self, subnet: Subnet, viewer: str) -> None:
        """A network that everybody may use is not everybody's to route; one that is opened to this project is."""
        opened = select(rbac_policy.c.target_project).where(
            rbac_policy.c.object_id == subnet.network_id, rbac_policy.c.action == "access_as_shared"
        )
        targets = set(self._sql.execute(opened).scalars())
        if viewer not in targets - {EVERYBODY}:
            raise Invalid(
                f"Bad router request: Cannot add interface to router because subnet {subnet.id} is not owned by "
                "project making the request."
            )

    def _refuse_in_use(self, record: Router, subnet: Subnet) -> None:
        refuse_routes_through(record.id, subnet, record.routes)
        on_subnet = select(port_address.c.port_id).where(port_address.c.subnet_id == subnet.id)
        standing = select(floating_ip.c.fixed_ip_address).where(
            floating_ip.c.router_id == record.id, floating_ip.c.port_id.in_(on_subnet)
        )
        handed_on = (
            select(port_forwarding.c.internal_ip_address)
            .join(floating_ip, floating_ip.c.id == port_forwarding.c.floating_ip_id)
            .where(floating_ip.c.router_id == record.id, port_forwarding.c.internal_port_id.in_(on_subnet))
        )
        addresses = self._sql.execute(standing.union(handed_on)).scalars()
        if any(address is not None and inside(address, subnet.cidr) for address in addresses):
            raise Conflict(
                f"Router interface for subnet {subnet.id} on router {record.id} cannot be deleted, as it is required "
                "by one or more floating IPs: disassociate those first.",
                kind="RouterInterfaceInUseByFloatingIP",
            )


def _not_on_subnet(record: Router, subnet_id: str | None) -> NoReturn:
    raise NotFound(
        f"Router {record.id} has no interface on subnet {subnet_id}.", kind="RouterInterfaceNotFoundForSubnet"
    )


def _refuse_foreign_addresses(port: Port, subnets: dict[str, Subnet], viewer: str) -> None:
    """On another project's subnet a router may have addresses of the pools alone."""
    for fixed in port.fixed_ips:
        subnet = subnets[fixed.subnet_id]
        if subnet.project_id != viewer and not in_pools(fixed.ip_address, subnet):
            raise Invalid(
                f"Bad router request: Cannot add interface to router because specified port {port.id} has an IP "
                f"address out of the allocation pool of subnet {subnet.id}, which is not owned by the project making "
                "the request."
            )
