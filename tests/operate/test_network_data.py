"""What guests are told of their cards, as cloud-init reads it."""

from typing import Any

import pytest

from polyvisor.model.network import NetworkType, SegmentRef
from polyvisor.model.network_data import network_data, tagged_devices
from polyvisor.model.nic import Nic, NicAddress
from polyvisor.model.subnet import HostRoute

PORT = "0a1b2c3d-4e5f-4000-8000-000000000001"


def v4(**values: Any) -> NicAddress:
    given: dict[str, Any] = {
        "subnet_id": "s4",
        "ip_version": 4,
        "address": "10.0.0.5",
        "cidr": "10.0.0.0/22",
        "gateway": "10.0.0.1",
        "dns_nameservers": ("192.0.2.53",),
    }
    return NicAddress(**given | values)


def v6(**values: Any) -> NicAddress:
    given: dict[str, Any] = {
        "subnet_id": "s6",
        "ip_version": 6,
        "address": "2001:db8::5",
        "cidr": "2001:db8::/64",
        "gateway": "2001:db8::1",
    }
    return NicAddress(**given | values)


def nic(*addresses: NicAddress, port_id: str = PORT, tag: str = "") -> Nic:
    return Nic(
        port_id=port_id,
        network_id="net",
        network_name="private",
        project_id="p",
        mac_address="fa:16:3e:00:00:01",
        mtu=1442,
        segment=SegmentRef(network_type=NetworkType.GENEVE, segmentation_id=7),
        addresses=addresses,
        tag=tag,
    )


def test_a_server_without_cards_is_told_so() -> None:
    assert network_data(()) == {"links": [], "networks": [], "services": []}


def test_a_card_is_a_plain_link_with_its_mtu() -> None:
    [link] = network_data([nic(v4())])["links"]
    assert link == {
        "id": "tap0a1b2c3d-4e",
        "vif_id": PORT,
        "type": "phy",
        "mtu": 1442,
        "ethernet_mac_address": "fa:16:3e:00:00:01",
    }


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        (v4(), "ipv4_dhcp"),
        (v6(ipv6_address_mode="slaac"), "ipv6_slaac"),
        (v6(ipv6_address_mode="dhcpv6-stateful"), "ipv6_dhcpv6-stateful"),
        (v6(ipv6_address_mode="dhcpv6-stateless"), "ipv6_dhcpv6-stateless"),
    ],
)
def test_what_the_network_itself_tells_is_left_to_it(address: NicAddress, kind: str) -> None:
    [network] = network_data([nic(address)])["networks"]
    assert network == {"id": "network0", "type": kind, "link": "tap0a1b2c3d-4e", "network_id": "net"}


def test_without_dhcp_the_address_its_routes_and_resolvers_are_given() -> None:
    route = HostRoute(destination="172.16.0.0/12", nexthop="10.0.0.9")
    [network] = network_data([nic(v4(dhcp=False, routes=(route,)))])["networks"]
    assert network == {
        "id": "network0",
        "type": "ipv4",
        "link": "tap0a1b2c3d-4e",
        "network_id": "net",
        "ip_address": "10.0.0.5",
        "netmask": "255.255.252.0",
        "routes": [
            {"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.0.1"},
            {"network": "172.16.0.0", "netmask": "255.240.0.0", "gateway": "10.0.0.9"},
        ],
        "services": [{"type": "dns", "address": "192.0.2.53"}],
    }


@pytest.mark.parametrize("address", [v6(dhcp=False), v6(dhcp=False, ipv6_address_mode="slaac"), v6()])
def test_an_ipv6_address_that_nobody_announces_is_given_too(address: NicAddress) -> None:
    [network] = network_data([nic(address)])["networks"]
    assert (network["type"], network["ip_address"], network["netmask"]) == (
        "ipv6",
        "2001:db8::5",
        "ffff:ffff:ffff:ffff::",
    )
    assert network["routes"] == [{"network": "::", "netmask": "::", "gateway": "2001:db8::1"}]


def test_a_network_without_a_gateway_gets_no_default_route() -> None:
    [network] = network_data([nic(v4(dhcp=False, gateway=None))])["networks"]
    assert network["routes"] == []


def test_networks_are_numbered_over_all_cards_and_resolvers_named_once() -> None:
    other = "0a1b2c3d-4e5f-4000-8000-000000000002"
    told = network_data([nic(v4(), v6()), nic(v4(dns_nameservers=("192.0.2.54", "192.0.2.53")), port_id=other)])
    assert [network["id"] for network in told["networks"]] == ["network0", "network1", "network2"]
    assert told["services"] == [{"type": "dns", "address": "192.0.2.53"}, {"type": "dns", "address": "192.0.2.54"}]


def test_only_cards_with_a_tag_are_devices() -> None:
    assert tagged_devices([nic(), nic(tag="backup")]) == [
        {"type": "nic", "bus": "none", "address": "none", "mac": "fa:16:3e:00:00:01", "tags": ["backup"]}
    ]
