"""Records as the store would hand them to a backend, with what a test does not care for filled in."""

from datetime import UTC, datetime
from typing import Any

from polyvisor.model.network import Network, NetworkType, SegmentRef
from polyvisor.model.network_intent import Unit
from polyvisor.model.port import METADATA, ROUTER_GATEWAY, ROUTER_INTERFACE, Binding, FixedIp, Port
from polyvisor.model.router import FloatingIp, Gateway, Interface, PortForwarding, Router
from polyvisor.model.security_group import AddressGroup, SecurityGroup, SecurityGroupRule
from polyvisor.model.subnet import Subnet
from polyvisor.network.backend import Records, Subject

NOW = datetime(2026, 11, 1, tzinfo=UTC)
STANDARD: dict[str, Any] = {"project_id": "project", "created_at": NOW, "updated_at": NOW}
GENEVE = SegmentRef(network_type=NetworkType.GENEVE, segmentation_id=1)
VLAN = SegmentRef(network_type=NetworkType.VLAN, physical_network="physnet1", segmentation_id=100)
FLAT = SegmentRef(network_type=NetworkType.FLAT, physical_network="physnet1")


def network(id: str, segment: SegmentRef = GENEVE, mtu: int = 1442, **more: Any) -> Network:
    return Network(id=id, mtu=mtu, segments=(segment,), **STANDARD, **more)


def subnet(id: str, network_id: str, cidr: str, gateway_ip: str | None = None, **more: Any) -> Subnet:
    version = 6 if ":" in cidr else 4
    return Subnet(
        id=id, network_id=network_id, cidr=cidr, gateway_ip=gateway_ip, ip_version=version, **STANDARD, **more
    )


def mac(number: int) -> str:
    return f"fa:16:3e:00:{number // 256:02x}:{number % 256:02x}"


def port(id: str, network_id: str, number: int, *ips: tuple[str, str], **more: Any) -> Port:
    """`ips` are pairs of a subnet's id and an address."""
    fixed = tuple(FixedIp(subnet_id=subnet_id, ip_address=address) for subnet_id, address in ips)
    more.setdefault("device_owner", "compute:nova")
    return Port(id=id, network_id=network_id, mac_address=mac(number), fixed_ips=fixed, **STANDARD, **more)


def metadata_port(id: str, network_id: str, number: int, *ips: tuple[str, str]) -> Port:
    return port(id, network_id, number, *ips, device_owner=METADATA)


def bound(host: str, vif_type: str = "ovs") -> Binding:
    return Binding(host=host, vif_type=vif_type)


def rule(id: str, group_id: str, direction: str = "ingress", **more: Any) -> SecurityGroupRule:
    return SecurityGroupRule(id=id, security_group_id=group_id, direction=direction, **STANDARD, **more)


def group(id: str, *rules: SecurityGroupRule, **more: Any) -> SecurityGroup:
    return SecurityGroup(id=id, rules=rules, **STANDARD, **more)


def address_group(id: str, *addresses: str) -> AddressGroup:
    return AddressGroup(id=id, addresses=addresses, **STANDARD)


def interface(port: Port) -> Interface:
    return Interface(
        port_id=port.id, network_id=port.network_id, mac_address=port.mac_address, fixed_ips=port.fixed_ips
    )


def router_port(id: str, network_id: str, number: int, *ips: tuple[str, str]) -> Port:
    return port(id, network_id, number, *ips, device_owner=ROUTER_INTERFACE)


def gateway_port(id: str, network_id: str, number: int, *ips: tuple[str, str]) -> Port:
    return port(id, network_id, number, *ips, device_owner=ROUTER_GATEWAY)


def router(id: str, gateway: Port | None = None, **more: Any) -> Router:
    way_out = None
    if gateway is not None:
        way_out = Gateway(network_id=gateway.network_id, port_id=gateway.id, external_fixed_ips=gateway.fixed_ips)
    return Router(id=id, gateway=way_out, **STANDARD, **more)


def floating(id: str, address: str, router_id: str, network_id: str, **more: Any) -> FloatingIp:
    return FloatingIp(
        id=id,
        floating_ip_address=address,
        floating_network_id=network_id,
        router_id=router_id,
        floating_port_id=f"{id}-port",
        **STANDARD,
        **more,
    )


def forwarding(id: str, floating_ip_id: str, outer: str, inner: str, address: str) -> PortForwarding:
    return PortForwarding(
        id=id,
        floating_ip_id=floating_ip_id,
        protocol="tcp",
        external_port=outer,
        internal_port=inner,
        internal_port_id="inside",
        internal_ip_address=address,
        **STANDARD,
    )


def records(*things: Any, interfaces: dict[str, tuple[Port, ...]] | None = None, **more: Any) -> Records:
    """All of these, by their kinds; `interfaces` are routers' ports, which need not be named besides."""
    ports = [thing for thing in things if isinstance(thing, Port)]
    held = interfaces or {}
    ports += [port for each in held.values() for port in each if port not in ports]

    def of(kind: type[Any]) -> dict[str, Any]:
        return {thing.id: thing for thing in things if isinstance(thing, kind)}

    return Records(
        networks=of(Network),
        subnets=of(Subnet),
        ports={port.id: port for port in ports},
        routers=of(Router),
        interfaces={id: tuple(interface(port) for port in each) for id, each in held.items()},
        floating_ips=of(FloatingIp),
        security_groups=of(SecurityGroup),
        address_groups=of(AddressGroup),
        **more,
    )


def subject(kind: str, id: str) -> Subject:
    return Subject(unit=Unit(kind), id=id)
