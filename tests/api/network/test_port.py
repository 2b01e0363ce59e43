"""Ports: their addresses, what may be asked of them, and how they are listed."""

from typing import Any

import pytest

from tests.api.cloud import ApiCloud
from tests.api.network.calls import BASE, change, delete, listed, make, refused, show, try_make


@pytest.fixture
def network(cloud: ApiCloud) -> str:
    """A network of the project "demo"."""
    id: str = make(cloud.member, "network")["id"]
    return id


@pytest.fixture
def subnet(cloud: ApiCloud, network: str) -> str:
    """10.0.0.0/24 on it, of which four addresses are given out."""
    pools = [{"start": "10.0.0.10", "end": "10.0.0.11"}, {"start": "10.0.0.20", "end": "10.0.0.21"}]
    made = make(cloud.member, "subnet", network_id=network, ip_version=4, cidr="10.0.0.0/24", allocation_pools=pools)
    id: str = made["id"]
    return id


def ipv6(cloud: ApiCloud, network: str, mode: str, cidr: str = "fd00::/64") -> str:
    made = make(cloud.member, "subnet", network_id=network, ip_version=6, cidr=cidr, ipv6_ra_mode=mode,
                ipv6_address_mode=mode)  # fmt: skip
    id: str = made["id"]
    return id


def addresses(port: dict[str, Any]) -> list[str]:
    return [each["ip_address"] for each in port["fixed_ips"]]


def test_a_port_gets_an_address_a_mac_address_and_the_default_group(cloud: ApiCloud, network: str, subnet: str) -> None:
    made = make(cloud.member, "port", network_id=network, name="p")
    assert made["fixed_ips"] == [{"subnet_id": subnet, "ip_address": "10.0.0.10"}]
    assert made["mac_address"].startswith("fa:16:3e:")
    assert (made["status"], made["admin_state_up"], made["device_id"]) == ("DOWN", True, "")
    assert len(made["security_groups"]) == 1
    assert make(cloud.member, "port", network_id=network)["security_groups"] == made["security_groups"]
    assert made["dns_assignment"] == [
        {"ip_address": "10.0.0.10", "hostname": "host-10-0-0-10", "fqdn": "host-10-0-0-10.openstacklocal."}
    ]
    assert show(cloud.member, "port", made["id"]) == made
    assert "binding:host_id" not in made
    assert show(cloud.admin, "port", made["id"])["binding:vif_type"] == "unbound"


def test_addresses_are_given_out_in_turn_until_none_is_left(cloud: ApiCloud, network: str, subnet: str) -> None:
    made = [make(cloud.member, "port", network_id=network) for _ in range(4)]
    assert [addresses(each) for each in made] == [["10.0.0.10"], ["10.0.0.11"], ["10.0.0.20"], ["10.0.0.21"]]
    sentence = refused(try_make(cloud.member, "port", network_id=network), 409, "IpAddressGenerationFailure")
    assert subnet in sentence
    assert delete(cloud.member, "port", made[1]["id"]).status == 204
    assert addresses(make(cloud.member, "port", network_id=network)) == ["10.0.0.11"]


@pytest.mark.parametrize(
    ("wanted", "status", "kind"),
    [
        ({"ip_address": "10.0.1.5"}, 400, "InvalidIpForNetwork"),
        ({"ip_address": "10.0.0.255"}, 400, "InvalidIpForNetwork"),
        ({"ip_address": "10.0.0.0"}, 400, "InvalidIpForNetwork"),
        ({"ip_address": "not one"}, 400, "InvalidInput"),
        ({"ip_address": "fd00::5%eth0"}, 400, "InvalidInput"),
        ({}, 400, "InvalidInput"),
        ({"subnet_id": "none"}, 400, "InvalidInput"),
    ],
)
def test_an_address_is_one_of_the_networks(
    cloud: ApiCloud, network: str, subnet: str, wanted: dict[str, str], status: int, kind: str
) -> None:
    refused(try_make(cloud.member, "port", network_id=network, fixed_ips=[wanted]), status, kind)
    assert listed(cloud.member, "port") == []


def test_certain_addresses_are_given_once(cloud: ApiCloud, network: str, subnet: str) -> None:
    asked = {"network_id": network, "fixed_ips": [{"ip_address": "10.0.0.99"}]}
    made = make(cloud.member, "port", **asked)
    assert addresses(made) == ["10.0.0.99"], "one beside the pools may be asked for"
    refused(try_make(cloud.member, "port", **asked), 409, "IpAddressAlreadyAllocated")
    in_pool = [{"subnet_id": subnet, "ip_address": "10.0.0.11"}, {"subnet_id": subnet}]
    assert addresses(make(cloud.member, "port", network_id=network, fixed_ips=in_pool)) == ["10.0.0.11", "10.0.0.10"]
    assert addresses(make(cloud.member, "port", network_id=network)) == ["10.0.0.20"]
    wrong = [{"subnet_id": subnet, "ip_address": "10.0.9.9"}]
    refused(try_make(cloud.member, "port", network_id=network, fixed_ips=wrong), 400, "InvalidIpForSubnet")
    assert make(cloud.member, "port", network_id=network, fixed_ips=[])["fixed_ips"] == []


@pytest.mark.parametrize("mode", ["slaac", "dhcpv6-stateless"])
def test_ports_make_addresses_of_their_mac_addresses(cloud: ApiCloud, network: str, subnet: str, mode: str) -> None:
    six = ipv6(cloud, network, mode)
    made = make(cloud.member, "port", network_id=network, mac_address="fa:16:3e:fd:f7:30")
    assert addresses(made) == ["10.0.0.10", "fd00::f816:3eff:fefd:f730"]
    only = make(cloud.member, "port", network_id=network, fixed_ips=[{"subnet_id": six}])
    assert len(addresses(only)) == 1
    chosen = [{"subnet_id": six, "ip_address": "fd00::5"}]
    refused(try_make(cloud.member, "port", network_id=network, fixed_ips=chosen), 400, "AllocationOnAutoAddressSubnet")


def test_dhcpv6_gives_addresses_of_the_pool(cloud: ApiCloud, network: str) -> None:
    six = ipv6(cloud, network, "dhcpv6-stateful")
    assert addresses(make(cloud.member, "port", network_id=network)) == ["fd00::2"]
    chosen = [{"subnet_id": six, "ip_address": "fd00::5"}]
    assert addresses(make(cloud.member, "port", network_id=network, fixed_ips=chosen)) == ["fd00::5"]
    refused(try_make(cloud.member, "port", network_id=network, fixed_ips=chosen), 409, "IpAddressAlreadyAllocated")


def test_a_mac_address_is_one_ports_on_its_network(cloud: ApiCloud, network: str) -> None:
    made = make(cloud.member, "port", network_id=network, mac_address="FA-16-3E-00-00-01")
    assert made["mac_address"] == "fa:16:3e:00:00:01"
    again = {"mac_address": "fa:16:3e:00:00:01"}
    refused(try_make(cloud.member, "port", network_id=network, **again), 409, "MacAddressInUse")
    make(cloud.member, "port", network_id=make(cloud.member, "network")["id"], **again)
    for wrong in ("fa:16:3e:00:00", "01:00:5e:00:00:01", "00:00:00:00:00:00", "x"):
        refused(try_make(cloud.member, "port", network_id=network, mac_address=wrong), 400, "InvalidInput")


def test_a_changed_port_keeps_what_stays_wanted(cloud: ApiCloud, network: str, subnet: str) -> None:
    made = make(cloud.member, "port", network_id=network)
    more = change(cloud.member, "port", made["id"], fixed_ips=[{"subnet_id": subnet}, {"ip_address": "10.0.0.50"}])
    assert addresses(more.body["port"]) == ["10.0.0.10", "10.0.0.50"]
    less = change(cloud.member, "port", made["id"], fixed_ips=[{"ip_address": "10.0.0.50"}], name="n")
    assert (addresses(less.body["port"]), less.body["port"]["name"]) == (["10.0.0.50"], "n")
    other = make(cloud.member, "port", network_id=network, fixed_ips=[{"ip_address": "10.0.0.10"}])
    taken = change(cloud.member, "port", made["id"], fixed_ips=[{"ip_address": "10.0.0.10"}])
    refused(taken, 409, "IpAddressAlreadyAllocated")
    assert addresses(show(cloud.member, "port", other["id"])) == ["10.0.0.10"]
    assert addresses(change(cloud.member, "port", made["id"], fixed_ips=[]).body["port"]) == []


def test_another_mac_address_is_an_administrators_and_moves_what_follows_from_it(
    cloud: ApiCloud, network: str, subnet: str
) -> None:
    ipv6(cloud, network, "slaac")
    made = make(cloud.member, "port", network_id=network)
    mac = {"mac_address": "fa:16:3e:00:00:07"}
    refused(change(cloud.member, "port", made["id"], **mac), 403, "PolicyNotAuthorized")
    moved = change(cloud.admin, "port", made["id"], **mac).body["port"]
    assert addresses(moved) == ["10.0.0.10", "fd00::f816:3eff:fe00:7"]
    assert change(cloud.admin, "port", made["id"], binding__host_id="nowhere").status == 200
    refused(change(cloud.admin, "port", made["id"], mac_address="fa:16:3e:00:00:08"), 409, "PortBound")


def test_on_anothers_network_addresses_are_not_chosen(cloud: ApiCloud) -> None:
    network = make(cloud.admin, "network", shared=True)["id"]
    subnet = make(cloud.admin, "subnet", network_id=network, ip_version=4, cidr="10.0.0.0/24")["id"]
    make(cloud.member, "port", network_id=network, fixed_ips=[{"subnet_id": subnet}])
    asked: list[dict[str, Any]] = [
        {"fixed_ips": [{"ip_address": "10.0.0.9"}]},
        {"mac_address": "fa:16:3e:00:00:01"},
        {"port_security_enabled": False},
        {"allowed_address_pairs": [{"ip_address": "10.0.0.9"}]},
        {"device_owner": "network:dhcp"},
        {"binding__host_id": "h"},
    ]
    for fields in asked:
        refused(try_make(cloud.member, "port", network_id=network, **fields), 403, "PolicyNotAuthorized")
    defaults = {"port_security_enabled": True, "allowed_address_pairs": [], "binding__profile": {}, "mac_address": None}
    make(cloud.member, "port", network_id=network, device_owner="compute:nova", device_id="s", **defaults)


def test_the_owner_of_a_network_sees_the_ports_on_it(cloud: ApiCloud, network: str) -> None:
    assert change(cloud.admin, "network", network, shared=True).status == 200
    foreign = make(cloud.other, "port", network_id=network)
    assert show(cloud.member, "port", foreign["id"])["project_id"] == cloud.project_id("other")
    third = cloud.caller("third", "member")
    refused(third.get(f"{BASE}/ports/{foreign['id']}"), 404, "PortNotFound")
    assert listed(third, "port") == []
    refused(change(cloud.member, "port", foreign["id"], name="x"), 403, "PolicyNotAuthorized")
    assert delete(cloud.member, "port", foreign["id"]).status == 204


def test_security_goes_together(cloud: ApiCloud, network: str, subnet: str) -> None:
    open_port = make(cloud.member, "port", network_id=network, port_security_enabled=False)
    assert open_port["security_groups"] == []
    pair = [{"ip_address": "10.0.0.77"}]
    kind = "AddressPairAndPortSecurityRequired"
    refused(change(cloud.member, "port", open_port["id"], allowed_address_pairs=pair), 409, kind)
    made = make(cloud.member, "port", network_id=network, allowed_address_pairs=pair)
    assert made["allowed_address_pairs"] == [{"ip_address": "10.0.0.77", "mac_address": made["mac_address"]}]
    kind = "PortSecurityAndIPRequiredForSecurityGroups"
    refused(change(cloud.member, "port", made["id"], port_security_enabled=False), 409, kind)
    bare = change(
        cloud.member, "port", made["id"], port_security_enabled=False, security_groups=[], allowed_address_pairs=[]
    )
    assert (bare.status, bare.body["port"]["security_groups"]) == (200, [])
    refused(try_make(cloud.member, "port", network_id=network, security_groups=["none"]), 404, "SecurityGroupNotFound")
    twice = [{"ip_address": "10.0.0.7"}, {"ip_address": "10.0.0.7"}]
    answer = try_make(cloud.member, "port", network_id=network, allowed_address_pairs=twice)
    refused(answer, 400, "DuplicateAddressPairInRequest")


def test_dhcp_options_and_names_are_kept(cloud: ApiCloud, network: str, subnet: str) -> None:
    options: list[dict[str, Any]] = [
        {"opt_name": "bootfile-name", "opt_value": "x"},
        {"opt_name": "mtu", "opt_value": "1", "ip_version": 6},
    ]
    made = make(cloud.member, "port", network_id=network, extra_dhcp_opts=options, dns_name="Web")
    assert made["extra_dhcp_opts"] == [{**options[0], "ip_version": 4}, options[1]]
    assert made["dns_assignment"][0]["fqdn"] == "web.openstacklocal."
    less = change(cloud.member, "port", made["id"], extra_dhcp_opts=[{"opt_name": "mtu", "opt_value": None}])
    assert less.body["port"]["extra_dhcp_opts"] == []
    refused(change(cloud.member, "port", made["id"], dns_name="-a"), 400, "InvalidInput")


def test_a_service_s_port_goes_with_its_service(cloud: ApiCloud, network: str) -> None:
    made = make(cloud.admin, "port", network_id=network, device_owner="network:router_interface", device_id="r")
    refused(delete(cloud.admin, "port", made["id"]), 409, "ServicePortInUse")


def test_many_ports_come_in_as_many_statements_as_few(cloud: ApiCloud, network: str) -> None:
    make(cloud.member, "subnet", network_id=network, ip_version=4, cidr="10.0.0.0/16")
    with cloud.database.write() as store:
        store.network_quota.set(cloud.project_id("demo"), {"port": -1})
    make(cloud.member, "port", network_id=network)  # the default security group is made once

    def many(count: int) -> tuple[int, list[dict[str, Any]]]:
        answer = cloud.member.post(f"{BASE}/ports", {"ports": [{"network_id": network} for _ in range(count)]})
        assert answer.status == 201, answer
        return answer.statements, answer.body["ports"]

    few, _ = many(2)
    lot, made = many(400)
    assert lot <= few + 1, "free addresses are looked for in stretches that grow"
    assert lot <= 20
    assert len({addresses(each)[0] for each in made}) == len({each["mac_address"] for each in made}) == 400
    seen = cloud.member.get(f"{BASE}/ports")
    assert len(seen.body["ports"]) == 403
    assert seen.statements == 2, "one is the identity's change counter"


def test_a_quota_counts_ports_that_come_together(cloud: ApiCloud, network: str) -> None:
    with cloud.database.write() as store:
        store.network_quota.set(cloud.project_id("demo"), {"port": 2})
    three = cloud.member.post(f"{BASE}/ports", {"ports": [{"network_id": network} for _ in range(3)]})
    refused(three, 409, "OverQuota")
    assert listed(cloud.member, "port") == []


def test_ports_are_found_by_what_they_have(cloud: ApiCloud, network: str, subnet: str) -> None:
    one = make(cloud.member, "port", network_id=network, device_id="server", device_owner="compute:nova", tags=["t"])
    two = make(cloud.member, "port", network_id=network, mac_address="fa:16:3e:00:00:09", fixed_ips=[])

    def ids(**query: Any) -> list[str]:
        return [each["id"] for each in listed(cloud.member, "port", **query)]

    assert ids(device_id="server", device_owner="compute:nova") == [one["id"]]
    assert ids(mac_address="fa:16:3e:00:00:09") == [two["id"]]
    assert ids(fixed_ips="ip_address=10.0.0.10") == [one["id"]]
    assert ids(fixed_ips=[f"subnet_id={subnet}", "ip_address=10.0.0.11"]) == []
    assert ids(fixed_ips="ip_address_substr=0.0.1") == [one["id"]]
    assert ids(ip_allocation="none") == [two["id"]]
    assert ids(tags="t") == [one["id"]]
    assert sorted(ids(security_groups=one["security_groups"][0])) == sorted([one["id"], two["id"]])
    assert len(ids(network_id=network, status="DOWN")) == 2
    assert cloud.member.get(f"{BASE}/ports", fixed_ips="colour=red").status == 400


def test_a_network_that_is_not_seen_takes_no_port(cloud: ApiCloud, network: str) -> None:
    refused(try_make(cloud.other, "port", network_id=network), 404, "NetworkNotFound")
    refused(try_make(cloud.reader, "port", network_id=network), 403, "PolicyNotAuthorized")
