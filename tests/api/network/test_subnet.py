"""Subnets: ranges, pools of addresses, gateways, IPv6 modes, and where they come from."""

from typing import Any

import pytest

from tests.api.cloud import ApiCloud
from tests.api.network.calls import BASE, change, delete, listed, make, refused, show, try_make


@pytest.fixture
def network(cloud: ApiCloud) -> str:
    """A network of the project "demo"."""
    id: str = make(cloud.member, "network")["id"]
    return id


def subnet(cloud: ApiCloud, network: str, cidr: str = "10.0.0.0/24", **fields: Any) -> dict[str, Any]:
    version = 6 if ":" in cidr else 4
    return make(cloud.member, "subnet", **{"network_id": network, "ip_version": version, "cidr": cidr, **fields})


def test_a_range_told_by_an_address_in_it_is_the_range(cloud: ApiCloud, network: str) -> None:
    made = subnet(cloud, network, "10.99.99.7/16")
    assert (made["cidr"], made["gateway_ip"]) == ("10.99.0.0/16", "10.99.0.1")


def test_a_subnet_has_a_gateway_and_one_pool_beside_it(cloud: ApiCloud, network: str) -> None:
    made = subnet(cloud, network, name="s")
    assert (made["gateway_ip"], made["enable_dhcp"], made["ip_version"]) == ("10.0.0.1", True, 4)
    assert made["allocation_pools"] == [{"start": "10.0.0.2", "end": "10.0.0.254"}]
    assert show(cloud.member, "network", network)["subnets"] == [made["id"]]
    assert show(cloud.member, "subnet", made["id"]) == made


@pytest.mark.parametrize(
    ("cidr", "gateway", "pools"),
    [
        ("10.0.0.0/24", "10.0.0.9", [("10.0.0.1", "10.0.0.8"), ("10.0.0.10", "10.0.0.254")]),
        ("10.0.0.0/24", None, [("10.0.0.1", "10.0.0.254")]),
        ("10.0.0.0/31", "10.0.0.0", [("10.0.0.1", "10.0.0.1")]),
        ("fd00::/64", "fd00::1", [("fd00::2", "fd00::ffff:ffff:ffff:ffff")]),
        ("fd00::/64", "fe80::1", [("fd00::1", "fd00::ffff:ffff:ffff:ffff")]),
    ],
)
def test_pools_leave_the_gateway_out(
    cloud: ApiCloud, network: str, cidr: str, gateway: str | None, pools: list[tuple[str, str]]
) -> None:
    made = subnet(cloud, network, cidr, gateway_ip=gateway)
    assert [(each["start"], each["end"]) for each in made["allocation_pools"]] == pools


POOL = {"start": "10.0.0.10", "end": "10.0.0.20"}


@pytest.mark.parametrize(
    ("fields", "status", "kind"),
    [
        ({"cidr": "10.0.0.0"}, 400, "InvalidInput"),
        ({"cidr": "nonsense"}, 400, "InvalidInput"),
        ({"cidr": "fd00::%1/64", "ip_version": 6}, 400, "InvalidInput"),
        ({"cidr": None}, 400, "InvalidInput"),
        ({"cidr": "224.0.0.0/24"}, 400, "InvalidInput"),
        ({"ip_version": 6}, 400, "InvalidInput"),
        ({"ip_version": 5}, 400, "InvalidInput"),
        ({"gateway_ip": "10.0.0.255"}, 400, "InvalidInput"),
        ({"gateway_ip": "fd00::1"}, 400, "InvalidInput"),
        ({"gateway_ip": "10.0.0.12", "allocation_pools": [POOL]}, 409, "GatewayConflictWithAllocationPools"),
        ({"allocation_pools": [POOL, {"start": "10.0.0.20", "end": "10.0.0.30"}]}, 409, "OverlappingAllocationPools"),
        ({"allocation_pools": [{"start": "10.0.1.1", "end": "10.0.1.2"}]}, 400, "OutOfBoundsAllocationPool"),
        ({"allocation_pools": [{"start": "10.0.0.9", "end": "10.0.0.8"}]}, 400, "InvalidAllocationPool"),
        ({"allocation_pools": [{"start": "10.0.0.9", "end": "fd00::9"}]}, 400, "InvalidAllocationPool"),
        ({"dns_nameservers": ["one"]}, 400, "InvalidInput"),
        ({"dns_nameservers": ["10.0.0.1", "10.0.0.1"]}, 400, "InvalidInput"),
        ({"dns_nameservers": [f"10.0.0.{number}" for number in range(6)]}, 400, "DNSNameServersExhausted"),
        ({"host_routes": [{"destination": "0.0.0.0/0", "nexthop": "fd00::1"}]}, 400, "InvalidInput"),
        ({"ipv6_ra_mode": "slaac"}, 400, "InvalidInput"),
        ({"prefixlen": 24}, 400, "InvalidInput"),
        ({"use_default_subnetpool": True}, 400, "InvalidInput"),
        ({"segment_id": None, "colour": "red"}, 400, "BadRequest"),
    ],
)  # fmt: skip
def test_a_subnet_that_contradicts_itself_is_refused(
    cloud: ApiCloud, network: str, fields: dict[str, Any], status: int, kind: str
) -> None:
    whole = {"network_id": network, "ip_version": 4, "cidr": "10.0.0.0/24", **fields}
    refused(try_make(cloud.admin, "subnet", **whole), status, kind)
    assert listed(cloud.admin, "subnet") == []


@pytest.mark.parametrize(
    "fields",
    [
        {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "dhcpv6-stateful"},
        {"ipv6_ra_mode": "slaac", "enable_dhcp": False},
        {"ipv6_address_mode": "slaac", "cidr": "fd00::/80"},
    ],
)
def test_ipv6_modes_go_together(cloud: ApiCloud, network: str, fields: dict[str, Any]) -> None:
    whole = {"network_id": network, "ip_version": 6, "cidr": "fd00::/64", **fields}
    refused(try_make(cloud.member, "subnet", **whole), 400, "InvalidInput")


def test_ranges_of_one_network_have_nothing_in_common(cloud: ApiCloud, network: str) -> None:
    subnet(cloud, network, "10.0.0.0/16")
    whole = {"network_id": network, "ip_version": 4, "cidr": "10.0.5.0/24"}
    assert "overlaps" in refused(try_make(cloud.member, "subnet", **whole), 400, "InvalidInput")
    other = make(cloud.member, "network")["id"]
    subnet(cloud, other, "10.0.5.0/24")


def test_a_subnet_is_changed(cloud: ApiCloud, network: str) -> None:
    made = subnet(cloud, network)
    revision = show(cloud.member, "network", network)["revision_number"]
    answer = change(
        cloud.member, "subnet", made["id"], name="new", gateway_ip=None, enable_dhcp=False, dns_nameservers=["9.9.9.9"],
        host_routes=[{"destination": "10.9.0.0/16", "nexthop": "10.0.0.5"}],
    )  # fmt: skip
    changed = answer.body["subnet"]
    assert (changed["name"], changed["gateway_ip"], changed["enable_dhcp"]) == ("new", None, False)
    assert changed["dns_nameservers"] == ["9.9.9.9"]
    assert changed["host_routes"] == [{"destination": "10.9.0.0/16", "nexthop": "10.0.0.5"}]
    assert show(cloud.member, "network", network)["revision_number"] == revision + 1
    refused(
        change(cloud.member, "subnet", made["id"], gateway_ip="10.0.0.7"), 409, "GatewayConflictWithAllocationPools"
    )
    refused(change(cloud.member, "subnet", made["id"], cidr="10.1.0.0/24"), 400, "BadRequest")
    assert show(cloud.member, "subnet", made["id"])["gateway_ip"] is None


def test_subnets_of_a_shared_network_are_seen_and_its_owners_to_make(cloud: ApiCloud, network: str) -> None:
    made = subnet(cloud, network)
    assert listed(cloud.other, "subnet") == []
    assert change(cloud.admin, "network", network, shared=True).status == 200
    assert [each["id"] for each in listed(cloud.other, "subnet")] == [made["id"]]
    whole = {"network_id": network, "ip_version": 4, "cidr": "10.9.0.0/24"}
    refused(try_make(cloud.other, "subnet", **whole), 403, "PolicyNotAuthorized")
    refused(delete(cloud.other, "subnet", made["id"]), 403, "PolicyNotAuthorized")


def test_a_subnet_in_use_stays(cloud: ApiCloud, network: str) -> None:
    made = subnet(cloud, network)
    port = make(cloud.member, "port", network_id=network)
    assert port["id"] in refused(delete(cloud.member, "subnet", made["id"]), 409, "SubnetInUse")
    assert delete(cloud.member, "port", port["id"]).status == 204
    assert delete(cloud.member, "subnet", made["id"]).status == 204
    assert show(cloud.member, "network", network)["subnets"] == []


def test_ports_make_addresses_of_a_new_subnet_themselves(cloud: ApiCloud, network: str) -> None:
    port = make(cloud.member, "port", network_id=network, mac_address="fa:16:3e:00:00:01")
    assert port["fixed_ips"] == []
    made = subnet(cloud, network, "fd00::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
    seen = show(cloud.member, "port", port["id"])
    assert seen["fixed_ips"] == [{"subnet_id": made["id"], "ip_address": "fd00::f816:3eff:fe00:1"}]
    assert seen["revision_number"] == port["revision_number"] + 1
    assert delete(cloud.member, "subnet", made["id"]).status == 204, "the port made its address itself"
    assert show(cloud.member, "port", port["id"])["fixed_ips"] == []


def test_a_pool_gives_ranges_until_it_is_used_up(cloud: ApiCloud, network: str) -> None:
    pool = make(cloud.member, "subnetpool", name="p", prefixes=["10.1.0.0/25", "10.1.0.128/25"], default_prefixlen=25)
    assert pool["prefixes"] == ["10.1.0.0/24"], "neighbours are one"
    assert (pool["min_prefixlen"], pool["max_prefixlen"], pool["default_prefixlen"]) == ("8", "32", "25")
    first = make(cloud.member, "subnet", network_id=network, subnetpool_id=pool["id"])
    assert (first["cidr"], first["ip_version"], first["subnetpool_id"]) == ("10.1.0.0/25", 4, pool["id"])
    second = make(cloud.member, "subnet", network_id=network, subnetpool_id=pool["id"], prefixlen=26)
    assert second["cidr"] == "10.1.0.128/26"
    third = make(cloud.member, "subnet", network_id=network, subnetpool_id=pool["id"], cidr="10.1.0.224/27")
    assert third["cidr"] == "10.1.0.224/27"
    whole = {"network_id": network, "subnetpool_id": pool["id"]}
    refused(try_make(cloud.member, "subnet", **whole), 409, "SubnetAllocationError")
    refused(try_make(cloud.member, "subnet", **whole, cidr="10.1.0.192/26"), 409, "SubnetAllocationError")
    refused(try_make(cloud.member, "subnet", **whole, cidr="10.2.0.0/26"), 409, "SubnetAllocationError")
    refused(try_make(cloud.member, "subnet", **whole, prefixlen=7), 400, "MinPrefixSubnetAllocationError")
    refused(delete(cloud.member, "subnetpool", pool["id"]), 409, "SubnetPoolInUse")
    for each in (first, second, third):
        assert delete(cloud.member, "subnet", each["id"]).status == 204
    assert delete(cloud.member, "subnetpool", pool["id"]).status == 204


def test_a_pool_keeps_its_bounds(cloud: ApiCloud) -> None:
    def refusal(status: int, kind: str, **fields: Any) -> None:
        refused(
            try_make(cloud.member, "subnetpool", **{"name": "p", "prefixes": ["10.0.0.0/8"], **fields}), status, kind
        )

    refusal(400, "InvalidInput", prefixes=[])
    refusal(400, "InvalidInput", prefixes=["10.0.0.0/33"])
    refusal(400, "PrefixVersionMismatch", prefixes=["10.0.0.0/8", "fd00::/48"])
    refusal(400, "IllegalSubnetPoolPrefixBounds", min_prefixlen=26, default_prefixlen=25)
    refusal(400, "IllegalSubnetPoolPrefixBounds", max_prefixlen=64)
    refusal(403, "PolicyNotAuthorized", shared=True)
    refusal(404, "AddressScopeNotFound", address_scope_id="11111111-2222-4333-8444-555555555555")
    refusal(400, "BadRequest", address_scope_id="none")
    pool = make(cloud.member, "subnetpool", name="p", prefixes=["10.0.0.0/8"])
    refused(
        change(cloud.member, "subnetpool", pool["id"], prefixes=["11.0.0.0/8"]), 400, "IllegalSubnetPoolPrefixUpdate"
    )
    wider = change(cloud.member, "subnetpool", pool["id"], prefixes=["11.0.0.0/8", "10.0.0.0/8"], name="wide")
    assert (wider.body["subnetpool"]["prefixes"], wider.body["subnetpool"]["name"]) == (["10.0.0.0/7"], "wide")
    refused(cloud.other.get(f"{BASE}/subnetpools/{pool['id']}"), 404, "SubnetPoolNotFound")


def test_prefixes_are_added_to_a_pool_and_taken_away(cloud: ApiCloud, network: str) -> None:
    pool = make(cloud.member, "subnetpool", name="p", prefixes=["10.0.0.0/16"], default_prefixlen=24)["id"]
    path = f"{BASE}/subnetpools/{pool}"
    more = cloud.member.put(f"{path}/add_prefixes", {"prefixes": ["10.1.0.9/16", "192.0.2.0/24"]})
    assert (more.status, more.body) == (200, {"prefixes": ["10.0.0.0/15", "192.0.2.0/24"]})
    make(cloud.member, "subnet", network_id=network, subnetpool_id=pool, cidr="10.1.4.0/24")

    def less(*prefixes: str) -> Any:
        return cloud.member.put(f"{path}/remove_prefixes", {"prefixes": list(prefixes)})

    assert "10.1.4.0/24" in refused(less("10.1.0.0/16"), 409, "IllegalSubnetPoolPrefixUpdate")
    assert less("192.0.2.0/25", "10.0.0.0/16").body == {"prefixes": ["10.1.0.0/16", "192.0.2.128/25"]}
    assert show(cloud.member, "subnetpool", pool)["prefixes"] == ["10.1.0.0/16", "192.0.2.128/25"]
    refused(less("fd00::/48"), 400, "PrefixVersionMismatch")
    refused(less(), 400, "BadRequest")
    refused(cloud.reader.put(f"{path}/add_prefixes", {"prefixes": ["10.9.0.0/16"]}), 403, "PolicyNotAuthorized")
    refused(cloud.other.put(f"{path}/add_prefixes", {"prefixes": ["10.9.0.0/16"]}), 404, "SubnetPoolNotFound")
    whole = make(cloud.member, "subnetpool", name="q", prefixes=["10.0.0.0/16"])["id"]
    everything = cloud.member.put(f"{BASE}/subnetpools/{whole}/remove_prefixes", {"prefixes": ["10.0.0.0/8"]})
    assert "at least one" in refused(everything, 409, "IllegalSubnetPoolPrefixUpdate")


def test_subnets_are_listed_by_whether_their_network_is_shared(cloud: ApiCloud, network: str) -> None:
    own = subnet(cloud, network)
    common = make(cloud.admin, "network", shared=True)["id"]
    shared = make(cloud.admin, "subnet", network_id=common, ip_version=4, cidr="10.9.0.0/24")
    assert [each["id"] for each in listed(cloud.member, "subnet", shared=True)] == [shared["id"]]
    assert [each["id"] for each in listed(cloud.member, "subnet", shared=False)] == [own["id"]]


def test_a_subnet_may_be_for_ports_of_one_kind(cloud: ApiCloud, network: str) -> None:
    for_servers = subnet(cloud, network, service_types=["compute:nova"])
    for_others = subnet(cloud, network, "10.1.0.0/24", service_types=["appliance:x"])
    for owner, wanted in (("compute:nova", for_servers), ("appliance:x", for_others)):
        port = make(cloud.member, "port", network_id=network, device_owner=owner)
        assert [each["subnet_id"] for each in port["fixed_ips"]] == [wanted["id"]]
    refused(change(cloud.member, "subnet", for_servers["id"], service_types=["any"]), 400, "InvalidSubnetServiceType")


def test_a_pools_quota_is_kept_by_project(cloud: ApiCloud, network: str) -> None:
    pool = make(cloud.admin, "subnetpool", name="p", prefixes=["10.0.0.0/8"], default_quota=300, shared=True,
                default_prefixlen=24)  # fmt: skip
    make(cloud.member, "subnet", network_id=network, subnetpool_id=pool["id"])
    whole = {"network_id": network, "subnetpool_id": pool["id"]}
    refused(try_make(cloud.member, "subnet", **whole), 409, "SubnetPoolQuotaExceeded")
    make(cloud.member, "subnet", **whole, prefixlen=28)


def test_the_default_pool_serves_who_names_none(cloud: ApiCloud, network: str) -> None:
    pool = make(cloud.admin, "subnetpool", name="p", prefixes=["10.4.0.0/16"], is_default=True, default_prefixlen=26,
                shared=True)  # fmt: skip
    made = make(cloud.member, "subnet", network_id=network, ip_version=4, use_default_subnetpool=True)
    assert (made["cidr"], made["subnetpool_id"]) == ("10.4.0.0/26", pool["id"])
    again = {"name": "q", "prefixes": ["10.5.0.0/16"], "is_default": True}
    refused(try_make(cloud.admin, "subnetpool", **again), 400, "InvalidInput")


def test_pools_of_an_address_scope_have_nothing_in_common(cloud: ApiCloud) -> None:
    scope = make(cloud.member, "address_scope", name="s", ip_version=4)
    pool = make(cloud.member, "subnetpool", name="p", prefixes=["10.0.0.0/16"], address_scope_id=scope["id"])
    whole = {"name": "q", "prefixes": ["10.0.5.0/24"], "address_scope_id": scope["id"]}
    refused(try_make(cloud.member, "subnetpool", **whole), 409, "AddressScopePrefixConflict")
    kind = "IllegalSubnetPoolIpVersionAssociationToAddressScope"
    refused(try_make(cloud.member, "subnetpool", **{**whole, "prefixes": ["fd00::/48"]}), 400, kind)
    refused(delete(cloud.member, "address_scope", scope["id"]), 409, "AddressScopeInUse")
    assert delete(cloud.member, "subnetpool", pool["id"]).status == 204
    assert change(cloud.member, "address_scope", scope["id"], name="t").body["address_scope"]["name"] == "t"
    refused(change(cloud.member, "address_scope", scope["id"], shared=True), 403, "PolicyNotAuthorized")
    refused(cloud.other.get(f"{BASE}/address-scopes/{scope['id']}"), 404, "AddressScopeNotFound")
    assert change(cloud.admin, "address_scope", scope["id"], shared=True).status == 200
    assert [each["shared"] for each in listed(cloud.other, "address_scope")] == [True]
    assert delete(cloud.member, "address_scope", scope["id"]).status == 204
