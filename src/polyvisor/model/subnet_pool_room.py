"""Where in a subnet pool a range is free."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from polyvisor.model.ip import IpNetwork, read_network


def merged(prefixes: Iterable[str]) -> tuple[str, ...]:
    """CIDRs in order, those that are neighbours or one within another made one. Raises ValueError.

    Bits beside a prefix's length are dropped, as Neutron does.
    """
    found = [read_network(each, strict=False) for each in prefixes]
    of_four = collapse_addresses(each for each in found if isinstance(each, IPv4Network))
    of_six = collapse_addresses(each for each in found if isinstance(each, IPv6Network))
    return tuple(str(each) for each in (*of_four, *of_six))


def without(prefixes: Iterable[str], gone: Iterable[str]) -> tuple[str, ...]:
    """CIDRs in order that have what `prefixes` have, and nothing of `gone`; all are of one version of IP."""
    left = [ip_network(each) for each in prefixes]
    for taken in map(ip_network, gone):
        left = [part for each in left for part in _cut(each, taken)]
    return merged(map(str, left))


def _cut(whole: IpNetwork, taken: IpNetwork) -> Iterable[IpNetwork]:
    if not whole.overlaps(taken):
        return [whole]
    # Of two CIDRs that overlap, one is inside the other.
    return whole.address_exclude(taken) if whole.prefixlen < taken.prefixlen else []  # type: ignore[arg-type]


def first_free(prefixes: Sequence[str], used: Iterable[str], prefixlen: int) -> str | None:
    """The first range of this size in the pool that no used one touches; None where there is none."""
    taken = sorted((int(each.network_address), int(each.broadcast_address)) for each in map(ip_network, used))
    for prefix in map(ip_network, prefixes):
        if prefix.prefixlen > prefixlen:
            continue
        size = 1 << (prefix.max_prefixlen - prefixlen)
        at, end = int(prefix.network_address), int(prefix.broadcast_address)
        for first, last in taken:
            if at + size - 1 < first:
                break
            if last >= at:
                at = (last // size + 1) * size
        if at + size - 1 <= end:
            return f"{type(prefix.network_address)(at)}/{prefixlen}"
    return None


def inside(prefixes: Iterable[str], cidr: str) -> bool:
    """Whether a range is in the pool as a whole."""
    wanted = ip_network(cidr)
    first, last = int(wanted.network_address), int(wanted.broadcast_address)
    return any(
        each.version == wanted.version and int(each.network_address) <= first and last <= int(each.broadcast_address)
        for each in map(ip_network, prefixes)
    )


def weight(cidr: str) -> int:
    """What a subnet counts against a pool's quota: its addresses (IPv4), or its networks of 64 bits (IPv6)."""
    network = ip_network(cidr)
    return network.num_addresses if network.version == 4 else max(1, network.num_addresses >> 64)
