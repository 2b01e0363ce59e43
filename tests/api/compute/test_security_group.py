"""Security groups by the Compute API: the Networking API's, in the words that Nova had for them."""

from typing import Any

import pytest

from polyvisor.model.network_settings import NetworkSettings
from tests.api.cloud import ApiCloud
from tests.api.compute.conftest import at
from tests.operate.networks import SETTINGS

GROUPS = "/compute/v2.1/os-security-groups"
RULES = "/compute/v2.1/os-security-group-rules"
NOBODY = "dddddddd-0000-4000-8000-000000000001"


@pytest.fixture
def networking() -> NetworkSettings:
    return SETTINGS


def make(cloud: ApiCloud, name: str = "web", description: str = "what is open") -> dict[str, Any]:
    answer = cloud.member.post(GROUPS, {"security_group": {"name": name, "description": description}})
    assert answer.status == 200, answer
    group: dict[str, Any] = answer.body["security_group"]
    return group


def rule(cloud: ApiCloud, group: str, **fields: Any) -> Any:
    return cloud.member.post(RULES, {"security_group_rule": {"parent_group_id": group, **fields}})


def test_a_group_lives_as_nova_tells_it(cloud: ApiCloud) -> None:
    made = make(cloud)
    assert made == {
        "id": made["id"], "name": "web", "description": "what is open", "tenant_id": cloud.project_id("demo"),
        "rules": [],
    }  # fmt: skip
    assert cloud.member.get(f"{GROUPS}/{made['id']}").body["security_group"] == made
    listed = cloud.member.get(GROUPS)
    assert [group["name"] for group in listed.body["security_groups"]] == ["default", "web"]
    changed = {"security_group": {"name": "site", "description": ""}}
    assert cloud.member.put(f"{GROUPS}/{made['id']}", changed).body["security_group"]["name"] == "site"
    assert cloud.member.delete(f"{GROUPS}/{made['id']}").status == 202
    assert cloud.member.get(f"{GROUPS}/{made['id']}").status == 404


def test_rules_are_for_what_comes_in(cloud: ApiCloud) -> None:
    group = make(cloud)["id"]
    made = rule(cloud, group, ip_protocol="tcp", from_port="22", to_port=22, cidr="192.0.2.0/24")
    assert made.status == 200, made
    shown = made.body["security_group_rule"]
    assert shown == {
        "id": shown["id"], "parent_group_id": group, "ip_protocol": "tcp", "from_port": 22, "to_port": 22,
        "group": {}, "ip_range": {"cidr": "192.0.2.0/24"},
    }  # fmt: skip
    of_group = rule(cloud, group, ip_protocol="icmp", from_port=-1, to_port=-1, group_id=group)
    assert of_group.body["security_group_rule"]["group"] == {"name": "web", "tenant_id": cloud.project_id("demo")}
    assert of_group.body["security_group_rule"]["from_port"] == -1
    with cloud.database.read() as store:
        kept = {each.id: each for each in store.security_group.get(group).rules}
    assert kept[shown["id"]].direction == "ingress"
    assert [each["id"] for each in cloud.member.get(f"{GROUPS}/{group}").body["security_group"]["rules"]] == [
        shown["id"], of_group.body["security_group_rule"]["id"],
    ]  # fmt: skip
    assert cloud.member.delete(f"{RULES}/{shown['id']}").status == 202
    assert len(cloud.member.get(f"{GROUPS}/{group}").body["security_group"]["rules"]) == 1


def test_what_cannot_be_is_refused_with_novas_codes(cloud: ApiCloud) -> None:
    group = make(cloud)["id"]
    [default] = [
        each["id"] for each in cloud.member.get(GROUPS).body["security_groups"] if each["name"] == "default"
    ]  # fmt: skip
    again = {"security_group": {"name": "Default", "description": ""}}
    assert cloud.member.post(GROUPS, again).status == 400
    assert cloud.member.delete(f"{GROUPS}/{default}").status == 400
    assert cloud.member.put(f"{GROUPS}/{default}", {"security_group": {"name": "x", "description": ""}}).status == 400
    assert cloud.member.post(GROUPS, {"security_group": {"name": "", "description": ""}}).status == 400
    assert rule(cloud, group, ip_protocol="tcp", from_port=80, to_port=22).status == 400
    assert rule(cloud, group, ip_protocol="tcp", from_port=1, to_port=2, cidr="192.0.2.0/40").status == 400
    assert rule(cloud, NOBODY, ip_protocol="tcp", from_port=1, to_port=2).status == 404
    assert rule(cloud, group, ip_protocol="tcp", from_port=1, to_port=2, group_id=NOBODY).status == 404
    assert cloud.member.delete(f"{RULES}/{NOBODY}").status == 404


def test_another_projects_groups_look_absent(cloud: ApiCloud) -> None:
    group = make(cloud)["id"]
    made = rule(cloud, group, ip_protocol="udp", from_port=53, to_port=53).body["security_group_rule"]["id"]
    other = cloud.other
    assert other.get(f"{GROUPS}/{group}").status == 404
    assert other.delete(f"{GROUPS}/{group}").status == 404
    assert other.delete(f"{RULES}/{made}").status == 404
    assert cloud.reader.post(GROUPS, {"security_group": {"name": "a", "description": ""}}).status == 403
    assert "web" not in [each["name"] for each in other.get(GROUPS).body["security_groups"]]


def test_a_group_that_is_shared_is_its_owners_to_change(cloud: ApiCloud) -> None:
    group = make(cloud)["id"]
    made = rule(cloud, group, ip_protocol="udp", from_port=53, to_port=53).body["security_group_rule"]["id"]
    with cloud.database.write() as store:
        store.rbac_policy.open_to_all("security_group", group, cloud.project_id("demo"))
        assert store.security_group.get(group, viewer=cloud.project_id("other")).id == group
    other = cloud.other
    changed = {"security_group": {"name": "mine", "description": ""}}
    opened = {"security_group_rule": {"parent_group_id": group, "ip_protocol": "tcp", "from_port": 1, "to_port": 2}}
    assert other.put(f"{GROUPS}/{group}", changed).status == 404
    assert other.post(RULES, opened).status == 404
    assert other.delete(f"{RULES}/{made}").status == 404
    assert other.delete(f"{GROUPS}/{group}").status == 404
    assert [each["id"] for each in cloud.member.get(f"{GROUPS}/{group}").body["security_group"]["rules"]] == [made]


def test_it_ends_with_2_35(cloud: ApiCloud) -> None:
    assert at(cloud.member, "2.35").get(GROUPS).status == 200
    assert at(cloud.member, "2.36").get(GROUPS).status == 404
