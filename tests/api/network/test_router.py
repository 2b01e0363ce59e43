"""Routers, floating IPs and port forwarding, as Neutron's clients know them."""

from itertools import count
from typing import Any

import pytest

from tests.api.client import Answer, ApiClient
from tests.api.cloud import ApiCloud

BASE = "/network/v2.0"
ROUTERS, FLOATING = f"{BASE}/routers", f"{BASE}/floatingips"
NOWHERE = "11111111-2222-4333-8444-555555555555"


def make(client: ApiClient, kind: str, **values: Any) -> dict[str, Any]:
    path = f"{BASE}/{kind}s".replace("_", "-")
    answer = client.post(path, {kind: values})
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.body[kind]
    return made


def make_subnet(client: ApiClient, cidr: str, **network: Any) -> dict[str, Any]:
    """A network with one subnet."""
    made = make(client, "network", **network)
    return make(client, "subnet", network_id=made["id"], cidr=cidr, ip_version=6 if ":" in cidr else 4)


def connect(client: ApiClient, router: dict[str, Any], **where: Any) -> Answer:
    return client.put(f"{ROUTERS}/{router['id']}/add_router_interface", where)


def disconnect(client: ApiClient, router: dict[str, Any], **where: Any) -> Answer:
    return client.put(f"{ROUTERS}/{router['id']}/remove_router_interface", where)


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.body["NeutronError"]["type"]


@pytest.fixture
def outside(cloud: ApiCloud) -> dict[str, Any]:
    """The subnet of an external network."""
    return make_subnet(cloud.admin, "203.0.113.0/24", name="public", **{"router:external": True})


@pytest.fixture
def inside(cloud: ApiCloud) -> dict[str, Any]:
    """A subnet of the project "demo"."""
    return make_subnet(cloud.member, "10.1.0.0/24")


def gateway(outside: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"network_id": outside["network_id"], **more}


def test_a_router_is_made_changed_and_deleted(cloud: ApiCloud, outside: dict[str, Any]) -> None:
    router = make(cloud.member, "router", name="r", admin_state_up=False, external_gateway_info=gateway(outside))
    assert (router["name"], router["admin_state_up"], router["status"]) == ("r", False, "ACTIVE")
    info = router["external_gateway_info"]
    assert (info["network_id"], info["enable_snat"]) == (outside["network_id"], True)
    assert [each["subnet_id"] for each in info["external_fixed_ips"]] == [outside["id"]]
    path = f"{ROUTERS}/{router['id']}"
    assert cloud.reader.get(path).body["router"] == {**router, "revision_number": 1}
    assert router["id"] in [each["id"] for each in cloud.member.get(ROUTERS).body["routers"]]
    changed = cloud.member.put(path, {"router": {"name": "updated", "admin_state_up": "True"}}).body["router"]
    assert (changed["name"], changed["admin_state_up"]) == ("updated", True)
    assert changed["external_gateway_info"] == info
    no_gateways: list[dict[str, Any] | None] = [None, {}]
    for nothing in no_gateways:
        cleared = cloud.member.put(path, {"router": {"external_gateway_info": nothing}}).body["router"]
        assert cleared["external_gateway_info"] is None
        assert cloud.member.put(path, {"router": {"external_gateway_info": gateway(outside)}}).status == 200
    assert cloud.reader.delete(path).status == 403
    assert refusal(cloud.other.delete(path)) == (404, "RouterNotFound")
    assert cloud.member.delete(path).status == 204
    assert refusal(cloud.member.get(path)) == (404, "RouterNotFound")
    assert refusal(cloud.member.put(f"{ROUTERS}/no-such-router", {"router": {"name": "x"}})) == (404, "RouterNotFound")


def test_gateways_are_on_external_networks_and_detail_is_for_administrators(
    cloud: ApiCloud, outside: dict[str, Any], inside: dict[str, Any]
) -> None:
    path = f"{ROUTERS}/{make(cloud.member, 'router')['id']}"

    def set_gateway(client: ApiClient, **info: Any) -> Answer:
        return client.put(path, {"router": {"external_gateway_info": info}})

    assert refusal(set_gateway(cloud.member, network_id=NOWHERE)) == (404, "NetworkNotFound")
    assert set_gateway(cloud.member, network_id=inside["network_id"]).status == 400
    chosen = {"subnet_id": outside["id"], "ip_address": "203.0.113.77"}
    assert set_gateway(cloud.member, **gateway(outside, external_fixed_ips=[chosen])).status == 403
    assert set_gateway(cloud.member, **gateway(outside, enable_snat=False)).status == 403
    answer = set_gateway(cloud.admin, **gateway(outside, enable_snat=False, external_fixed_ips=[chosen]))
    assert answer.body["router"]["external_gateway_info"] == {
        "network_id": outside["network_id"],
        "enable_snat": False,
        "external_fixed_ips": [chosen],
    }
    [port] = cloud.admin.get(f"{BASE}/ports?device_owner=network:router_gateway").body["ports"]
    assert (port["project_id"], port["device_id"]) == ("", path.rpartition("/")[2])
    assert refusal(cloud.admin.delete(f"{BASE}/ports/{port['id']}")) == (409, "ServicePortInUse")
    assert cloud.member.get(f"{BASE}/ports?device_owner=network:router_gateway").body["ports"] == []


def test_a_router_is_connected_by_subnet_and_by_port(cloud: ApiCloud, inside: dict[str, Any]) -> None:
    router = make(cloud.member, "router")
    other = make_subnet(cloud.member, "10.2.0.0/24")
    by_subnet = connect(cloud.member, router, subnet_id=inside["id"])
    assert by_subnet.status == 200
    assert by_subnet.body["id"] == router["id"]
    assert (by_subnet.body["subnet_id"], by_subnet.body["subnet_ids"]) == (inside["id"], [inside["id"]])
    port = cloud.member.get(f"{BASE}/ports/{by_subnet.body['port_id']}").body["port"]
    assert (port["device_id"], port["device_owner"]) == (router["id"], "network:router_interface")
    assert port["fixed_ips"] == [{"subnet_id": inside["id"], "ip_address": "10.1.0.1"}]
    given = make(cloud.member, "port", network_id=other["network_id"])
    by_port = connect(cloud.member, router, port_id=given["id"])
    assert (by_port.body["port_id"], by_port.body["subnet_id"]) == (given["id"], other["id"])
    assert refusal(cloud.member.delete(f"{ROUTERS}/{router['id']}")) == (409, "RouterInUse")
    assert refusal(cloud.member.delete(f"{BASE}/ports/{port['id']}")) == (409, "ServicePortInUse")
    assert disconnect(cloud.member, router, port_id=given["id"]).body["subnet_id"] == other["id"]
    assert disconnect(cloud.member, router, subnet_id=inside["id"]).status == 200
    assert cloud.member.get(f"{BASE}/ports/{given['id']}").status == 404
    assert cloud.member.delete(f"{ROUTERS}/{router['id']}").status == 204


def test_interfaces_that_cannot_be_are_refused(cloud: ApiCloud, inside: dict[str, Any]) -> None:
    router = make(cloud.member, "router")
    assert connect(cloud.member, router).status == 400
    assert connect(cloud.member, router, subnet_id=inside["id"], port_id=NOWHERE).status == 400
    assert connect(cloud.member, router, subnet_id="bad").status == 400
    assert refusal(connect(cloud.member, router, subnet_id=NOWHERE)) == (404, "SubnetNotFound")
    assert refusal(connect(cloud.member, router, port_id=NOWHERE)) == (404, "PortNotFound")
    assert refusal(disconnect(cloud.member, router, subnet_id=inside["id"])) == (
        404,
        "RouterInterfaceNotFoundForSubnet",
    )
    assert refusal(disconnect(cloud.member, router, port_id=NOWHERE)) == (404, "RouterInterfaceNotFound")
    assert connect(cloud.member, router, subnet_id=inside["id"]).status == 200
    twin = make_subnet(cloud.member, "10.1.0.0/16")
    overlap = connect(cloud.member, router, subnet_id=twin["id"])
    assert overlap.status == 400
    assert "overlaps" in overlap.body["NeutronError"]["message"]
    assert connect(cloud.member, router, subnet_id=inside["id"]).status == 400
    used = make(cloud.member, "port", network_id=inside["network_id"], device_id="a-server")
    assert refusal(connect(cloud.member, make(cloud.member, "router"), port_id=used["id"])) == (409, "PortInUse")
    assert connect(cloud.reader, router, subnet_id=twin["id"]).status == 403
    assert refusal(connect(cloud.other, router, subnet_id=twin["id"])) == (404, "RouterNotFound")


def test_extra_routes_are_set_added_and_removed(cloud: ApiCloud, inside: dict[str, Any]) -> None:
    router = make(cloud.member, "router")
    connect(cloud.member, router, subnet_id=inside["id"])
    path = f"{ROUTERS}/{router['id']}"
    first, second = ({"destination": f"192.0.{each}.0/24", "nexthop": "10.1.0.9"} for each in (2, 3))
    assert cloud.member.put(path, {"router": {"routes": [first]}}).body["router"]["routes"] == [first]
    for _ in range(2):
        added = cloud.member.put(f"{path}/add_extraroutes", {"router": {"routes": [second]}})
        assert added.body["router"]["routes"] == [first, second]
    assert refusal(disconnect(cloud.member, router, subnet_id=inside["id"])) == (409, "RouterInterfaceInUseByRoute")
    left = cloud.member.put(f"{path}/remove_extraroutes", {"router": {"routes": [first]}})
    assert left.body["router"]["routes"] == [second]
    assert cloud.member.put(path, {"router": {"routes": None}}).body["router"]["routes"] == []
    wrong = {"destination": "192.0.2.0/24", "nexthop": "10.9.0.9"}
    assert refusal(cloud.member.put(path, {"router": {"routes": [wrong]}})) == (400, "InvalidRoutes")
    assert refusal(cloud.member.put(path, {"router": {"routes": [first, first]}})) == (400, "InvalidInput")
    many = [{"destination": f"192.0.{each}.0/24", "nexthop": "10.1.0.9"} for each in range(31)]
    assert refusal(cloud.member.put(path, {"router": {"routes": many}})) == (400, "RoutesExhausted")


def test_a_floating_ip_is_made_moved_and_given_back(
    cloud: ApiCloud, outside: dict[str, Any], inside: dict[str, Any]
) -> None:
    router = make(cloud.member, "router", external_gateway_info=gateway(outside))
    connect(cloud.member, router, subnet_id=inside["id"])
    first, second = (make(cloud.member, "port", network_id=inside["network_id"], name=name) for name in ("a", "b"))
    made = make(cloud.member, "floatingip", floating_network_id=outside["network_id"], port_id=first["id"])
    assert (made["port_id"], made["router_id"], made["status"]) == (first["id"], router["id"], "ACTIVE")
    assert made["fixed_ip_address"] == first["fixed_ips"][0]["ip_address"]
    assert made["port_details"]["name"] == "a"
    assert made["floating_network_id"] == outside["network_id"]
    path = f"{FLOATING}/{made['id']}"
    assert cloud.reader.get(path).body["floatingip"] == made
    found = cloud.member.get(f"{FLOATING}?floating_ip_address={made['floating_ip_address']}").body["floatingips"]
    assert [each["id"] for each in found] == [made["id"]]
    moved = cloud.member.put(path, {"floatingip": {"port_id": second["id"]}}).body["floatingip"]
    assert (moved["port_id"], moved["fixed_ip_address"]) == (second["id"], second["fixed_ips"][0]["ip_address"])
    assert refusal(disconnect(cloud.member, router, subnet_id=inside["id"])) == (
        409,
        "RouterInterfaceInUseByFloatingIP",
    )
    clearing = cloud.member.put(f"{ROUTERS}/{router['id']}", {"router": {"external_gateway_info": None}})
    assert refusal(clearing) == (409, "RouterExternalGatewayInUseByFloatingIp")
    kept = cloud.member.put(path, {"floatingip": {"description": "ours"}}).body["floatingip"]
    assert (kept["description"], kept["port_id"]) == ("ours", second["id"])
    freed = cloud.member.put(path, {"floatingip": {"port_id": None}}).body["floatingip"]
    assert (freed["port_id"], freed["fixed_ip_address"], freed["router_id"], freed["status"]) == (
        None,
        None,
        None,
        "DOWN",
    )
    assert freed["port_details"] is None
    assert cloud.member.put(path, {"floatingip": {"port_id": first["id"]}}).status == 200
    assert cloud.member.put(path, {"floatingip": {}}).body["floatingip"]["port_id"] is None
    assert cloud.member.put(path, {"floatingip": {"port_id": first["id"]}}).status == 200
    assert cloud.member.delete(f"{BASE}/ports/{first['id']}").status == 204
    assert cloud.member.get(path).body["floatingip"]["port_id"] is None
    assert cloud.other.get(path).status == 404
    assert cloud.reader.delete(path).status == 403
    assert cloud.member.delete(path).status == 204
    assert refusal(cloud.member.get(path)) == (404, "FloatingIPNotFound")


def test_floating_ips_that_cannot_be_are_refused(
    cloud: ApiCloud, outside: dict[str, Any], inside: dict[str, Any]
) -> None:
    def floating(client: ApiClient, network: dict[str, Any] = outside, **more: Any) -> Answer:
        return client.post(FLOATING, {"floatingip": {"floating_network_id": network["network_id"], **more}})

    router = make(cloud.member, "router")
    connect(cloud.member, router, subnet_id=inside["id"])
    port = make(cloud.member, "port", network_id=inside["network_id"])
    address = port["fixed_ips"][0]["ip_address"]
    unreachable = floating(cloud.member, port_id=port["id"], fixed_ip_address=address)
    assert refusal(unreachable) == (404, "ExternalGatewayForFloatingIPNotFound")
    assert cloud.member.get(FLOATING).body["floatingips"] == []
    assert floating(cloud.member, inside).status == 400
    assert floating(cloud.member, fixed_ip_address=address).status == 400
    assert floating(cloud.member, floating_ip_address="203.0.113.9").status == 403
    assert floating(cloud.admin, floating_ip_address="203.0.113.9").status == 201
    assert floating(cloud.admin, floating_ip_address="203.0.113.9").status == 409
    assert floating(cloud.admin, floating_ip_address="192.0.2.9").status == 400
    cloud.member.put(f"{ROUTERS}/{router['id']}", {"router": {"external_gateway_info": gateway(outside)}})
    assert floating(cloud.member, port_id=port["id"], fixed_ip_address="10.1.0.250").status == 400
    assert floating(cloud.member, port_id=port["id"], fixed_ip_address=address).status == 201
    again = floating(cloud.member, port_id=port["id"])
    assert refusal(again) == (409, "FloatingIPPortAlreadyAssociated")
    assert refusal(floating(cloud.other, port_id=port["id"])) == (404, "PortNotFound")


def test_a_port_with_two_addresses_needs_one_named(
    cloud: ApiCloud, outside: dict[str, Any], inside: dict[str, Any]
) -> None:
    router = make(cloud.member, "router", external_gateway_info=gateway(outside))
    connect(cloud.member, router, subnet_id=inside["id"])
    both = [{"ip_address": "10.1.0.20"}, {"ip_address": "10.1.0.21"}]
    port = make(cloud.member, "port", network_id=inside["network_id"], fixed_ips=both)
    made = make(cloud.member, "floatingip", floating_network_id=outside["network_id"])
    path = f"{FLOATING}/{made['id']}"
    assert cloud.member.put(path, {"floatingip": {"port_id": port["id"]}}).status == 400
    for address in ("10.1.0.20", "10.1.0.21"):
        wanted = {"port_id": port["id"], "fixed_ip_address": address}
        assert cloud.member.put(path, {"floatingip": wanted}).body["floatingip"]["fixed_ip_address"] == address


def test_lists_take_one_statement_however_long_they_are(
    cloud: ApiCloud, outside: dict[str, Any], inside: dict[str, Any]
) -> None:
    numbers = count(50)

    def grow() -> tuple[int, int]:
        router = make(cloud.member, "router", external_gateway_info=gateway(outside))
        subnet = make_subnet(cloud.member, f"10.{next(numbers)}.0.0/24")
        connect(cloud.member, router, subnet_id=subnet["id"])
        port = make(cloud.member, "port", network_id=subnet["network_id"])
        make(cloud.member, "floatingip", floating_network_id=outside["network_id"], port_id=port["id"])
        return cloud.member.get(ROUTERS).statements, cloud.member.get(FLOATING).statements

    one = grow()
    grow()
    assert grow() == one
    assert max(one) <= 2
    page = cloud.member.get(f"{ROUTERS}?limit=2&sort_key=name").body
    assert len(page["routers"]) == 2
    assert page["routers_links"][0]["rel"] == "next"


def test_ports_are_handed_on(cloud: ApiCloud, outside: dict[str, Any], inside: dict[str, Any]) -> None:
    router = make(cloud.member, "router", external_gateway_info=gateway(outside))
    connect(cloud.member, router, subnet_id=inside["id"])
    port = make(cloud.member, "port", network_id=inside["network_id"])
    address = make(cloud.member, "floatingip", floating_network_id=outside["network_id"])
    base = f"{FLOATING}/{address['id']}/port_forwardings"

    def forward(client: ApiClient, **more: Any) -> Answer:
        wanted = {"protocol": "tcp", "internal_port_id": port["id"], "external_port": 2222, "internal_port": 22}
        return client.post(base, {"port_forwarding": {**wanted, **more}})

    made = forward(cloud.member, description="ssh")
    assert made.status == 201
    shown = made.body["port_forwarding"]
    assert shown == {
        "id": shown["id"],
        "protocol": "tcp",
        "internal_port_id": port["id"],
        "internal_ip_address": port["fixed_ips"][0]["ip_address"],
        "internal_port": 22,
        "internal_port_range": "22:22",
        "external_port": 2222,
        "external_port_range": "2222:2222",
        "description": "ssh",
    }
    assert cloud.reader.get(f"{base}/{shown['id']}").body["port_forwarding"] == shown
    assert cloud.member.get(base, protocol="tcp").body["port_forwardings"] == [shown]
    assert cloud.member.get(base, protocol="udp").body["port_forwardings"] == []
    outer = cloud.member.get(f"{FLOATING}/{address['id']}").body["floatingip"]
    assert [each["id"] for each in outer["port_forwardings"]] == [shown["id"]]
    assert (outer["router_id"], outer["status"]) == (router["id"], "ACTIVE")
    assert forward(cloud.member).status == 400
    assert forward(cloud.member, protocol="icmp").status == 400
    assert forward(cloud.member, external_port=70000).status == 400
    assert forward(cloud.reader, external_port=81).status == 403
    assert forward(cloud.other, external_port=81).status == 404
    associated = cloud.member.put(f"{FLOATING}/{address['id']}", {"floatingip": {"port_id": port["id"]}})
    assert refusal(associated) == (409, "FipInUseByPortForwarding")
    ranged = {"external_port_range": "8000:8010", "internal_port_range": "9000:9010"}
    changed = cloud.member.put(f"{base}/{shown['id']}", {"port_forwarding": ranged}).body["port_forwarding"]
    assert (changed["external_port"], changed["external_port_range"]) == (None, "8000:8010")
    assert refusal(cloud.member.get(f"{base}/{NOWHERE}")) == (404, "PortForwardingNotFound")
    assert cloud.member.delete(f"{base}/{shown['id']}").status == 204
    whole = make(cloud.member, "floatingip", floating_network_id=outside["network_id"], port_id=port["id"])
    assert refusal(forward(cloud.member)) == (409, "PortHasBindingFloatingIP")
    for each in (whole, address):
        assert cloud.member.delete(f"{FLOATING}/{each['id']}").status == 204


def test_an_external_network_stays_open_to_those_who_use_it(cloud: ApiCloud, outside: dict[str, Any]) -> None:
    network = outside["network_id"]
    policies = f"{BASE}/rbac-policies"
    [open_to_all] = cloud.admin.get(f"{policies}?object_id={network}").body["rbac_policies"]
    path = f"{policies}/{open_to_all['id']}"
    router = make(cloud.member, "router", external_gateway_info=gateway(outside))
    assert refusal(cloud.admin.delete(path)) == (409, "RbacPolicyInUse")
    opened = {"object_type": "network", "object_id": network, "action": "access_as_external"}
    for project, status in (("other", 409), ("demo", 200)):
        narrower = {"rbac_policy": {"target_tenant": cloud.project_id(project)}}
        assert cloud.admin.put(path, narrower).status == status
    wider = cloud.admin.put(path, {"rbac_policy": {"target_tenant": "*"}})
    assert wider.status == 200
    own = cloud.admin.post(policies, {"rbac_policy": {**opened, "target_tenant": cloud.project_id("demo")}})
    assert cloud.admin.delete(path).status == 204
    assert refusal(cloud.admin.delete(f"{policies}/{own.body['rbac_policy']['id']}")) == (409, "RbacPolicyInUse")
    assert cloud.member.delete(f"{ROUTERS}/{router['id']}").status == 204
    assert cloud.admin.get(f"{BASE}/networks/{network}").body["network"]["router:external"] is True
    assert cloud.admin.delete(f"{policies}/{own.body['rbac_policy']['id']}").status == 204
    assert cloud.admin.get(f"{BASE}/networks/{network}").body["network"]["router:external"] is False


def test_the_default_external_network_stays_open_to_all(cloud: ApiCloud, outside: dict[str, Any]) -> None:
    changed = cloud.admin.put(f"{BASE}/networks/{outside['network_id']}", {"network": {"is_default": True}})
    assert changed.status == 200
    [open_to_all] = cloud.admin.get(f"{BASE}/rbac-policies?object_id={outside['network_id']}").body["rbac_policies"]
    assert refusal(cloud.admin.delete(f"{BASE}/rbac-policies/{open_to_all['id']}")) == (409, "RbacPolicyInUse")


def test_a_router_stays_within_one_address_scope(
    cloud: ApiCloud, outside: dict[str, Any], inside: dict[str, Any]
) -> None:
    def scoped(prefix: str) -> dict[str, Any]:
        scope = cloud.member.post(f"{BASE}/address-scopes", {"address_scope": {"name": "s", "ip_version": 4}}).body
        pool = make(cloud.member, "subnetpool", name="p", prefixes=[prefix], default_prefixlen=24,
                    address_scope_id=scope["address_scope"]["id"])  # fmt: skip
        return {"pool": pool["id"], "scope": scope["address_scope"]["id"]}

    def subnet(pool: str) -> str:
        network = make(cloud.member, "network")
        return str(make(cloud.member, "subnet", network_id=network["id"], subnetpool_id=pool)["id"])

    one, two = scoped("10.64.0.0/16"), scoped("10.65.0.0/16")
    router = make(cloud.member, "router", external_gateway_info=gateway(outside))
    assert connect(cloud.member, router, subnet_id=inside["id"]).status == 200  # it is of no scope
    assert connect(cloud.member, router, subnet_id=subnet(one["pool"])).status == 200
    assert connect(cloud.member, router, subnet_id=subnet(one["pool"])).status == 200
    other = connect(cloud.member, router, subnet_id=subnet(two["pool"]))
    assert refusal(other) == (409, "RouterInterfaceAddressScopeConflict")
    assert one["scope"] in other.body["NeutronError"]["message"]
    network = make(cloud.member, "network")
    make(cloud.member, "subnet", network_id=network["id"], subnetpool_id=two["pool"])
    port = make(cloud.member, "port", network_id=network["id"])
    assert refusal(connect(cloud.member, router, port_id=port["id"]))[1] == "RouterInterfaceAddressScopeConflict"
