"""Ports as network cards: all that a hypervisor and a guest are told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from polyvisor.model.host import Reach
from polyvisor.model.network import Network, SegmentRef
from polyvisor.model.nic import Nic, NicAddress
from polyvisor.model.port import FixedIp, Port
from polyvisor.model.subnet import Subnet
from polyvisor.store.network import network
from polyvisor.store.port_tables import port

if TYPE_CHECKING:
    from polyvisor.store.store import Store


def nics_of(store: Store, ids: Sequence[str], reach: Reach | None) -> tuple[Nic, ...]:
    """The cards, in the order of the ports' ids. Three statements."""
    # Only read: to hold these rows would make the hosts of a network wait for each other.
    ports = store.port.every(port.c.id.in_(sorted(set(ids))))
    networks = store.network.every(network.c.id.in_(sorted({each.network_id for each in ports.values()})))
    subnets = {each.id: each for each in store.subnet.of_networks(networks)}
    return tuple(_nic(ports[id], networks[ports[id].network_id], subnets, reach) for id in ids if id in ports)


def _nic(record: Port, on: Network, subnets: Mapping[str, Subnet], reach: Reach | None) -> Nic:
    return Nic(
        port_id=record.id,
        network_id=on.id,
        network_name=on.name,
        project_id=on.project_id,
        mac_address=record.mac_address,
        mtu=on.mtu,
        segment=_segment(on.segments, reach),
        addresses=tuple(_nic_address(each, subnets[each.subnet_id]) for each in record.fixed_ips),
        vnic_type=record.binding.vnic_type,
        port_security=record.port_security_enabled,
    )


def _segment(segments: Sequence[SegmentRef], reach: Reach | None) -> SegmentRef:
    carried = [each for each in segments if reach is not None and reach.carries(each)]
    return (carried or segments)[0]


def _nic_address(fixed: FixedIp, subnet: Subnet) -> NicAddress:
    return NicAddress(
        subnet_id=subnet.id,
        ip_version=subnet.ip_version,
        address=fixed.ip_address,
        cidr=subnet.cidr,
        gateway=subnet.gateway_ip,
        dns_nameservers=subnet.dns_nameservers,
        routes=subnet.host_routes,
        dhcp=subnet.enable_dhcp,
        ipv6_address_mode=subnet.ipv6_address_mode,
    )
