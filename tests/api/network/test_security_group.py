"""Security groups, their rules and address groups, as Neutron's clients know them."""

from typing import Any

from tests.api.client import Answer, ApiClient
from tests.api.cloud import ApiCloud

GROUPS, RULES, ADDRESSES = (
    f"/network/v2.0/{name}" for name in ("security-groups", "security-group-rules", "address-groups")
)
NOWHERE = "11111111-2222-4333-8444-555555555555"


TCP, ICMP = {"protocol": "tcp"}, {"protocol": "icmp"}
REFUSED: list[tuple[dict[str, Any], int, str, str]] = [
    ({"protocol": "bad_protocol_name"}, 400, "SecurityGroupRuleInvalidProtocol", "bad_protocol_name"),
    ({"protocol": 256}, 400, "SecurityGroupRuleInvalidProtocol", "256"),
    ({"protocol": True}, 400, "SecurityGroupRuleInvalidProtocol", "True"),
    ({"ethertype": "bad"}, 400, "SecurityGroupRuleInvalidEtherType", "bad"),
    ({"direction": "sideways"}, 400, "BadRequest", "direction"),
    ({**TCP, "port_range_min": -16, "port_range_max": 80}, 400, "SecurityGroupInvalidPortValue", "port -16"),
    ({**TCP, "port_range_min": 80, "port_range_max": 65536}, 400, "SecurityGroupInvalidPortValue", "port 65536"),
    ({**TCP, "port_range_min": 0, "port_range_max": 9}, 400, "SecurityGroupInvalidPortValue", "port 0"),
    ({**TCP, "port_range_min": 80, "port_range_max": 79}, 400, "SecurityGroupInvalidPortRange", "must be <="),
    ({**TCP, "port_range_max": 6}, 400, "SecurityGroupInvalidPortRange", "port_range_min must be <= port_range_max"),
    ({"port_range_min": 6}, 400, "SecurityGroupProtocolRequiredWithPorts", "protocol"),
    ({"protocol": "gre", "port_range_min": 6}, 400, "SecurityGroupInvalidProtocolForPort", "47"),
    ({**ICMP, "port_range_min": 1, "port_range_max": 256}, 400, "SecurityGroupInvalidIcmpValue", "value for ICMP code"),
    ({**ICMP, "port_range_min": 300}, 400, "SecurityGroupInvalidIcmpValue", "Invalid value for ICMP type"),
    ({**ICMP, "port_range_max": 6}, 400, "SecurityGroupMissingIcmpType", "ICMP type (port-range-min) is missing"),
    ({"protocol": "ipv6-icmp"}, 400, "SecurityGroupEthertypeConflictWithProtocol", "IPv4"),
    ({"remote_ip_prefix": "192.168.1./24"}, 400, "InvalidCIDR", "192.168.1./24"),
    ({"remote_ip_prefix": "192.168.1.1/33"}, 400, "InvalidCIDR", "/33"),
    ({"remote_ip_prefix": "256"}, 400, "InvalidCIDR", "256"),
    ({"remote_ip_prefix": "2001:db8::/32"}, 400, "SecurityGroupRuleParameterConflict", "Conflicting value ethertype"),
    ({"remote_group_id": "bad_group_id"}, 404, "SecurityGroupNotFound", "bad_group_id"),
    ({"remote_group_id": NOWHERE}, 404, "SecurityGroupNotFound", NOWHERE),
    ({"remote_address_group_id": NOWHERE}, 404, "AddressGroupNotFound", NOWHERE),
]


def make_group(client: ApiClient, name: str = "web", **more: Any) -> dict[str, Any]:
    answer = client.post(GROUPS, {"security_group": {"name": name, **more}})
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.body["security_group"]
    return made


def rule(client: ApiClient, group: str, **more: Any) -> Answer:
    wanted = {"security_group_id": group, "direction": "ingress", **more}
    return client.post(RULES, {"security_group_rule": wanted})


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.body["NeutronError"]["type"]


def test_a_project_has_its_default_group_from_its_first_look_on(cloud: ApiCloud) -> None:
    # A reader may look, and what it looks at is made.
    [default] = cloud.reader.get(GROUPS).body["security_groups"]
    assert (default["name"], default["project_id"], default["stateful"]) == ("default", cloud.project_id("demo"), True)
    assert default["tenant_id"] == default["project_id"]
    shown = {
        (each["direction"], each["ethertype"], each["remote_group_id"]) for each in default["security_group_rules"]
    }
    assert shown == {
        ("egress", "IPv4", None),
        ("egress", "IPv6", None),
        ("ingress", "IPv4", default["id"]),
        ("ingress", "IPv6", default["id"]),
    }
    assert all(each["belongs_to_default_sg"] for each in default["security_group_rules"])
    assert [each["id"] for each in cloud.member.get(GROUPS).body["security_groups"]] == [default["id"]]
    [others] = cloud.other.get(GROUPS).body["security_groups"]
    assert others["id"] != default["id"]
    assert cloud.other.get(f"{GROUPS}/{default['id']}").status == 404


def test_a_default_group_keeps_its_name_and_its_project(cloud: ApiCloud) -> None:
    [default] = cloud.member.get(GROUPS).body["security_groups"]
    path = f"{GROUPS}/{default['id']}"
    assert refusal(cloud.member.put(path, {"security_group": {"name": "mine"}})) == (
        409,
        "SecurityGroupCannotUpdateDefault",
    )
    assert refusal(cloud.member.delete(path)) == (409, "SecurityGroupCannotRemoveDefault")
    for name in ("default", "Default"):
        refused = cloud.member.post(GROUPS, {"security_group": {"name": name}})
        assert refusal(refused) == (409, "SecurityGroupDefaultAlreadyExists")
    web = make_group(cloud.member)
    renamed = cloud.member.put(f"{GROUPS}/{web['id']}", {"security_group": {"name": "default"}})
    assert refusal(renamed) == (409, "SecurityGroupDefaultAlreadyExists")
    assert cloud.member.put(path, {"security_group": {"description": "ours"}}).status == 200
    assert cloud.admin.delete(path).status == 204


def test_a_group_is_made_changed_and_deleted(cloud: ApiCloud) -> None:
    web = make_group(cloud.member, description="front", stateful=False)
    assert {(each["direction"], each["ethertype"]) for each in web["security_group_rules"]} == {
        ("egress", "IPv4"),
        ("egress", "IPv6"),
    }
    assert (web["stateful"], web["shared"], web["revision_number"], web["tags"]) == (False, False, 0, [])
    path = f"{GROUPS}/{web['id']}"
    assert cloud.member.get(path).body["security_group"] == web
    changed = cloud.member.put(path, {"security_group": {"name": "site", "stateful": True}}).body["security_group"]
    assert (changed["name"], changed["stateful"], changed["description"]) == ("site", True, "front")
    assert changed["revision_number"] == 1
    stale = cloud.member.with_headers(if_match="revision_number=0").put(path, {"security_group": {"name": "x"}})
    assert stale.status == 412
    assert cloud.reader.put(path, {"security_group": {"name": "x"}}).status == 403
    assert cloud.other.put(path, {"security_group": {"name": "x"}}).status == 404
    assert cloud.member.delete(path).status == 204
    assert refusal(cloud.member.get(path)) == (404, "SecurityGroupNotFound")
    assert refusal(cloud.member.delete(path)) == (404, "SecurityGroupNotFound")


def test_groups_are_listed_by_one_statement(cloud: ApiCloud) -> None:
    cloud.member.get(GROUPS)
    for number in range(3):
        make_group(cloud.member, f"g{number}")
    few = cloud.member.get(f"{GROUPS}?sort_key=name")
    for number in range(3, 6):
        make_group(cloud.member, f"g{number}")
    many = cloud.member.get(f"{GROUPS}?sort_key=name&sort_dir=desc")
    assert [each["name"] for each in few.body["security_groups"]] == ["default", "g0", "g1", "g2"]
    assert [each["name"] for each in many.body["security_groups"]][:2] == ["g5", "g4"]
    assert few.statements == many.statements
    assert many.statements <= 3
    found = cloud.member.get(f"{GROUPS}?name=g1&fields=name&fields=stateful").body["security_groups"]
    assert found == [{"name": "g1", "stateful": True}]


def test_a_rule_is_made_shown_and_deleted(cloud: ApiCloud) -> None:
    web = make_group(cloud.member)
    made = rule(cloud.member, web["id"], protocol="tcp", port_range_min=22, port_range_max="22",
                remote_ip_prefix="192.0.2.7/24", description="ssh")  # fmt: skip
    assert made.status == 201
    shown = made.body["security_group_rule"]
    assert {name: shown[name] for name in ("protocol", "port_range_min", "port_range_max", "ethertype")} == {
        "protocol": "tcp",
        "port_range_min": 22,
        "port_range_max": 22,
        "ethertype": "IPv4",
    }
    assert (shown["remote_ip_prefix"], shown["normalized_cidr"]) == ("192.0.2.7/24", "192.0.2.0/24")
    assert (shown["remote_group_id"], shown["description"], shown["belongs_to_default_sg"]) == (None, "ssh", False)
    path = f"{RULES}/{shown['id']}"
    assert cloud.reader.get(path).body["security_group_rule"] == shown
    assert shown in cloud.member.get(f"{RULES}?security_group_id={web['id']}").body["security_group_rules"]
    group = cloud.member.get(f"{GROUPS}/{web['id']}").body["security_group"]
    assert shown in group["security_group_rules"]
    assert group["revision_number"] == 1
    assert cloud.reader.delete(path).status == 403
    assert cloud.other.delete(path).status == 404
    assert cloud.member.delete(path).status == 204
    assert refusal(cloud.member.get(path)) == (404, "SecurityGroupRuleNotFound")


def test_rules_take_what_neutron_takes(cloud: ApiCloud) -> None:
    web, db = make_group(cloud.member), make_group(cloud.member, "db")
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"protocol": 17}, {"protocol": "17"}),
        ({"protocol": "any"}, {"protocol": None}),
        ({"ethertype": "ipv6", "protocol": "icmp"}, {"ethertype": "IPv6", "protocol": "ipv6-icmp"}),
        ({"ethertype": "IPv6", "protocol": 1, "port_range_min": 3}, {"protocol": "58", "port_range_min": 3}),
        ({"protocol": "icmp", "port_range_min": 0, "port_range_max": 0}, {"port_range_min": 0, "port_range_max": 0}),
        ({"protocol": "icmp", "port_range_min": 11}, {"port_range_min": 11, "port_range_max": None}),
        ({"protocol": "tcp", "port_range_min": 1, "port_range_max": 65535}, {"port_range_min": None}),
        ({"protocol": "udp", "remote_group_id": db["id"]}, {"remote_group_id": db["id"], "remote_ip_prefix": None}),
        ({"protocol": "sctp", "remote_ip_prefix": "192.0.2.9"}, {"remote_ip_prefix": "192.0.2.9/32"}),
        ({"direction": "egress", "protocol": "vrrp"}, {"direction": "egress", "protocol": "vrrp"}),
    ]
    for wanted, expected in cases:
        answer = rule(cloud.member, web["id"], **wanted)
        assert answer.status == 201, (wanted, answer.body)
        shown = answer.body["security_group_rule"]
        assert {name: shown[name] for name in expected} == expected


def test_rules_that_cannot_be_are_refused_by_neutrons_names(cloud: ApiCloud) -> None:
    web = make_group(cloud.member)
    for wanted, status, kind, said in REFUSED:
        answer = rule(cloud.member, web["id"], **wanted)
        assert refusal(answer) == (status, kind), wanted
        assert said in answer.body["NeutronError"]["message"]
    several = {"remote_ip_prefix": "192.0.2.0/24", "remote_group_id": web["id"]}
    assert refusal(rule(cloud.member, web["id"], **several)) == (400, "SecurityGroupMultipleRemoteEntites")
    assert refusal(rule(cloud.member, NOWHERE)) == (404, "SecurityGroupNotFound")
    assert rule(cloud.reader, web["id"]).status == 403
    assert refusal(rule(cloud.other, web["id"])) == (404, "SecurityGroupNotFound")


def test_rules_come_together_and_none_twice(cloud: ApiCloud) -> None:
    web, db = make_group(cloud.member), make_group(cloud.member, "db")
    ssh = {
        "security_group_id": web["id"],
        "direction": "ingress",
        "protocol": "tcp",
        "port_range_min": 22,
        "port_range_max": 22,
    }
    http = {**ssh, "port_range_min": 80, "port_range_max": 80}
    made = cloud.member.post(RULES, {"security_group_rules": [ssh, http]})
    assert (made.status, len(made.body["security_group_rules"])) == (201, 2)
    again = cloud.member.post(RULES, {"security_group_rule": {**ssh, "protocol": "6"}})
    assert refusal(again) == (409, "SecurityGroupRuleExists")
    assert made.body["security_group_rules"][0]["id"] in again.body["NeutronError"]["message"]
    dns = {**ssh, "protocol": "udp", "port_range_min": 53, "port_range_max": 53}
    for wanted, status, kind in (
        ([dns, dns], 409, "DuplicateSecurityGroupRuleInPost"),
        ([dns, {**dns, "security_group_id": db["id"]}], 400, "SecurityGroupNotSingleGroupRules"),
        ([dns, ssh], 409, "SecurityGroupRuleExists"),
    ):
        assert refusal(cloud.member.post(RULES, {"security_group_rules": wanted})) == (status, kind)
    assert len(cloud.member.get(f"{GROUPS}/{web['id']}").body["security_group"]["security_group_rules"]) == 4


def test_a_project_has_as_many_rules_as_its_quota_allows(cloud: ApiCloud) -> None:
    web = make_group(cloud.member)
    rules = [
        {"security_group_id": web["id"], "direction": "ingress", "protocol": "tcp", "port_range_min": port,
         "port_range_max": port}
        for port in range(1, 101)
    ]  # fmt: skip
    refused = cloud.member.post(RULES, {"security_group_rules": rules})
    assert refusal(refused) == (409, "OverQuota")
    assert "security_group_rule" in refused.body["NeutronError"]["message"]
    allowed = cloud.member.post(RULES, {"security_group_rules": rules[:90]})
    assert allowed.status == 201
    assert allowed.statements <= 20
    assert refusal(cloud.member.post(RULES, {"security_group_rules": rules[90:]})) == (409, "OverQuota")


def test_an_administrator_makes_groups_for_others(cloud: ApiCloud) -> None:
    demo = cloud.project_id("demo")
    theirs = make_group(cloud.admin, tenant_id=demo)
    assert theirs["project_id"] == demo
    assert cloud.member.get(f"{GROUPS}/{theirs['id']}").status == 200
    refused = cloud.other.post(GROUPS, {"security_group": {"name": "x", "project_id": demo}})
    assert refused.status == 400
    assert "admin privileges" in refused.body["NeutronError"]["message"]


def test_an_administrator_who_asks_for_a_projects_groups_sees_its_default_group(cloud: ApiCloud) -> None:
    project = cloud.project_id("other")
    found = cloud.admin.get(GROUPS, project_id=project).body["security_groups"]
    assert [(each["name"], each["project_id"]) for each in found] == [("default", project)]
    assert cloud.admin.get(GROUPS, project_id="nobody").body["security_groups"] == []


def test_address_groups_hold_ranges_that_rules_name(cloud: ApiCloud) -> None:
    made = cloud.member.post(
        ADDRESSES, {"address_group": {"name": "office", "addresses": ["192.0.2.9/24", "2001:db8::1/128"]}}
    )
    assert made.status == 201
    group = made.body["address_group"]
    assert group["addresses"] == ["192.0.2.0/24", "2001:db8::1/128"]
    path = f"{ADDRESSES}/{group['id']}"
    more = cloud.member.put(f"{path}/add_addresses", {"addresses": ["198.51.100.7/32"]})
    assert more.body["address_group"]["addresses"] == ["192.0.2.0/24", "2001:db8::1/128", "198.51.100.7/32"]
    assert refusal(cloud.member.put(f"{path}/add_addresses", {"addresses": ["192.0.2.0/24"]})) == (
        400,
        "AddressesAlreadyExist",
    )
    assert refusal(cloud.member.put(f"{path}/remove_addresses", {"addresses": ["10.0.0.0/8"]})) == (
        404,
        "AddressesNotFound",
    )
    fewer = cloud.member.put(f"{path}/remove_addresses", {"addresses": ["2001:db8::1/128"]}).body["address_group"]
    assert (fewer["addresses"], fewer["revision_number"]) == (["192.0.2.0/24", "198.51.100.7/32"], 2)
    bare = cloud.member.post(ADDRESSES, {"address_group": {"addresses": ["192.0.2.7"]}})
    assert refusal(bare) == (400, "InvalidInput")
    assert refusal(cloud.member.put(f"{path}/remove_addresses", {"addresses": ["10.0.0.7"]})) == (
        404,
        "AddressesNotFound",
    )
    for wrong in ("nowhere", "192.0.2.0/33"):
        assert refusal(cloud.member.put(f"{path}/add_addresses", {"addresses": [wrong]})) == (400, "InvalidInput")

    web = make_group(cloud.member)
    named = rule(cloud.member, web["id"], remote_address_group_id=group["id"])
    assert named.body["security_group_rule"]["remote_address_group_id"] == group["id"]
    assert refusal(cloud.member.delete(path)) == (409, "AddressGroupInUse")
    cloud.member.delete(f"{RULES}/{named.body['security_group_rule']['id']}")
    assert [each["name"] for each in cloud.reader.get(ADDRESSES).body["address_groups"]] == ["office"]
    assert cloud.other.get(ADDRESSES).body["address_groups"] == []
    assert refusal(cloud.other.delete(path)) == (404, "AddressGroupNotFound")
    assert cloud.reader.delete(path).status == 403
    assert cloud.member.delete(path).status == 204
