"""One cloud, two KVM hosts and a vSphere cluster: what passes between real guests, on one subnet and beyond it.

The guest on vSphere is a QEMU of the test vCenter. Its card is an access port of a bridge with an uplink to the
physical network, and the traffic rules of its distributed port are flows there. What this does not try of a real
vSphere is ESXi's own switch and filter, and VMware Tools, by which guests read `guestinfo`.
"""

import functools
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from testbed.process import wait_for
from tests.network.cloud.estate import DOMAIN, GUESTS, PATIENCE_SECONDS, PREFIXES, USER_DATA, Estate, Guest
from tests.network.cloud.ground import OUTSIDE_ADDRESS
from tests.network.cloud.outside import reached, tells_addresses
from tests.network.cloud.shell import Shell

pytestmark = [pytest.mark.xdist_group("cloud-of-both-kinds"), pytest.mark.timeout(1800)]

MTU = {"vlan": 1500, "overlay": 1442}
METADATA = "http://169.254.169.254/openstack/latest"
PAIRS = list(itertools.permutations(GUESTS, 2))


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    with Estate(tmp_path_factory.mktemp("cloud")) as made:
        yield made


@pytest.fixture(params=GUESTS)
def guest(estate: Estate, request: pytest.FixtureRequest) -> Guest:
    """Each of them."""
    return estate.guests[request.param]


def becomes(true: Any, complaint: str) -> None:
    wait_for(true, PATIENCE_SECONDS, lambda: complaint)


def test_dhcp_tells_a_guest_its_address_its_resolver_and_its_mtu(guest: Guest) -> None:
    network, _ = GUESTS[guest.name]
    assert f"ip=eth0={guest.v4}/24" in guest.said
    assert guest.run("cat /sys/class/net/eth0/mtu").strip() == str(MTU[network])
    assert guest.run("cat /etc/resolv.conf").split() == ["nameserver", OUTSIDE_ADDRESS]
    assert f"default via {PREFIXES[network][0]}.1 " in guest.run("ip route")


def test_a_guest_makes_itself_an_ipv6_address_of_what_its_router_advertises(guest: Guest) -> None:
    becomes(lambda: f"{guest.v6}/64" in guest.run("ip -6 addr show dev eth0"), f"{guest.name} has no {guest.v6}")
    becomes(lambda: "default via fe80:" in guest.run("ip -6 route"), f"{guest.name} knows no router")


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda name: name)
def test_guests_reach_each_other_across_hosts_kinds_and_networks(estate: Estate, one: str, other: str) -> None:
    here, there = estate.guests[one], estate.guests[other]
    becomes(lambda: here.pings(there.v4), f"{there.v4} does not answer {one}")
    becomes(lambda: here.pings(there.v6), f"{there.v6} does not answer {one}")


@pytest.mark.parametrize("asking", ["a", "b", "c"])
def test_whoever_asks_for_the_router_takes_it_from_nobody_else(estate: Estate, asking: str) -> None:
    """Every chassis answers: the physical network must not take that one for the router which answered last."""
    guest, beyond = estate.guests[asking], estate.guests["d"]
    guest.run("echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6; echo 0 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6")
    becomes(lambda: "default via fe80:" in guest.run("ip -6 route"), f"{asking} knows no router")
    for each in (estate.guests[name] for name in "abc"):
        becomes(functools.partial(each.pings, beyond.v6), f"{each.name} has lost its router as {asking} asked for one")


def test_a_guest_reaches_the_outside_by_its_routers_address(estate: Estate, guest: Guest) -> None:
    member, router = estate.routers[0]
    [fixed] = member.network.get_router(router.id).external_gateway_info["external_fixed_ips"]
    with tells_addresses(estate.ground.outside, OUTSIDE_ADDRESS) as url:
        said = guest.fetch(url)
        assert said.split()[0] == fixed["ip_address"]
        assert len(said) > 200_000, "long answers come whole, whatever the networks' packets may carry"


@pytest.mark.parametrize("name", ["a", "c", "d"])
def test_a_floating_ip_leads_in_while_a_rule_of_the_security_group_lets_it(estate: Estate, name: str) -> None:
    """On KVM by OVN, on vSphere by the distributed switch, which is told some seconds later."""
    guest, outside = estate.guests[name], estate.ground.outside
    with estate.floating_ip(guest) as address:
        if GUESTS[name][1] == "vsphere":
            # Its filter knows no connections: what may answer a guest is let in, and so are pings.
            becomes(lambda: outside.pings(address), f"{address} leads nowhere")
        assert not reached(outside, address, 22)
        with estate.rule(
            protocol="tcp", port_range_min=22, port_range_max=22, remote_ip_prefix=f"{OUTSIDE_ADDRESS}/32"
        ):
            becomes(lambda: reached(outside, address, 22), f"no sshd at {address}: {estate.logged()}")
            shell = Shell(outside, address, estate.key)
            shell.login()
            assert shell.run("hostname").strip() == guest.name
            shell.logout()
        becomes(lambda: not reached(outside, address, 22), f"{address} stays open")


@pytest.mark.parametrize("asking", GUESTS)
def test_ovn_answers_for_the_names_of_ports(estate: Estate, asking: str) -> None:
    guest = estate.guests[asking]
    network, _ = GUESTS[asking]
    known = {name: each for name, each in estate.guests.items() if GUESTS[name][0] == network}
    domain = DOMAIN if network == "vlan" else "openstacklocal"
    for name, each in known.items():
        reverse = ".".join(reversed(each.v4.split("."))) + ".in-addr.arpa"
        wanted = {"a": f"{name}.{domain}", "aaaa": f"{name}.{domain}", "ptr": reverse}
        said = guest.run(" && ".join(f"nslookup -type={kind} {asked}" for kind, asked in wanted.items()))
        assert {f"Address: {each.v4}", f"Address: {each.v6}", f"{reverse}\tname = {name}.{domain}"} <= set(
            said.splitlines()
        )


def test_metadata_tells_a_guest_who_it_is(estate: Estate, guest: Guest) -> None:
    assert "src=metadata" in guest.said
    assert "keys=1" in guest.said
    assert "userdata=0" in guest.said
    assert guest.run("cat /tmp/user-data-ran").strip() == "ran"
    said = json.loads(guest.fetch(f"{METADATA}/meta_data.json"))
    assert (said["uuid"], said["hostname"]) == (guest.id, guest.name)
    assert said["public_keys"] == {"key": estate.key.with_suffix(".pub").read_text()}
    assert guest.fetch(f"{METADATA}/user_data") == USER_DATA
    told = json.loads(guest.fetch(f"{METADATA}/network_data.json"))
    [link] = told["links"]
    assert (link["ethernet_mac_address"], link["vif_id"]) == (guest.port.mac_address, guest.port.id)
    assert {each["type"] for each in told["networks"]} == {"ipv4_dhcp", "ipv6_slaac"}


@pytest.mark.parametrize(("name", "network"), [("a", "vlan"), ("c", "vlan"), ("d", "overlay")])
def test_a_project_with_the_same_addresses_reaches_nobody_of_another(estate: Estate, name: str, network: str) -> None:
    """A twin of a guest's address and somebody who calls it are in another project, on the same two hosts."""
    guest, own = estate.guests[name], f"other-{network}"
    spy_address = f"{PREFIXES[network][0]}.{200 + int(guest.v4.rpartition('.')[2])}"
    twin = estate.plug(f"twin-of-{name}", own, "hv2", estate.other, guest.v4)
    spy = estate.plug(f"spy-at-{name}", own, "hv1", estate.other, spy_address)
    becomes(lambda: spy.pings(guest.v4), "the twin does not answer in its own project")
    assert not guest.pings(spy_address)
    twin.run("ip", "link", "set", "eth0", "down")
    assert not spy.pings(guest.v4)
    assert estate.bastion.pings(guest.v4)
    others = estate.other.network
    assert others.find_port(guest.port.id) is None
    assert guest.port.network_id not in [each.id for each in others.networks()]
