"""Frames of a guest's own making: what it may not say never reaches another guest, and what it may say does."""

import ipaddress
import itertools
import struct
from collections.abc import Iterator
from functools import partial

import pytest

from polyvisor.network.backend import Records
from polyvisor.network.ovn.backend import OvnBackend
from testbed.frames import ARP, BROADCAST, IPV4, IPV6, Wire, arp, ethernet, icmp6, udp
from testbed.ovn import TestOvn
from testbed.ovn_guest import TestGuest
from testbed.process import wait_for
from tests.network.beds import connected, until_up
from tests.network.records import bound, group, mac, network, port, records, rule, subnet

pytestmark = pytest.mark.xdist_group("ovn")

PATIENCE_SECONDS = 180.0
ONE, TWO, OTHER = mac(1), mac(2), mac(9)
ALL_NODES, ALL_NODES_MAC = "ff02::1", "33:33:00:00:00:01"
SOLICITED, ADVERTISES_ROUTER, ADVERTISES = 0x40, 134, 136
_numbers = itertools.count()


def link_local(mac_address: str) -> str:
    octets = bytes.fromhex(mac_address.replace(":", ""))
    return str(
        ipaddress.ip_address(b"\xfe\x80" + bytes(6) + bytes((octets[0] ^ 2,)) + octets[1:3] + b"\xff\xfe" + octets[3:])
    )


def datagram(
    source: str = "10.5.0.11", mac_address: str = ONE, target: str = "10.5.0.12", ports: tuple[int, int] = (5000, 5000)
) -> bytes:
    kind = IPV6 if ":" in source else IPV4
    return ethernet(
        mac_address, TWO, kind, udp((source, ports[0]), (target, ports[1]), f"mark-{next(_numbers)}".encode())
    )


def neighbour(sender: str, target: str, link_layer: str, frame_from: str = ONE) -> bytes:
    """A neighbour's advertisement (RFC 4861, 4.4) for "two"."""
    said = struct.pack("!I", SOLICITED << 24) + ipaddress.ip_address(target).packed + b"\x02\x01" + octets(link_layer)
    return ethernet(frame_from, TWO, IPV6, icmp6(sender, "fd00:5::12", ADVERTISES, said))


def router(sender: str = link_local(ONE)) -> bytes:
    """A router's advertisement (RFC 4861, 4.2) to everybody, with itself as the way out."""
    said = struct.pack("!BBHII", 64, 0, 1800, 0, 0) + b"\x01\x01" + octets(ONE)
    return ethernet(ONE, ALL_NODES_MAC, IPV6, icmp6(sender, ALL_NODES, ADVERTISES_ROUTER, said))


def octets(mac_address: str) -> bytes:
    return bytes.fromhex(mac_address.replace(":", ""))


# What "one" may send: each shows that frames like the forged ones are heard where they are let through.
HONEST = {
    "UDP": datagram(),
    "UDP by IPv6": datagram("fd00:5::11", target="fd00:5::12"),
    "an answer to who has its address": ethernet(ONE, TWO, ARP, arp(2, (ONE, "10.5.0.11"), (TWO, "10.5.0.12"))),
    "a neighbour's advertisement": neighbour("fd00:5::11", "fd00:5::11", ONE),
}
LET_THROUGH = "a router's advertisement in its own name"
"""OVN itself lets it through before it asks any ACL: see ovn-northd(8), priority 65532, and docs/reference/ovn.md."""
FORGED = {
    "another's MAC address": datagram(mac_address=OTHER),
    "another's address": datagram("10.5.0.13"),
    "another's address of IPv6": datagram("fd00:5::13", target="fd00:5::12"),
    "another's link-local address": datagram(link_local(OTHER), target="fd00:5::12"),
    "an answer by ARP for the router": ethernet(ONE, TWO, ARP, arp(2, (ONE, "10.5.0.1"), (TWO, "10.5.0.12"))),
    "an answer by ARP with another's MAC address": ethernet(
        ONE, TWO, ARP, arp(2, (OTHER, "10.5.0.11"), (TWO, "10.5.0.12"))
    ),
    "an announcement by ARP": ethernet(
        ONE, BROADCAST, ARP, arp(1, (ONE, "10.5.0.1"), ("00:00:00:00:00:00", "10.5.0.1"))
    ),
    "a DHCP server's answer": datagram(ports=(67, 68)),
    "a DHCPv6 server's answer": datagram("fd00:5::11", target="fd00:5::12", ports=(547, 546)),
    "a neighbour's advertisement for the router": neighbour("fd00:5::11", "fd00:5::1", ONE),
    "a neighbour's advertisement with another's MAC address": neighbour("fd00:5::11", "fd00:5::11", OTHER),
    LET_THROUGH: router(),
    "a router's advertisement in the router's name": router("fe80::1"),
}


@pytest.fixture
def backend(ovn: TestOvn) -> Iterator[OvnBackend]:
    made = connected(ovn)
    yield made
    made.close()


def cloud() -> Records:
    """Two networks with the same subnets, which do not know of each other; all groups let all in and out."""
    both = [
        rule(f"{side}{version}", "open", side, ethertype=version)
        for side in ("ingress", "egress")
        for version in ("IPv4", "IPv6")
    ]
    nets = [
        (
            network(f"n{number}"),
            subnet(f"s{number}", f"n{number}", "10.5.0.0/24", "10.5.0.1"),
            subnet(f"t{number}", f"n{number}", "fd00:5::/64", "fd00:5::1"),
        )
        for number in (1, 2)
    ]
    ports = [
        port(
            id,
            f"n{number}",
            card,
            (f"s{number}", f"10.5.0.{host}"),
            (f"t{number}", f"fd00:5::{host}"),
            binding=bound(where),
            security_group_ids=("open",),
        )
        for id, number, card, host, where in (
            ("one", 1, 1, 11, "hv1"),
            ("two", 1, 2, 12, "hv2"),
            ("twin", 2, 2, 12, "hv2"),
        )
    ]
    return records(*itertools.chain(*nets), group("open", *both), *ports)


def plugged(ovn: TestOvn, backend: OvnBackend) -> tuple[TestGuest, TestGuest, TestGuest]:
    """ "one" on the first chassis; on the second "two", and on another network "twin", who has its addresses."""
    backend.sweep(cloud())
    here, there = ovn.chassis
    guests = here.guest("one", ONE), there.guest("two", TWO), there.guest("twin", TWO)
    until_up(backend, {"one": True, "two": True, "twin": True})
    ovn.settle()
    return guests


def test_what_a_guest_may_not_say_reaches_nobody(ovn: TestOvn, backend: OvnBackend) -> None:
    """The second guest hears what is sent in its order: each forged frame is followed by an honest one."""
    one, two, twin = plugged(ovn, backend)
    with Wire(one.namespace) as speaks, Wire(two.namespace) as hears, Wire(twin.namespace) as elsewhere:

        def arrives(frame: bytes) -> bool:
            speaks.send(frame)
            return hears.hears(frame, 0.5)[0]

        for name, frame in HONEST.items():
            wait_for(partial(arrives, frame), PATIENCE_SECONDS, f"{name} does not arrive".__str__)
        heard = {}
        for name, frame in FORGED.items():
            speaks.send(frame)
            last = datagram()
            speaks.send(last)
            arrived, between = hears.hears(last, PATIENCE_SECONDS)
            assert arrived, f"after {name} nothing arrives"
            heard[name] = any(frame[14:] in each for each in between)
        assert [name for name, came in heard.items() if came] == [LET_THROUGH]
        sent = [*HONEST.values(), *FORGED.values()]
        _, strays = elsewhere.hears(b"never", 0.2)
        assert not [each for each in strays if any(frame[14:] in each for frame in sent)], "another network hears it"


def test_guests_with_the_same_address_on_two_networks_reach_their_own_alone(ovn: TestOvn, backend: OvnBackend) -> None:
    one, two, twin = plugged(ovn, backend)
    for guest, address in ((one, "10.5.0.11"), (two, "10.5.0.12"), (twin, "10.5.0.12")):
        guest.run("ip", "addr", "add", f"{address}/24", "dev", "eth0")
    wait_for(lambda: one.pings("10.5.0.12"), PATIENCE_SECONDS, lambda: "its own network's guest does not answer")
    assert not twin.pings("10.5.0.11"), "there is none on its network"
    two.run("ip", "link", "set", "eth0", "down")
    assert not one.pings("10.5.0.12"), "the other network's guest has answered"
    two.run("ip", "link", "set", "eth0", "up")
    wait_for(lambda: one.pings("10.5.0.12"), PATIENCE_SECONDS, lambda: "its own network's guest answers no more")
