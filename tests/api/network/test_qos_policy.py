"""QoS policies and their rules, as Neutron's clients know them."""

from typing import Any

import pytest

from tests.api.client import Answer, ApiClient
from tests.api.cloud import ApiCloud

BASE = "/network/v2.0"
POLICIES = f"{BASE}/qos/policies"
NOWHERE = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def manager(cloud: ApiCloud) -> ApiClient:
    """Manager of the project "demo", who makes its policies."""
    return cloud.caller("demo", "manager")


def make(client: ApiClient, **values: Any) -> dict[str, Any]:
    answer = client.post(POLICIES, {"policy": {"name": "gold", **values}})
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.body["policy"]
    return made


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.body["NeutronError"]["type"]


def limit(client: ApiClient, policy: str, **values: Any) -> Answer:
    return client.post(f"{POLICIES}/{policy}/bandwidth_limit_rules", {"bandwidth_limit_rule": values})


def mark(client: ApiClient, policy: str, value: Any) -> Answer:
    return client.post(f"{POLICIES}/{policy}/dscp_marking_rules", {"dscp_marking_rule": {"dscp_mark": value}})


def test_a_policy_is_made_changed_and_deleted(cloud: ApiCloud, manager: ApiClient) -> None:
    made = make(manager, description="fast")
    assert (made["shared"], made["is_default"], made["rules"]) == (False, False, [])
    path = f"{POLICIES}/{made['id']}"
    assert cloud.reader.get(path).body["policy"] == made
    assert cloud.member.put(path, {"policy": {"name": "x"}}).status == 403
    assert cloud.member.post(POLICIES, {"policy": {"name": "x"}}).status == 403
    changed = manager.put(path, {"policy": {"name": "silver"}}).body["policy"]
    assert (changed["name"], changed["revision_number"]) == ("silver", 1)
    assert refusal(cloud.other.get(path)) == (404, "QosPolicyNotFound")
    assert manager.delete(path).status == 204
    assert refusal(manager.get(path)) == (404, "QosPolicyNotFound")


def test_rules_limit_and_mark(cloud: ApiCloud, manager: ApiClient) -> None:
    policy = make(manager)["id"]
    made = limit(manager, policy, max_kbps="1000", max_burst_kbps=800)
    assert made.status == 201
    rule = made.body["bandwidth_limit_rule"]
    assert rule == {"id": rule["id"], "max_kbps": 1000, "max_burst_kbps": 800, "direction": "egress"}
    assert limit(manager, policy, max_kbps=5, direction="ingress").status == 201
    marked = mark(manager, policy, 26).body["dscp_marking_rule"]
    shown = cloud.reader.get(f"{POLICIES}/{policy}").body["policy"]
    assert {(each["type"], each["qos_policy_id"]) for each in shown["rules"]} == {
        ("bandwidth_limit", policy),
        ("dscp_marking", policy),
    }
    assert shown["revision_number"] == 3
    rules = f"{POLICIES}/{policy}/bandwidth_limit_rules"
    listed = cloud.reader.get(f"{rules}?sort_key=max_kbps").body["bandwidth_limit_rules"]
    assert [each["max_kbps"] for each in listed] == [5, 1000]
    assert cloud.reader.get(f"{rules}?direction=egress").body["bandwidth_limit_rules"] == [rule]
    changed = manager.put(f"{rules}/{rule['id']}", {"bandwidth_limit_rule": {"max_kbps": 2000}})
    assert changed.body["bandwidth_limit_rule"] == {**rule, "max_kbps": 2000}
    assert cloud.reader.get(f"{rules}/{rule['id']}").body["bandwidth_limit_rule"]["max_kbps"] == 2000
    alias = f"{BASE}/qos/alias-dscp-marking-rules/{marked['id']}"
    assert manager.put(alias, {"dscp_marking_rule": {"dscp_mark": 46}}).body["dscp_marking_rule"]["dscp_mark"] == 46
    assert cloud.reader.get(alias).body["dscp_marking_rule"] == {"id": marked["id"], "dscp_mark": 46}
    assert cloud.member.delete(alias).status == 403
    assert manager.delete(alias).status == 204
    assert refusal(manager.get(alias)) == (404, "QosRuleNotFound")
    assert manager.delete(f"{rules}/{rule['id']}").status == 204
    assert refusal(manager.get(f"{rules}/{rule['id']}")) == (404, "QosRuleNotFound")


def test_rules_that_cannot_be_are_refused(cloud: ApiCloud, manager: ApiClient) -> None:
    policy = make(manager)["id"]
    assert limit(manager, policy, max_kbps=1000).status == 201
    assert refusal(limit(manager, policy, max_kbps=2000)) == (409, "QoSRulesConflict")
    assert limit(manager, policy, max_kbps=1, direction="up").status == 400
    assert refusal(limit(manager, policy, max_kbps=0, direction="ingress")) == (400, "InvalidInput")
    assert refusal(limit(manager, policy, max_kbps=2**31, direction="ingress")) == (400, "InvalidInput")
    for value in (1, 63, -8):
        assert refusal(mark(manager, policy, value)) == (400, "InvalidInput")
    assert limit(cloud.member, policy, max_kbps=1, direction="ingress").status == 403
    assert refusal(limit(manager, NOWHERE, max_kbps=1)) == (404, "QosPolicyNotFound")


def test_what_is_in_use_stays(cloud: ApiCloud, manager: ApiClient) -> None:
    policy = make(manager)["id"]
    network = cloud.member.post(f"{BASE}/networks", {"network": {"qos_policy_id": policy}})
    assert network.status == 201
    refused = manager.delete(f"{POLICIES}/{policy}")
    assert refusal(refused) == (409, "QosPolicyInUse")
    assert network.body["network"]["id"] in refused.body["NeutronError"]["message"]
    stranger = cloud.other.post(f"{BASE}/networks", {"network": {"qos_policy_id": policy}})
    assert refusal(stranger) == (404, "QosPolicyNotFound")


def test_new_networks_are_under_the_projects_default(cloud: ApiCloud, manager: ApiClient) -> None:
    policy = make(manager, is_default=True)
    second = manager.post(POLICIES, {"policy": {"name": "second", "is_default": True}})
    assert refusal(second) == (409, "QoSPolicyDefaultAlreadyExists")
    made = cloud.member.post(f"{BASE}/networks", {"network": {"name": "plain"}}).body["network"]
    assert made["qos_policy_id"] == policy["id"]
    free = cloud.member.post(f"{BASE}/networks", {"network": {"qos_policy_id": None}}).body["network"]
    assert free["qos_policy_id"] is None
    assert cloud.other.post(f"{BASE}/networks", {"network": {"name": "n"}}).body["network"]["qos_policy_id"] is None


def test_administrators_share_policies_until_they_are_used(cloud: ApiCloud, manager: ApiClient) -> None:
    assert manager.post(POLICIES, {"policy": {"name": "x", "shared": True}}).status == 403
    policy = make(cloud.admin, shared=True)
    assert [each["id"] for each in cloud.other.get(POLICIES).body["policies"]] == [policy["id"]]
    path = f"{POLICIES}/{policy['id']}"
    network = cloud.other.post(f"{BASE}/networks", {"network": {"qos_policy_id": policy["id"]}}).body["network"]
    assert refusal(cloud.admin.put(path, {"policy": {"shared": False}})) == (409, "QosPolicyInUse")
    assert cloud.other.delete(f"{BASE}/networks/{network['id']}").status == 204
    assert cloud.admin.put(path, {"policy": {"shared": False}}).body["policy"]["shared"] is False
    assert cloud.other.get(POLICIES).body["policies"] == []


def test_one_of_two_openings_may_go(cloud: ApiCloud) -> None:
    policy = make(cloud.admin, shared=True)["id"]
    opened = {"object_type": "qos_policy", "object_id": policy, "action": "access_as_shared"}
    policies = f"{BASE}/rbac-policies"
    own = cloud.admin.post(policies, {"rbac_policy": {**opened, "target_tenant": cloud.project_id("other")}})
    assert cloud.other.post(f"{BASE}/networks", {"network": {"qos_policy_id": policy}}).status == 201
    assert cloud.admin.delete(f"{policies}/{own.body['rbac_policy']['id']}").status == 204
    [left] = cloud.admin.get(f"{policies}?object_id={policy}").body["rbac_policies"]
    assert refusal(cloud.admin.delete(f"{policies}/{left['id']}")) == (409, "RbacPolicyInUse")


def test_tags_of_policies_have_two_addresses(manager: ApiClient) -> None:
    policy = make(manager)["id"]
    # Neutron's clients use the one, openstacksdk the other.
    assert manager.put(f"{BASE}/policies/{policy}/tags", {"tags": ["fast"]}).body == {"tags": ["fast"]}
    assert manager.get(f"{POLICIES}/{policy}/tags").body == {"tags": ["fast"]}


def test_kinds_of_rules_are_told(cloud: ApiCloud) -> None:
    kinds = cloud.reader.get(f"{BASE}/qos/rule-types").body["rule_types"]
    assert kinds == [{"type": "bandwidth_limit"}, {"type": "dscp_marking"}]


def test_what_rules_of_a_kind_take_is_told_to_administrators(cloud: ApiCloud) -> None:
    path = f"{BASE}/qos/rule-types"
    told = cloud.admin.get(f"{path}/dscp_marking").body["rule_type"]
    [driver] = told["drivers"]
    [parameter] = driver["supported_parameters"]
    assert (told["type"], driver["name"], parameter["parameter_name"]) == ("dscp_marking", "ovn", "dscp_mark")
    assert {0, 8, 46, 56} <= set(parameter["parameter_values"])
    assert cloud.admin.get(f"{path}/bandwidth_limit").status == 200
    assert cloud.admin.get(f"{path}/minimum_bandwidth").status == 404
    assert cloud.member.get(f"{path}/dscp_marking").status == 403


def test_who_makes_no_rules_is_told_so_of_any_policy(cloud: ApiCloud) -> None:
    made = cloud.admin.post(f"{BASE}/qos/policies", {"policy": {"name": "q"}}).body["policy"]
    path = f"{BASE}/qos/policies/{made['id']}/bandwidth_limit_rules"
    rule = {"bandwidth_limit_rule": {"max_kbps": 1000}}
    assert cloud.member.post(path, rule).status == 403
    assert cloud.caller("demo", "manager").post(path, rule).status == 404
    assert cloud.admin.post(path, rule).status == 201


def test_a_project_does_not_take_away_what_an_administrator_put_it_under(cloud: ApiCloud) -> None:
    policy = cloud.admin.post(f"{BASE}/qos/policies", {"policy": {"name": "q"}}).body["policy"]["id"]
    network = cloud.member.post(f"{BASE}/networks", {"network": {}}).body["network"]["id"]
    port = cloud.member.post(f"{BASE}/ports", {"port": {"network_id": network}}).body["port"]["id"]
    for noun, path in (("network", f"{BASE}/networks/{network}"), ("port", f"{BASE}/ports/{port}")):
        assert cloud.admin.put(path, {noun: {"qos_policy_id": policy}}).status == 200
        refused = cloud.member.put(path, {noun: {"qos_policy_id": None}})
        assert (refused.status, refused.body["NeutronError"]["type"]) == (403, "PolicyRemoveAuthorizationError")
        assert cloud.member.put(path, {noun: {"name": "still"}}).body[noun]["qos_policy_id"] == policy
    assert cloud.admin.put(f"{BASE}/qos/policies/{policy}", {"policy": {"shared": True}}).status == 200
    for noun, path in (("network", f"{BASE}/networks/{network}"), ("port", f"{BASE}/ports/{port}")):
        assert cloud.member.put(path, {noun: {"qos_policy_id": None}}).body[noun]["qos_policy_id"] is None
