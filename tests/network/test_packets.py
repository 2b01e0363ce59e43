"""Packets through two chassis: what a guest gets by DHCP, whom it reaches, what stops it, and what it cannot forge."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from polyvisor.model.router import PortForwarding
from polyvisor.network.backend import Records
from polyvisor.network.ovn.backend import OvnBackend
from testbed.ovn import TestOvn
from testbed.ovn_guest import TestGuest
from testbed.process import wait_for
from tests.network.beds import connected, until
from tests.network.records import (
    FLAT,
    STANDARD,
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
    subject,
    subnet,
)

pytestmark = pytest.mark.xdist_group("ovn")

PATIENCE_SECONDS = 180.0
EGRESS = [rule("out4", "open", "egress"), rule("out6", "open", "egress", ethertype="IPv6")]
PING = rule("ping", "open", protocol="icmp")


@pytest.fixture
def backend(ovn: TestOvn) -> Iterator[OvnBackend]:
    made = connected(ovn)
    yield made
    made.close()


def guest_port(id: str, number: int, address: str, host: str, **more: Any) -> Any:
    return port(id, "n1", number, ("s1", address), binding=bound(host), security_group_ids=("open",), **more)


def inside(*more: Any, rules: tuple[Any, ...] = (PING,), **keywords: Any) -> Records:
    return records(
        network("n1"),
        subnet("s1", "n1", "10.5.0.0/24", "10.5.0.1", dns_nameservers=("10.5.0.53",)),
        group("open", *EGRESS, *rules),
        guest_port("one", 1, "10.5.0.11", "hv1"),
        guest_port("two", 2, "10.5.0.12", "hv2"),
        *more,
        **keywords,
    )


def becomes(true: Callable[[], bool], complaint: str) -> None:
    wait_for(true, PATIENCE_SECONDS, lambda: complaint)


def plugged(ovn: TestOvn, backend: OvnBackend, *ports: str) -> list[TestGuest]:
    """Guests at "one" on the first chassis and "two" on the second."""
    where = {"one": (0, 1), "two": (1, 2)}
    guests = [ovn.chassis[where[id][0]].guest(id, mac(where[id][1])) for id in ports]
    up: dict[str, bool] = {}

    def all_up() -> bool:
        up.update(backend.statuses())
        return all(up.get(id) for id in ports)

    until(backend, all_up)
    ovn.settle()
    return guests


def test_guests_get_their_addresses_and_reach_each_other_as_their_groups_let_them(
    ovn: TestOvn, backend: OvnBackend
) -> None:
    backend.sweep(inside())
    one, two = plugged(ovn, backend, "one", "two")
    told = one.dhcp()
    assert (told["ip"], told["router"], told["dns"], told["mtu"]) == ("10.5.0.11", "10.5.0.1", "10.5.0.53", "1442")
    assert two.dhcp()["ip"] == "10.5.0.12"
    becomes(lambda: one.pings("10.5.0.12"), "the other chassis' guest does not answer")

    backend.bring_about(inside(rules=()), [subject("security_group", "open")])
    ovn.settle()
    becomes(lambda: not one.pings("10.5.0.12"), "what no rule lets in is let in")
    backend.bring_about(inside(), [subject("security_group", "open")])
    ovn.settle()
    becomes(lambda: one.pings("10.5.0.12"), "what a rule lets in again is not let in")

    # Another's address is not the guest's to use, unless the port says so.
    one.run("ip", "addr", "add", "10.5.0.99/24", "dev", "eth0")
    one.run("ip", "route", "add", "10.5.0.12/32", "dev", "eth0", "src", "10.5.0.99")
    assert not one.pings("10.5.0.12")
    one.run("ip", "route", "del", "10.5.0.12/32")
    one.run("ip", "link", "set", "eth0", "address", mac(77))
    assert not one.pings("10.5.0.12")


def handed_on(floating_ip_id: str, outer: str, inner: str) -> PortForwarding:
    return PortForwarding(
        id="forwarding",
        floating_ip_id=floating_ip_id,
        protocol="tcp",
        external_port=outer,
        internal_port=inner,
        internal_port_id="two",
        internal_ip_address="10.5.0.12",
        **STANDARD,
    )


@contextmanager
def served(guest: TestGuest, folder: Path, tcp_port: int) -> Iterator[None]:
    """A guest that answers by HTTP."""
    (folder / "told").write_text("here")
    command = ["ip", "netns", "exec", guest.namespace, "busybox", "httpd", "-f", "-p", str(tcp_port), "-h", str(folder)]
    server = subprocess.Popen(command)
    try:
        yield
    finally:
        server.kill()
        server.wait()


def test_a_router_leads_out_and_a_floating_ip_leads_in(ovn: TestOvn, backend: OvnBackend, tmp_path: Path) -> None:
    way_out = gateway_port("gateway", "outside", 8, ("s-outside", "172.24.5.10"))
    way_in = router_port("way-in", "n1", 9, ("s1", "10.5.0.1"))
    backend.sweep(
        inside(
            network("outside", FLAT, mtu=1500, external=True),
            subnet("s-outside", "outside", "172.24.5.0/24", "172.24.5.1"),
            router("router", way_out),
            floating("f1", "172.24.5.20", "router", "outside", port_id="two", fixed_ip_address="10.5.0.12"),
            floating("f2", "172.24.5.21", "router", "outside", port_forwardings=(handed_on("f2", "8080", "80"),)),
            interfaces={"router": (way_out, way_in)},
            rules=(PING, rule("web", "open", protocol="tcp", port_range_min=80, port_range_max=80)),
        )
    )
    one, two = plugged(ovn, backend, "one", "two")
    one.dhcp()
    two.dhcp()
    outside = ovn.outside("172.24.5.1/24")
    becomes(lambda: one.pings("172.24.5.1"), "the network outside does not answer")
    becomes(lambda: outside.pings("172.24.5.20"), "the floating IP does not answer")
    assert not outside.pings("172.24.5.22")
    with served(two, tmp_path, 80):
        becomes(lambda: outside.fetches("http://172.24.5.21:8080/told"), "the forwarded port does not answer")
        assert not outside.fetches("http://172.24.5.21:80/told")


def test_guests_make_themselves_ipv6_addresses_of_what_their_router_advertises_and_find_each_other_by_name(
    ovn: TestOvn, backend: OvnBackend
) -> None:
    slaac = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    both = (("s1", "10.5.0.11"), ("s6", "fd00:5::f816:3eff:fe00:1"))
    other = (("s1", "10.5.0.12"), ("s6", "fd00:5::f816:3eff:fe00:2"))
    ports = [
        port(id, "n1", number, *ips, binding=bound(host), security_group_ids=("open",), dns_name=id)
        for id, number, ips, host in (("one", 1, both, "hv1"), ("two", 2, other, "hv2"))
    ]
    way_in = router_port("way-in", "n1", 9, ("s6", "fd00:5::1"))
    backend.sweep(
        records(
            network("n1", dns_domain="example.org."),
            subnet("s1", "n1", "10.5.0.0/24", "10.5.0.1", dns_nameservers=("10.5.0.53",)),
            subnet("s6", "n1", "fd00:5::/64", "fd00:5::1", **slaac),
            group("open", *EGRESS, rule("ping6", "open", ethertype="IPv6", protocol="ipv6-icmp")),
            *ports,
            router("router"),
            interfaces={"router": (way_in,)},
        )
    )
    one, _ = plugged(ovn, backend, "one", "two")
    becomes(lambda: "fd00:5::f816:3eff:fe00:1" in one.run("ip", "-6", "addr"), "no address came of advertisements")
    becomes(lambda: one.pings("fd00:5::f816:3eff:fe00:2"), "the other guest does not answer by IPv6")
    assert one.run("cat", "/proc/sys/net/ipv6/conf/eth0/mtu").strip() == "1442"
    one.dhcp()
    # OVN itself answers for the names that it knows, whoever was asked: the other guest has no resolver.
    becomes(lambda: "Address: 10.5.0.12" in looked_up(one, "a", "two.example.org"), "the name is not known")
    by_address = "12.0.5.10.in-addr.arpa"
    becomes(lambda: "two.example.org" in looked_up(one, "ptr", by_address), "the address is not known")


def looked_up(guest: TestGuest, kind: str, name: str) -> str:
    """What the client says; it does not ask for long."""
    try:
        return guest.run("busybox", "nslookup", f"-type={kind}", name, "10.5.0.12")
    except ChildProcessError as error:
        return str(error)


FROM_ONE = f'inport == "one" && eth.src == {mac(1)}'
TO_TWO = f"eth.dst == {mac(2)} && ip4 && ip4.src == 10.5.0.11 && ip4.dst == 10.5.0.12 && ip.ttl == 64"
# What "one" may send, and what it may not though its group lets everything out.
FLOWS = {
    f"{FROM_ONE} && {TO_TWO} && icmp4 && icmp4.type == 8": True,
    f"{FROM_ONE} && {TO_TWO} && tcp && tcp.dst == 22": False,
    f'inport == "one" && eth.src == {mac(9)} && {TO_TWO} && icmp4 && icmp4.type == 8': False,
    f"{FROM_ONE} && {TO_TWO.replace('10.5.0.11', '10.5.0.13')} && icmp4 && icmp4.type == 8": False,
    f"{FROM_ONE} && eth.dst == ff:ff:ff:ff:ff:ff && arp && arp.sha == {mac(1)} && arp.spa == 10.5.0.1": False,
    f"{FROM_ONE} && {TO_TWO} && udp && udp.src == 67 && udp.dst == 68": False,
}


def test_what_a_guest_forges_is_dropped_and_nothing_passes_between_networks(ovn: TestOvn, backend: OvnBackend) -> None:
    """By OVN's own word on each packet. UDP is let in, so that only its being forged is in its way."""
    twin = port("twin", "n2", 2, ("s2", "10.5.0.12"), binding=bound("hv2"), security_group_ids=("open",))
    wanted = inside(
        network("n2"),
        subnet("s2", "n2", "10.5.0.0/24", "10.5.0.1"),
        twin,
        rules=(PING, rule("udp", "open", protocol="udp")),
    )
    backend.sweep(wanted)
    ovn.settle()
    for flow, passes in FLOWS.items():
        traced = ovn.trace("n1", flow)
        assert ('output to "two"' in traced) is passes, flow
        assert "twin" not in traced
