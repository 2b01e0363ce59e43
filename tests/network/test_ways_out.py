"""Packets by rarer ways: floating IPs on the guest's own chassis, and networks that a trunk carries by VLAN."""

import struct
from collections.abc import Iterator
from functools import partial

import pytest

from polyvisor.network.backend import Parent, Records
from polyvisor.network.ovn.backend import OvnBackend
from testbed.frames import ARP, BROADCAST, IPV4, VLAN, Wire, arp, ethernet, udp
from testbed.ovn import TestOvn
from testbed.process import wait_for
from tests.network.beds import connected, until_up
from tests.network.records import (
    FLAT,
    bound,
    floating,
    gateway_port,
    group,
    mac,
    network,
    port,
    records,
    router,
    router_port,
    rule,
    subnet,
)

pytestmark = pytest.mark.xdist_group("ovn")

PATIENCE_SECONDS = 180.0
FLOATING, KEEPER = "172.24.5.20", mac(40)
OPEN = group("open", *(rule(side, "open", side) for side in ("ingress", "egress")))


@pytest.fixture
def backend(ovn: TestOvn) -> Iterator[OvnBackend]:
    made = connected(ovn, distributed_floating_ips=True)
    yield made
    made.close()


def guest_port(id: str, network_id: str, number: int, host: str) -> object:
    where = (f"s-{network_id}", f"10.5.0.{number}")
    return port(id, network_id, number, where, binding=bound(host), security_group_ids=("open",))


def test_a_floating_ip_is_at_home_on_the_guest_s_own_chassis(ovn: TestOvn, backend: OvnBackend) -> None:
    """On either of them, so that one at least is not the router's gateway."""
    way_out = gateway_port("gateway", "outside", 8, ("s-outside", "172.24.5.10"))
    way_in = router_port("way-in", "n1", 9, ("s-n1", "10.5.0.1"))
    keepers = [
        port(
            f"f{number}-port",
            "outside",
            40 + number,
            ("s-outside", f"172.24.5.2{number}"),
            device_owner="network:floatingip",
        )
        for number in (1, 2)
    ]
    translated = [
        floating(
            f"f{number}",
            f"172.24.5.2{number}",
            "router",
            "outside",
            port_id=f"p{number}",
            fixed_ip_address=f"10.5.0.{number + 10}",
        )
        for number in (1, 2)
    ]
    backend.sweep(
        records(
            network("n1"),
            subnet("s-n1", "n1", "10.5.0.0/24", "10.5.0.1"),
            network("outside", FLAT, mtu=1500, external=True),
            subnet("s-outside", "outside", "172.24.5.0/24", "172.24.5.1"),
            OPEN,
            *(guest_port(f"p{number}", "n1", number + 10, f"hv{number}") for number in (1, 2)),
            *keepers,
            *translated,
            router("router", way_out),
            interfaces={"router": (way_out, way_in)},
        )
    )
    guests = [chassis.guest(f"p{number}", mac(number + 10)) for number, chassis in enumerate(ovn.chassis, 1)]
    until_up(backend, {"p1": True, "p2": True})
    ovn.settle()
    for guest in guests:
        guest.dhcp()
    outside = ovn.outside("172.24.5.1/24")
    for number in (1, 2):
        wait_for(
            partial(outside.pings, f"172.24.5.2{number}"), PATIENCE_SECONDS, f"floating IP {number} is silent".__str__
        )
        [learned] = [line for line in outside.run("bridge", "fdb").splitlines() if line.startswith(mac(40 + number))]
        assert f" dev phy{number - 1} " in learned, "it does not come from the guest's own chassis"
    wait_for(
        partial(guests[0].pings, "172.24.5.22"), PATIENCE_SECONDS, lambda: "one floating IP does not reach another"
    )


def carried() -> Records:
    """ "parent" on its own network, and "child" on "peer"'s, by the parent's card with VLAN 7."""
    return records(
        network("n1"),
        subnet("s-n1", "n1", "10.5.0.0/24", "10.5.0.1"),
        network("n2"),
        subnet("s-n2", "n2", "10.5.0.0/24", "10.5.0.1"),
        OPEN,
        guest_port("parent", "n1", 11, "hv1"),
        guest_port("neighbour", "n1", 12, "hv2"),
        guest_port("child", "n2", 13, "hv1"),
        guest_port("peer", "n2", 14, "hv2"),
        parents={"child": Parent(port_id="parent", vlan=7)},
    )


def datagram(source: int, target: int, content: bytes, vlan: int | None = None) -> bytes:
    told = udp((f"10.5.0.{source}", 5000), (f"10.5.0.{target}", 5000), content)
    return ethernet(mac(source), mac(target), IPV4, told, vlan)


def test_a_trunk_carries_another_network_by_its_vlan(ovn: TestOvn, backend: OvnBackend) -> None:
    backend.sweep(carried())
    here, there = ovn.chassis
    trunk, neighbour, peer = (
        here.guest("parent", mac(11)),
        there.guest("neighbour", mac(12)),
        there.guest("peer", mac(14)),
    )
    until_up(backend, {"parent": True, "child": True, "neighbour": True, "peer": True})
    ovn.settle()
    with Wire(trunk.namespace) as card, Wire(neighbour.namespace) as own, Wire(peer.namespace) as other:

        def passes(sender: Wire, receiver: Wire, frame: bytes, told: bytes) -> bool:
            sender.send(frame)
            return receiver.hears(told, 0.5)[0]

        def becomes(sender: Wire, receiver: Wire, frame: bytes, told: bytes) -> None:
            wait_for(partial(passes, sender, receiver, frame, told), PATIENCE_SECONDS, lambda: f"{told!r} is not heard")

        tag = struct.pack("!HH", VLAN, 7)
        becomes(card, own, datagram(11, 12, b"untagged"), b"untagged")
        becomes(card, other, datagram(13, 14, b"tagged", 7), b"tagged")
        becomes(other, card, datagram(14, 13, b"back"), tag + struct.pack("!H", IPV4))
        # OVN answers in the tag for who is asked after there.
        asked = arp(1, (mac(13), "10.5.0.13"), ("00:00:00:00:00:00", "10.5.0.14"))
        answer = arp(2, (mac(14), "10.5.0.14"), (mac(13), "10.5.0.13"))
        becomes(card, card, ethernet(mac(13), BROADCAST, ARP, asked, 7), tag + struct.pack("!H", ARP) + answer)

        forged = {
            b"without its tag": datagram(13, 14, b"without its tag"),
            b"by another tag": datagram(13, 14, b"by another tag", 8),
            b"the parent's own": datagram(11, 14, b"the parent's own", 7),
            b"to the parent's network": datagram(13, 12, b"to the parent's network", 7),
        }
        for frame in forged.values():
            card.send(frame)
        for receiver, last in ((other, datagram(13, 14, b"last", 7)), (own, datagram(11, 12, b"last"))):
            card.send(last)
            arrived, heard = receiver.hears(b"last", PATIENCE_SECONDS)
            assert arrived
            assert [words for words in forged if any(words in each for each in heard)] == []
