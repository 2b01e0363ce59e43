"""What a subnet must be like: pools inside and apart, the gateway outside of them, IPv6 modes that go together."""

from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network
from itertools import pairwise

from polyvisor.model.errors import Conflict, Invalid
from polyvisor.model.ip import overlapping, ranges, read_address, read_network, whole
from polyvisor.model.subnet import HostRoute, Pool, Subnet

MODES = ("slaac", "dhcpv6-stateful", "dhcpv6-stateless")


def invalid(sentence: str) -> Invalid:
    """The error for a value that is not what it must be."""
    return Invalid(f"Invalid input for operation: {sentence}", kind="InvalidInput")


def check_subnet(subnet: Subnet) -> None:
    """Raise Invalid or Conflict, in Neutron's words, where the subnet contradicts itself."""
    network = ip_network(subnet.cidr)
    if network.version != subnet.ip_version:
        raise invalid(f"The ip_version '{subnet.ip_version}' does not match the cidr '{subnet.cidr}'.")
    if network.prefixlen == 0 or network.is_multicast or network.is_loopback:
        raise invalid(f"'{subnet.cidr}' isn't a recognized IP subnet cidr for servers.")
    if network.is_link_local and network.version == 6:
        raise invalid(f"'{subnet.cidr}' is for link-local addresses, which every port has anyway.")
    if subnet.enable_dhcp and network.num_addresses <= 2 and network.version == 4 and network.prefixlen == 32:
        raise invalid(
            "Subnet has a prefix length that is incompatible with DHCP service enabled: one address is too few."
        )
    _check_modes(subnet)
    _check_gateway(subnet)
    check_pools(subnet.cidr, subnet.allocation_pools)
    if subnet.gateway_ip is not None:
        _check_outside(subnet.gateway_ip, subnet.allocation_pools)
    _check_versions(subnet)


def _check_modes(subnet: Subnet) -> None:
    ra, address = subnet.ipv6_ra_mode, subnet.ipv6_address_mode
    if ra is None and address is None:
        return
    if subnet.ip_version == 4:
        raise invalid("ipv6_ra_mode and ipv6_address_mode are not valid when ip_version is 4: leave them out.")
    if not subnet.enable_dhcp:
        raise invalid("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False.")
    if ra is not None and address is not None and ra != address:
        raise invalid(
            f"ipv6_ra_mode set to '{ra}' with ipv6_address_mode set to '{address}' is not valid. "
            "If both attributes are set, they must be the same value."
        )
    if (ra or address) in ("slaac", "dhcpv6-stateless") and ip_network(subnet.cidr).prefixlen != 64:
        raise invalid(f"Invalid CIDR {subnet.cidr} for IPv6 address mode. OpenStack uses the EUI-64 address format, "
                      "which requires the prefix to be /64.")  # fmt: skip


def _check_gateway(subnet: Subnet) -> None:
    if subnet.gateway_ip is None:
        return
    gateway, network = ip_address(subnet.gateway_ip), ip_network(subnet.cidr)
    if gateway.version != network.version:
        raise invalid(f"gateway_ip '{gateway}' is not of the subnet's IP version.")
    if (
        network.version == 4
        and network.prefixlen < 31
        and gateway in (network.network_address, network.broadcast_address)
    ):
        raise invalid("Gateway is not valid on subnet: it is the network's own or its broadcast address.")


def check_pools(cidr: str, pools: Sequence[Pool]) -> None:
    """Raise where a pool is malformed or outside, or two have addresses in common."""
    first, last = whole(cidr)
    version = ip_network(cidr).version
    for pool in pools:
        start, end = ip_address(pool.start), ip_address(pool.end)
        if start.version != version or end.version != version or int(start) > int(end):
            raise Invalid(f"The allocation pool {pool.start}-{pool.end} is not valid.", kind="InvalidAllocationPool")
        if int(start) < first or int(end) > last:
            raise Invalid(
                f"The allocation pool {pool.start}-{pool.end} spans beyond the subnet cidr {cidr}.",
                kind="OutOfBoundsAllocationPool",
            )
    found = ranges(pools)
    for (_, end_of_one), (start_of_next, _) in pairwise(found):
        if start_of_next <= end_of_one:
            raise Conflict(
                f"Found overlapping allocation pools for subnet {cidr}: let each address be in one of them.",
                kind="OverlappingAllocationPools",
            )


def _check_outside(gateway_ip: str, pools: Iterable[Pool]) -> None:
    gateway = int(ip_address(gateway_ip))
    for (first, last), pool in zip(
        ranges(pools), sorted(pools, key=lambda each: int(ip_address(each.start))), strict=True
    ):
        if first <= gateway <= last:
            raise Conflict(
                f"Gateway ip {gateway_ip} conflicts with allocation pool {pool.start}-{pool.end}.",
                kind="GatewayConflictWithAllocationPools",
            )


def _check_versions(subnet: Subnet) -> None:
    for server in subnet.dns_nameservers:
        ip_address(server)
    for route in subnet.host_routes:
        if ip_network(route.destination).version != ip_address(route.nexthop).version:
            raise invalid(f"The route to {route.destination} by {route.nexthop} mixes IP versions.")


def check_apart(subnet: Subnet, others: Iterable[Subnet]) -> None:
    """Raise Invalid where the subnet has addresses in common with another one of its network."""
    for other in others:
        if other.id != subnet.id and overlapping(subnet.cidr, other.cidr):
            raise invalid(
                f"Requested subnet with cidr: {subnet.cidr} for network: {subnet.network_id} overlaps with another "
                f"subnet, {other.id} ({other.cidr})."
            )


def canonical_address(text: str) -> str:
    """An address as it is kept. Raises Invalid."""
    try:
        return read_address(text)
    except ValueError:
        raise invalid(f"'{text[:64]}' is not a valid IP address.") from None


def canonical_route(destination: str, nexthop: str) -> HostRoute:
    """A route as it is kept. Raises Invalid."""
    try:
        return HostRoute(destination=str(read_network(destination, strict=False)), nexthop=read_address(nexthop))
    except ValueError:
        raise invalid(
            f"'{destination[:64]} via {nexthop[:64]}' is not a route: a CIDR and an address are expected."
        ) from None
