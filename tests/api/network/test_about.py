"""What the service says of itself: extensions, agents and availability zones."""

from polyvisor.api.network.extension import OFFERED
from polyvisor.api.network.service import service
from polyvisor.model.host import HostState
from tests.api.cloud import ApiCloud
from tests.api.compute.estate import host, put
from tests.api.network.calls import BASE, make, refused, try_make

OF_A_COLLECTION = {
    "address-scope": "address-scopes",
    "agent": "agents",
    "auto-allocated-topology": "auto-allocated-topology",
    "availability_zone": "availability_zones",
    "external-net": "networks",
    "network-ip-availability": "network-ip-availabilities",
    "quotas": "quotas",
    "rbac-policies": "rbac-policies",
    "segment": "segments",
    "service-type": "service-providers",
    "subnet_allocation": "subnetpools",
}


def test_extensions_are_listed_and_each_is_there(cloud: ApiCloud) -> None:
    shown = cloud.member.get(f"{BASE}/extensions").body["extensions"]
    assert {each["alias"] for each in shown} == set(OFFERED)
    assert all(each["name"] and each["description"].endswith(".") for each in shown)
    one = cloud.member.get(f"{BASE}/extensions/port-security").body["extension"]
    assert one["alias"] == "port-security"
    refused(cloud.member.get(f"{BASE}/extensions/l3-flavors"), 404, "ExtensionNotFound")
    prefixes = {route.path.split("/")[1] for route in service.routes}
    for alias, collection in OF_A_COLLECTION.items():
        assert alias in OFFERED
        assert collection in prefixes


def test_there_are_no_service_providers_to_choose_among(cloud: ApiCloud) -> None:
    assert cloud.member.get(f"{BASE}/service-providers").body == {"service_providers": []}


def test_agents_are_the_hosts_and_administrators_see_them(cloud: ApiCloud) -> None:
    one = host("kvm-1", report={"physical_networks": frozenset({"site"}), "overlay": True})
    two = host("kvm-2", state=HostState.DOWN, state_reason="its agent is silent", enabled=False)
    put(cloud.database, one, two)
    cloud.admin.get(f"{BASE}/extensions")  # the token is looked up once
    answer = cloud.admin.get(f"{BASE}/agents")
    assert answer.statements == 2
    seen = {each["host"]: each for each in answer.body["agents"]}
    assert (seen["kvm-1"]["alive"], seen["kvm-1"]["admin_state_up"]) == (True, True)
    assert seen["kvm-1"]["configurations"] == {"vif_type": "ovs", "overlay": True, "physical_networks": ["site"]}
    assert (seen["kvm-2"]["alive"], seen["kvm-2"]["description"]) == (False, "its agent is silent")
    assert [each["host"] for each in cloud.admin.get(f"{BASE}/agents", alive="True").body["agents"]] == ["kvm-1"]
    assert cloud.admin.get(f"{BASE}/agents/{one.uuid}", fields="host").body == {"agent": {"host": "kvm-1"}}
    refused(cloud.admin.get(f"{BASE}/agents/none"), 404, "AgentNotFound")
    refused(cloud.member.get(f"{BASE}/agents/{one.uuid}"), 403, "PolicyNotAuthorized")
    refused(cloud.admin.delete(f"{BASE}/agents/none"), 404, "AgentNotFound")
    assert "kvm-1" in refused(cloud.admin.delete(f"{BASE}/agents/{one.uuid}"), 409, "AgentInUse")
    assert cloud.member.get(f"{BASE}/agents").body == {"agents": []}


def test_availability_zones_are_those_of_the_hosts(cloud: ApiCloud) -> None:
    put(cloud.database, host("kvm-1", zone="west"), host("kvm-2", zone="east", state=HostState.DOWN))
    shown = cloud.member.get(f"{BASE}/availability_zones").body["availability_zones"]
    assert {"name": "west", "resource": "network", "state": "available"} in shown
    assert {"name": "east", "resource": "router", "state": "unavailable"} in shown
    only = cloud.member.get(f"{BASE}/availability_zones", name="west", resource="router").body["availability_zones"]
    assert only == [{"name": "west", "resource": "router", "state": "available"}]
    made = make(cloud.member, "network", availability_zone_hints=["west"])
    assert made["availability_zones"] == ["west"]
    sentence = refused(
        try_make(cloud.member, "network", availability_zone_hints=["north"]), 404, "AvailabilityZoneNotFound"
    )
    assert "north" in sentence


def test_a_port_that_is_bound_says_how(cloud: ApiCloud) -> None:
    put(cloud.database, host("kvm-1"))
    network = make(cloud.member, "network")["id"]
    bound = make(cloud.admin, "port", network_id=network, binding__host_id="kvm-1", binding__profile={"a": 1})
    assert (bound["binding:vif_type"], bound["binding:profile"]) == ("ovs", {"a": 1})
    assert (
        make(cloud.admin, "port", network_id=network, binding__host_id="none")["binding:vif_type"] == "binding_failed"
    )
    found = cloud.admin.get(f"{BASE}/ports", **{"binding:host_id": "kvm-1"}).body["ports"]
    assert [each["id"] for each in found] == [bound["id"]]
    assert try_make(cloud.admin, "port", network_id=network, binding__vnic_type="strange").status == 400


def test_tags_of_qos_policies_are_where_clients_look_for_them(cloud: ApiCloud) -> None:
    made = cloud.admin.post(f"{BASE}/qos/policies", {"policy": {"name": "q"}}).body["policy"]
    assert cloud.admin.put(f"{BASE}/policies/{made['id']}/tags", {"tags": ["blue"]}).body == {"tags": ["blue"]}
    assert cloud.admin.get(f"{BASE}/qos/policies/{made['id']}").body["policy"]["tags"] == ["blue"]
