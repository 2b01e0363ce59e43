"""Routers: a logical router each, its ports with their counterparts on the switches, its routes and its gateway."""

from collections.abc import Iterator

from polyvisor.model.network import Network
from polyvisor.model.router import Gateway, Interface, Router
from polyvisor.model.subnet import Subnet
from polyvisor.network.backend import Subject
from polyvisor.network.ovn import nat
from polyvisor.network.ovn.row import Place, Row, Value, some
from polyvisor.network.ovn.view import View, physical_networks


def rows(view: View, subject: Subject) -> Iterator[Row]:
    """All of a router."""
    router = view.records.routers[subject.id]
    yield Row(
        table="Logical_Router",
        key=router.id,
        subject=subject,
        columns={
            "name": router.id,
            "enabled": some(router.admin_state_up),
            # Neighbours are learned when they are needed, not from every ARP of a large network.
            "options": {"always_learn_from_arp_request": "false", "dynamic_neigh_routers": "true"},
        },
    )
    for interface in view.inside(router.id):
        yield from _interface(view, router, interface, subject)
    for destination, nexthop in sorted({(each.destination, each.nexthop) for each in router.routes}):
        columns: dict[str, Value] = {"ip_prefix": destination, "nexthop": nexthop}
        yield _route(subject, f"{router.id} {destination} {nexthop}", columns)
    gateway = router.gateway
    if gateway is not None and gateway.network_id in view.records.networks:
        yield from _gateway(view, router, gateway, subject)
        yield from nat.rows(view, router, subject)


def port_name(port_id: str) -> str:
    """The router's end of a port."""
    return f"lrp-{port_id}"


def _interface(view: View, router: Router, interface: Interface, subject: Subject) -> Iterator[Row]:
    network = view.records.networks[interface.network_id]
    options = {}
    if router.gateway is not None and physical_networks(network):
        # Else packets from a VLAN would cross the overlay, which carries fewer bytes, on their way to the gateway.
        options["reside-on-redirect-chassis"] = "true"
    yield from _port(view, interface, subject, options, _advertised(view, interface, network))


def _port(
    view: View, interface: Interface, subject: Subject, options: dict[str, str], advertised: dict[str, str]
) -> Iterator[Row]:
    networks = view.prefixed(interface.fixed_ips)
    if not networks:
        return  # OVN takes no port without an address
    name = port_name(interface.port_id)
    yield Row(
        table="Logical_Router_Port",
        key=interface.port_id,
        subject=subject,
        columns={
            "name": name,
            "mac": interface.mac_address,
            "networks": frozenset(networks),
            "options": options,
            "ipv6_ra_configs": advertised,
        },
        places=(Place(table="Logical_Router", key=subject.id, column="ports"),),
    )
    yield Row(
        table="Logical_Switch_Port",
        key=interface.port_id,
        subject=subject,
        columns={
            "name": interface.port_id,
            "type": "router",
            "addresses": some("router"),
            "enabled": some(True),
            "options": {"router-port": name, "exclude-lb-vips-from-garp": "true", "nat-addresses": "router"},
        },
        places=(Place(table="Logical_Switch", key=interface.network_id, column="ports"),),
    )


def _advertised(view: View, interface: Interface, network: Network) -> dict[str, str]:
    """What guests hear from the router about a subnet whose advertisements it makes."""
    subnets = [view.records.subnets.get(ip.subnet_id) for ip in interface.fixed_ips]
    mode = next((subnet.ipv6_ra_mode for subnet in subnets if subnet is not None and subnet.ipv6_ra_mode), None)
    if mode is None:
        return {}
    advertised = {"address_mode": mode.replace("-", "_"), "send_periodic": "true", "mtu": str(network.mtu)}
    servers = next((_dns_v6(view, subnet) for subnet in subnets if subnet is not None and subnet.ipv6_ra_mode), "")
    return {**advertised, "rdnss": servers} if servers else advertised


def _dns_v6(view: View, subnet: Subnet) -> str:
    """OVN advertises one resolver."""
    servers = [each for each in subnet.dns_nameservers or view.site.dns_servers if ":" in each]
    return servers[0] if servers else ""


def _gateway(view: View, router: Router, gateway: Gateway, subject: Subject) -> Iterator[Row]:
    network = view.records.networks[gateway.network_id]
    interface = next(
        (each for each in view.records.interfaces.get(router.id, ()) if each.port_id == gateway.port_id), None
    )
    if interface is None:
        return
    widest = max((view.records.networks[each.network_id].mtu for each in view.inside(router.id)), default=0)
    options = {"gateway_mtu": str(network.mtu)} if widest > network.mtu else {}
    ports = list(_port(view, interface, subject, options, {}))
    yield from ports
    if not ports:
        return
    chosen = view.site.gateways(physical_networks(network), router.id)
    for priority, chassis in enumerate(reversed(chosen), 1):
        yield Row(
            table="Gateway_Chassis",
            key=f"{gateway.port_id} {chassis}",
            subject=subject,
            columns={
                # As ovn-nbctl names it, which so finds it.
                "name": f"{port_name(gateway.port_id)}-{chassis}",
                "chassis_name": chassis,
                "priority": priority,
            },
            places=(Place(table="Logical_Router_Port", key=gateway.port_id, column="gateway_chassis"),),
        )
    for subnet in _subnets(view, interface):
        if subnet.gateway_ip:
            prefix = "0.0.0.0/0" if subnet.ip_version == 4 else "::/0"
            columns = {
                "ip_prefix": prefix,
                "nexthop": subnet.gateway_ip,
                "output_port": some(port_name(gateway.port_id)),
            }
            yield _route(subject, f"{router.id} default {subnet.id}", columns)


def _subnets(view: View, interface: Interface) -> list[Subnet]:
    found = {ip.subnet_id: view.records.subnets.get(ip.subnet_id) for ip in interface.fixed_ips}
    return [subnet for _, subnet in sorted(found.items()) if subnet is not None]


def _route(subject: Subject, key: str, columns: dict[str, Value]) -> Row:
    return Row(
        table="Logical_Router_Static_Route",
        key=key,
        subject=subject,
        columns=columns,
        places=(Place(table="Logical_Router", key=subject.id, column="static_routes"),),
    )
