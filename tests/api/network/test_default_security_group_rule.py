"""Default security group rules: what new groups begin with, and who says so."""

from typing import Any

from tests.api.client import Answer, ApiClient
from tests.api.cloud import ApiCloud
from tests.api.network.calls import BASE, refused

NOUN = "default_security_group_rule"
PATH = f"{BASE}/default-security-group-rules"
SSH = {"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}


def attempt(client: ApiClient, **fields: Any) -> Answer:
    return client.post(PATH, {NOUN: {**SSH, **fields}})


def added(cloud: ApiCloud, **fields: Any) -> dict[str, Any]:
    answer = attempt(cloud.admin, **fields)
    assert answer.status == 201, answer
    found: dict[str, Any] = answer.body[NOUN]
    return found


def doors(group: dict[str, Any]) -> set[tuple[str, str, int | None, bool]]:
    """What a group's rules let through: from its own ports or from everywhere."""
    return {
        (each["direction"], each["ethertype"], each["port_range_min"], each["remote_group_id"] == group["id"])
        for each in group["security_group_rules"]
    }


OUT = {("egress", "IPv4", None, False), ("egress", "IPv6", None, False)}
FROM_ITSELF = {("ingress", "IPv4", None, True), ("ingress", "IPv6", None, True)}


def default_group(client: ApiClient) -> dict[str, Any]:
    [found] = client.get(f"{BASE}/security-groups", name="default").body["security_groups"]
    return dict(found)


def new_group(client: ApiClient, name: str) -> dict[str, Any]:
    answer = client.post(f"{BASE}/security-groups", {"security_group": {"name": name}})
    assert answer.status == 201, answer
    return dict(answer.body["security_group"])


def test_groups_begin_as_neutrons_do(cloud: ApiCloud) -> None:
    rules = cloud.reader.get(PATH, used_in_non_default_sg=True).body[f"{NOUN}s"]
    assert [(each["direction"], each["used_in_default_sg"]) for each in rules] == [("egress", True)] * 2
    rules = cloud.reader.get(PATH, direction="ingress").body[f"{NOUN}s"]
    assert {(each["ethertype"], each["remote_group_id"], each["used_in_non_default_sg"]) for each in rules} == {
        ("IPv4", "PARENT", False),
        ("IPv6", "PARENT", False),
    }
    assert doors(default_group(cloud.member)) == OUT | FROM_ITSELF


def test_an_administrator_says_what_new_groups_begin_with(cloud: ApiCloud) -> None:
    before = new_group(cloud.member, "before")
    rule = added(cloud, description="log in")
    assert (rule["used_in_default_sg"], rule["used_in_non_default_sg"], rule["ethertype"]) == (False, True, "IPv4")
    assert "project_id" not in rule
    inside = ("ingress", "IPv4", 22, False)
    made = new_group(cloud.member, "after")
    assert doors(made) == {*OUT, inside}
    assert {each["description"] for each in made["security_group_rules"] if each["port_range_min"]} == {"log in"}
    assert doors(default_group(cloud.member)) == OUT | FROM_ITSELF
    again = cloud.member.get(f"{BASE}/security-groups/{before['id']}").body["security_group"]
    assert doors(again) == OUT
    added(cloud, used_in_default_sg=True, used_in_non_default_sg=False)
    assert doors(default_group(cloud.other)) == {*OUT, *FROM_ITSELF, inside}


def test_a_group_may_begin_with_nothing(cloud: ApiCloud) -> None:
    for each in cloud.admin.get(PATH).body[f"{NOUN}s"]:
        assert cloud.admin.delete(f"{PATH}/{each['id']}").status == 204
        refused(cloud.admin.get(f"{PATH}/{each['id']}"), 404, "DefaultSecurityGroupRuleNotFound")
    assert new_group(cloud.member, "bare")["security_group_rules"] == []
    assert default_group(cloud.member)["security_group_rules"] == []


def test_members_look_and_administrators_change(cloud: ApiCloud) -> None:
    refused(attempt(cloud.member), 403, "PolicyNotAuthorized")
    rule = added(cloud)
    assert cloud.member.get(f"{PATH}/{rule['id']}").body == {NOUN: rule}
    refused(cloud.member.delete(f"{PATH}/{rule['id']}"), 403, "PolicyNotAuthorized")


def test_what_two_rules_would_say_twice_is_refused(cloud: ApiCloud) -> None:
    one = added(cloud, used_in_default_sg=True)
    for flags in ({}, {"used_in_default_sg": True, "used_in_non_default_sg": False}):
        sentence = refused(attempt(cloud.admin, **flags), 409, "DefaultSecurityGroupRuleExists")
        assert one["id"] in sentence
    added(cloud, port_range_max=23)


def test_what_no_rule_could_be_is_refused(cloud: ApiCloud) -> None:
    refused(attempt(cloud.admin, port_range_max=21), 400, "SecurityGroupInvalidPortRange")
    refused(attempt(cloud.admin, remote_ip_prefix="2001:db8::/32"), 400, "SecurityGroupRuleParameterConflict")
    assert "PARENT" in refused(attempt(cloud.admin, remote_group_id="other"), 400, "InvalidInput")
    assert "remote_ip_prefix" in refused(attempt(cloud.admin, remote_address_group_id="g"), 400, "InvalidInput")
