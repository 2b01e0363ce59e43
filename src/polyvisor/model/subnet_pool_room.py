"""Where in a subnet pool a range is free."""

from collections.abc import Iterable, Sequence
from ipaddress import ip_network

from polyvisor.model.ip import IpNetwork, read_network


def merged(prefixes: Iterable[str]) -> tuple[str, ...]:
    """CIDRs in order, those that are neighbours or one within another made one. Raises ValueError."""
    found = sorted({read_network(each) for each in prefixes}, key=lambda each: (each.version, each.network_address))
    out: list[IpNetwork] = []
    for each in found:
        out.append(each)
        while len(out) > 1 and (whole := _one(out[-2], out[-1])) is not None:
            out[-2:] = [whole]
    return tuple(str(each) for each in out)


def _one(first: IpNetwork, second: IpNetwork) -> IpNetwork | None:
    """The one network that two are together, where there is one."""
    if first.version != second.version:
        return None
    if int(first.network_address) <= int(second.network_address) and int(second.broadcast_address) <= int(
        first.broadcast_address
    ):
        return first
    if first.prefixlen != second.prefixlen or not first.prefixlen:
        return None
    whole = first.supernet()
    return whole if second.supernet() == whole and first != second else None


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
