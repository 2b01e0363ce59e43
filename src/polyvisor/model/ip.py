"""Arithmetic of addresses: keys that sort, pools, and the addresses that IPv6 ports make of their MAC addresses."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from polyvisor.model.subnet import Pool, Subnet

IpNetwork = IPv4Network | IPv6Network
Range = tuple[int, int]
"""The first and the last address, as numbers."""
AUTOMATIC = ("slaac", "dhcpv6-stateless")
"""Values of ipv6_address_mode with which ports make their addresses themselves."""


def read_address(text: str) -> str:
    """An address as it is kept. Raises ValueError; a scope ("%eth0") is a host's own business and no part of it."""
    if "%" in text:
        raise ValueError("an address without a scope is expected")
    return str(ip_address(text))


def read_network(text: str, *, strict: bool = True) -> IpNetwork:
    """A range in CIDR form. `strict`: no bits beside its length. Raises ValueError."""
    if "%" in text:
        raise ValueError("a range without a scope is expected")
    return ip_network(text, strict=strict)


def key_of(address: str) -> str:
    """The address in hexadecimal, of 8 digits (IPv4) or 32: as text it sorts like the number."""
    parsed = ip_address(address)
    return f"{int(parsed):0{parsed.max_prefixlen // 4}x}"


def numbered(number: int, ip_version: int) -> str:
    """The address that a number is."""
    return str(ip_address(number.to_bytes(4 if ip_version == 4 else 16, "big")))


def is_automatic(subnet: Subnet) -> bool:
    """Whether ports make their addresses of their MAC addresses (SLAAC, or DHCPv6 for the rest alone)."""
    return subnet.ipv6_address_mode in AUTOMATIC


def from_mac(cidr: str, mac_address: str) -> str:
    """The address that a port with this MAC address makes in a /64 (modified EUI-64, RFC 4291)."""
    octets = bytes.fromhex(mac_address.replace(":", ""))
    interface = bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]])
    return str(IPv6Address(int(IPv6Network(cidr).network_address) + int.from_bytes(interface, "big")))


def usable(address: str, cidr: str) -> bool:
    """Whether a port of the subnet may have the address: inside, and neither the network's own nor the broadcast."""
    network, parsed = ip_network(cidr), ip_address(address)
    if parsed not in network:
        return False
    if network.version == 4:
        return network.prefixlen >= 31 or parsed not in (network.network_address, network.broadcast_address)
    return network.prefixlen >= 127 or parsed != network.network_address


def whole(cidr: str) -> Range:
    """The addresses of a subnet that ports may have. A subnet of one or two addresses has them all."""
    network = ip_network(cidr)
    first, last = int(network.network_address), int(network.broadcast_address)
    if network.num_addresses <= 2:
        return first, last
    return first + 1, last - 1 if network.version == 4 else last


def default_pools(cidr: str, gateway_ip: str | None) -> tuple[Pool, ...]:
    """All addresses of a subnet but the gateway's, as pools."""
    version = ip_network(cidr).version
    first, last = whole(cidr)
    gateway = None if gateway_ip is None else int(ip_address(gateway_ip))
    if gateway is None or not first <= gateway <= last:
        ranges = [(first, last)]
    else:
        ranges = [(first, gateway - 1), (gateway + 1, last)]
    return tuple(_pool(each, version) for each in ranges if each[0] <= each[1])


def _pool(each: Range, version: int) -> Pool:
    return Pool(start=numbered(each[0], version), end=numbered(each[1], version))


def ranges(pools: Iterable[Pool]) -> list[Range]:
    """Pools as numbers, in order."""
    return sorted((int(ip_address(pool.start)), int(ip_address(pool.end))) for pool in pools)


def after(found: Sequence[Range], number: int | None) -> list[Range]:
    """The ranges beginning after a number, then those up to it: so that addresses are given out in turn."""
    if number is None:
        return list(found)
    later = [(max(first, number + 1), last) for first, last in found if last > number]
    earlier = [(first, min(last, number)) for first, last in found if first <= number]
    return later + earlier


def overlapping(one: str, other: str) -> bool:
    """Whether two ranges in CIDR form have an address in common."""
    first, second = ip_network(one), ip_network(other)
    return first.version == second.version and first.overlaps(second)
