"""What a port lets through, as traffic rules: a stateless filter's, which the first match decides.

What such a filter cannot say is either opened, or told as unsaid:

- It knows no connections. Replies to what a stateful group lets in leave from the service's port; replies to what it
  lets out are let in to EPHEMERAL_PORTS alone, from whom and whose port the guest may talk to.
- It knows no ICMP types: a rule that names one lets all of ICMP through.
- It sees no ARP, and of IPv6's neighbour discovery no more than that it is ICMPv6.

Pure. How rules become VMware's objects is the vSphere driver's business.
"""

import ipaddress
from collections.abc import Iterable, Iterator

from polyvisor.model.port_filter import Permit, PortFilter
from polyvisor.model.record import Record
from polyvisor.model.security_group_rule import PROTOCOLS, protocol_number
from polyvisor.network.dvs.rule import ANYWHERE, TrafficRule

EPHEMERAL_PORTS = (32768, 65535)
"""Whence Linux and Windows begin connections."""
_TCP, _UDP, _ICMP, _ICMP6 = 6, 17, 1, 58
_WITH_PORTS = frozenset(PROTOCOLS[name] for name in ("tcp", "udp", "sctp", "dccp", "udplite"))


class Translation(Record):
    """A port's rules, in their order, and what they do not say."""

    rules: tuple[TrafficRule, ...]
    unsaid: tuple[str, ...] = ()
    """Why rules were left out, in sentences; empty where everything is said, or opened."""


def translate(wanted: PortFilter, *, opening: bool) -> Translation:
    """The rules of a port. `opening`: what cannot be said exactly is opened, as the module tells; else left out."""
    rules, unsaid = list[TrafficRule](), list[str]()
    for permit in wanted.permits:
        missing = [] if opening else list(_unsayable(permit))
        unsaid += missing
        if not missing:
            rules += _said(permit, wanted.addresses)
    return Translation(
        rules=tuple(dict.fromkeys([*_always(wanted.addresses), *rules, *_NOTHING_ELSE])), unsaid=tuple(unsaid)
    )


def closed() -> tuple[TrafficRule, ...]:
    """The rules of a port that nobody has told yet what to let through: an address may be asked for."""
    return tuple(_always(())) + _NOTHING_ELSE


def _always(addresses: Iterable[str]) -> Iterator[TrafficRule]:
    """What every guest may do, and what none may: ask for its address, and not hand out any."""
    for client, server in ((68, 67), (546, 547)):
        yield _datagrams(server, client, incoming=False, accept=False)
        yield _datagrams(client, server, incoming=False, accept=True)
        yield _datagrams(server, client, incoming=True, accept=True)
    if any(_version(address) == 6 for address in addresses):
        yield TrafficRule(incoming=False, accept=True, protocol=_ICMP6)
        yield TrafficRule(incoming=True, accept=True, protocol=_ICMP6)


def _datagrams(source: int, destination: int, *, incoming: bool, accept: bool) -> TrafficRule:
    return TrafficRule(
        incoming=incoming,
        accept=accept,
        protocol=_UDP,
        source_ports=(source, source),
        destination_ports=(destination, destination),
    )


_NOTHING_ELSE = tuple(
    TrafficRule(incoming=incoming, accept=False, source=anywhere)
    for incoming in (True, False)
    for anywhere in ANYWHERE.values()
)


def _unsayable(permit: Permit) -> Iterator[str]:
    what = f"{'ingress' if permit.ingress else 'egress'} {permit.ethertype} {permit.protocol or 'any protocol'}"
    if permit.stateful:
        yield (
            f"The rule for {what} is of a stateful security group, and vSphere's filter knows no connections. Use a "
            "stateless group, with a rule for the replies."
        )
    elif _number(permit) in (_ICMP, _ICMP6) and permit.port_range_min is not None:
        yield f"The rule for {what} names a type, and vSphere's filter knows no types. Use a rule without one."


def _said(permit: Permit, addresses: Iterable[str]) -> Iterator[TrafficRule]:
    version = 4 if permit.ethertype == "IPv4" else 6
    remotes = _of_version(permit.remotes, version) if permit.remotes is not None else [ANYWHERE[version]]
    own = _of_version(addresses, version)
    number, ports = _number(permit), _ports(permit)
    for remote in remotes:
        if permit.ingress:
            yield TrafficRule(incoming=True, accept=True, protocol=number, source=remote, destination_ports=ports)
            if permit.stateful:
                yield from (_sent(number, address, remote, source_ports=ports) for address in own)
        else:
            yield from (_sent(number, address, remote, destination_ports=ports) for address in own)
            if permit.stateful:
                yield from _replies(number, remote, ports, version)


def _sent(
    number: int | None,
    address: str,
    remote: str,
    *,
    source_ports: tuple[int, int] | None = None,
    destination_ports: tuple[int, int] | None = None,
) -> TrafficRule:
    """From one of the port's own addresses: what comes from another is a lie, and dropped."""
    return TrafficRule(
        incoming=False,
        accept=True,
        protocol=number,
        source=address,
        destination=remote,
        source_ports=source_ports,
        destination_ports=destination_ports,
    )


def _replies(number: int | None, remote: str, ports: tuple[int, int] | None, version: int) -> Iterator[TrafficRule]:
    """To what the guest has sent."""
    numbers = [number] if number is not None else [_TCP, _UDP, _ICMP if version == 4 else _ICMP6]
    for each in numbers:
        ephemeral = EPHEMERAL_PORTS if each in _WITH_PORTS else None
        yield TrafficRule(
            incoming=True, accept=True, protocol=each, source=remote, source_ports=ports, destination_ports=ephemeral
        )


def _number(permit: Permit) -> int | None:
    """The protocol's number. Neutron lets "icmp" stand for ICMPv6 in rules of IPv6."""
    number = protocol_number(permit.protocol)
    return _ICMP6 if number == _ICMP and permit.ethertype == "IPv6" else number


def _ports(permit: Permit) -> tuple[int, int] | None:
    if permit.port_range_min is None or _number(permit) not in _WITH_PORTS:
        return None
    last = permit.port_range_max if permit.port_range_max is not None else permit.port_range_min
    return permit.port_range_min, last


def _version(cidr: str) -> int:
    return ipaddress.ip_network(cidr, strict=False).version


def _of_version(cidrs: Iterable[str], version: int) -> list[str]:
    """Those of one version, in order, each once, without those that others contain."""
    found = [ipaddress.ip_network(each, strict=False) for each in cidrs if _version(each) == version]
    return [str(each) for each in ipaddress.collapse_addresses(found)]  # type: ignore[type-var]
