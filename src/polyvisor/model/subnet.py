"""Subnets: a range of addresses on a network, and what its ports are told of it."""

from polyvisor.model.network_standard import Standard
from polyvisor.model.record import Record, Told


class Pool(Record):
    """A range of addresses, both ends included."""

    start: str
    end: str


class HostRoute(Told):
    """A route that ports of the subnet are given."""

    destination: str
    """CIDR."""
    nexthop: str


class Subnet(Standard):
    """A subnet as the store has it."""

    network_id: str
    ip_version: int
    """4 or 6."""
    cidr: str
    gateway_ip: str | None
    allocation_pools: tuple[Pool, ...] = ()
    dns_nameservers: tuple[str, ...] = ()
    host_routes: tuple[HostRoute, ...] = ()
    enable_dhcp: bool = True
    ipv6_ra_mode: str | None = None
    """"slaac", "dhcpv6-stateful", "dhcpv6-stateless" or None."""
    ipv6_address_mode: str | None = None
    subnetpool_id: str | None = None
    segment_id: str | None = None
    service_types: tuple[str, ...] = ()
    dns_publish_fixed_ip: bool = False
