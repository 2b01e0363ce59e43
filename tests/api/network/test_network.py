"""Networks: what they are made of, who sees them, and in which form requests and answers come."""

from typing import Any

import pytest

from tests.api.cloud import ApiCloud
from tests.api.network.calls import BASE, change, delete, listed, make, refused, show, try_make

SITE = {"provider__network_type": "vlan", "provider__physical_network": "site"}


def test_a_network_of_a_project_is_an_overlay_without_details(cloud: ApiCloud) -> None:
    made = make(cloud.member, "network", name="inside", description="d")
    assert made["project_id"] == made["tenant_id"] == cloud.project_id("demo")
    assert (made["name"], made["status"], made["mtu"], made["shared"], made["subnets"]) == (
        "inside", "ACTIVE", 1442, False, [],
    )  # fmt: skip
    assert not [name for name in made if name.startswith("provider:")]
    seen = show(cloud.admin, "network", made["id"])
    assert seen["provider:network_type"] == "geneve"
    assert 1 <= seen["provider:segmentation_id"] <= 1000
    assert seen["provider:physical_network"] is None


def test_an_administrator_names_the_segment(cloud: ApiCloud) -> None:
    made = make(cloud.admin, "network", provider__segmentation_id="200", **SITE)
    assert (made["provider:segmentation_id"], made["mtu"]) == (200, 9000)
    refused(try_make(cloud.admin, "network", provider__segmentation_id=200, **SITE), 409, "VlanIdInUse")
    other = make(cloud.admin, "network", provider__segmentation_id=200, provider__network_type="vlan",
                 provider__physical_network="lab")  # fmt: skip
    assert other["mtu"] == 1500
    assert delete(cloud.admin, "network", made["id"]).status == 204
    make(cloud.admin, "network", provider__segmentation_id=200, **SITE)


def test_vlans_are_taken_from_the_settings_until_none_is_left(cloud: ApiCloud) -> None:
    made = [make(cloud.admin, "network", **SITE) for _ in range(4)]
    assert {each["provider:segmentation_id"] for each in made} == {100, 101, 102, 103}
    refused(try_make(cloud.admin, "network", **SITE), 503, "NoNetworkAvailable")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({**SITE, "provider__segmentation_id": 4095}, "4094"),
        ({**SITE, "provider__segmentation_id": 0}, "4094"),
        ({"provider__network_type": "vlan"}, "physical_network required"),
        ({"provider__network_type": "vlan", "provider__physical_network": "none"}, "site, lab"),
        ({"provider__network_type": "flat", "provider__physical_network": "lab"}, "no flat"),
        ({**SITE, "provider__network_type": "flat", "provider__segmentation_id": 1}, "flat"),
        ({"provider__network_type": "geneve", "provider__physical_network": "site"}, "geneve"),
        ({"provider__network_type": "vxlan"}, "not supported"),
        ({"provider__segmentation_id": 7}, "network_type required"),
        ({"mtu": 1443}, "1442"),
        ({"mtu": -1}, "mtu"),
        ({"dns_domain": "no dot"}, "dns_domain"),
        ({"admin_state_up": "maybe"}, "admin_state_up"),
    ],
)  # fmt: skip
def test_what_the_site_cannot_have_is_refused(cloud: ApiCloud, fields: dict[str, Any], words: str) -> None:
    assert words in refused(try_make(cloud.admin, "network", **fields), 400, "InvalidInput")


@pytest.mark.parametrize("field", ["shared", "router__external", "is_default", "provider__network_type", "segments"])
def test_members_leave_what_concerns_all_to_administrators(cloud: ApiCloud, field: str) -> None:
    value: Any = {"segments": [{}], "provider__network_type": "flat"}.get(field, True)
    refused(try_make(cloud.member, "network", **{field: value}), 403, "PolicyNotAuthorized")


def test_members_may_say_what_would_be_so_anyway(cloud: ApiCloud) -> None:
    make(cloud.member, "network", shared=False, router__external=False, provider__network_type=None)
    pool = make(cloud.member, "subnetpool", name="p", prefixes=["10.0.0.0/8"], shared=False, is_default=False)
    refused(change(cloud.member, "subnetpool", pool["id"], is_default=False), 403, "PolicyNotAuthorized")


def test_another_projects_network_is_absent(cloud: ApiCloud) -> None:
    made = make(cloud.member, "network")
    for answer in (
        cloud.other.get(f"{BASE}/networks/{made['id']}"),
        change(cloud.other, "network", made["id"], name="mine"),
        delete(cloud.other, "network", made["id"]),
    ):
        refused(answer, 404, "NetworkNotFound")
    assert listed(cloud.other, "network") == []
    refused(try_make(cloud.other, "network", project_id=cloud.project_id("demo")), 400, "HTTPBadRequest")
    refused(change(cloud.reader, "network", made["id"], name="x"), 403, "PolicyNotAuthorized")


def test_a_shared_network_is_seen_and_used_by_all_and_changed_by_its_own(cloud: ApiCloud) -> None:
    made = make(cloud.admin, "network", shared=True)
    assert show(cloud.member, "network", made["id"])["shared"] is True
    assert [each["id"] for each in listed(cloud.member, "network", shared=True)] == [made["id"]]
    refused(change(cloud.member, "network", made["id"], name="x"), 403, "PolicyNotAuthorized")
    port = make(cloud.member, "port", network_id=made["id"])
    sentence = refused(change(cloud.admin, "network", made["id"], shared=False), 409, "InvalidSharedSetting")
    assert cloud.project_id("demo") in sentence
    assert delete(cloud.member, "port", port["id"]).status == 204
    assert change(cloud.admin, "network", made["id"], shared=False).body["network"]["shared"] is False
    assert listed(cloud.member, "network") == []


def test_an_external_network_is_seen_and_gives_no_ports(cloud: ApiCloud) -> None:
    made = make(cloud.admin, "network", router__external=True)
    assert [each["id"] for each in listed(cloud.member, "network", **{"router:external": True})] == [made["id"]]
    refused(try_make(cloud.member, "port", network_id=made["id"]), 403, "ExternalNetworkAttachForbidden")
    make(cloud.admin, "port", network_id=made["id"])


def test_one_external_network_is_the_default(cloud: ApiCloud) -> None:
    first = make(cloud.admin, "network", router__external=True, is_default=True)
    again = {"router__external": True, "is_default": True}
    assert first["id"] in refused(try_make(cloud.admin, "network", **again), 409, "DefaultExternalNetworkExists")
    second = make(cloud.admin, "network", router__external=True)
    refused(change(cloud.admin, "network", second["id"], is_default=True), 409, "DefaultExternalNetworkExists")
    assert change(cloud.admin, "network", first["id"], is_default=False).status == 200
    assert change(cloud.admin, "network", second["id"], is_default=True).body["network"]["is_default"] is True


def test_changes_grow_the_revision_and_heed_if_match(cloud: ApiCloud) -> None:
    made = make(cloud.member, "network", name="first")
    answer = change(cloud.member, "network", made["id"], name="second", admin_state_up=False)
    assert answer.status == 200
    changed = answer.body["network"]
    assert (changed["name"], changed["admin_state_up"]) == ("second", False)
    assert changed["revision_number"] == made["revision_number"] + 1
    path, body = f"{BASE}/networks/{made['id']}", {"network": {"name": "third"}}
    stale = cloud.member.request("PUT", path, json=body, headers={"If-Match": "revision_number=0"})
    refused(stale, 412, "RevisionNumberConstraintFailed")
    fresh = cloud.member.request("PUT", path, json=body, headers={"If-Match": "revision_number=1"})
    assert fresh.body["network"]["name"] == "third"
    gone = cloud.member.request("DELETE", path, headers={"If-Match": "revision_number=1"})
    refused(gone, 412, "RevisionNumberConstraintFailed")


def test_what_is_no_field_is_refused_by_its_name(cloud: ApiCloud) -> None:
    assert "network.colour" in refused(try_make(cloud.member, "network", colour="red"), 400, "BadRequest")
    bodies: list[dict[str, Any]] = [{}, {"network": {}, "networks": []}, {"networks": []}]
    for body in bodies:
        refused(cloud.member.post(f"{BASE}/networks", body), 400, "BadRequest")


def test_several_come_together_or_not_at_all(cloud: ApiCloud) -> None:
    answer = cloud.member.post(f"{BASE}/networks", {"networks": [{"name": "a"}, {"name": "b"}]})
    assert answer.status == 201
    assert [each["name"] for each in answer.body["networks"]] == ["a", "b"]
    broken = cloud.member.post(f"{BASE}/networks", {"networks": [{"name": "c"}, {"mtu": -1}]})
    refused(broken, 400, "InvalidInput")
    assert sorted(each["name"] for each in listed(cloud.member, "network")) == ["a", "b"]


def test_a_quota_is_kept(cloud: ApiCloud) -> None:
    with cloud.database.write() as store:
        store.network_quota.set(cloud.project_id("demo"), {"network": 1})
    make(cloud.member, "network")
    assert "network" in refused(try_make(cloud.member, "network"), 409, "OverQuota")


def test_lists_are_narrowed_sorted_and_cut(cloud: ApiCloud) -> None:
    for name in ("c", "a", "b", "a"):
        make(cloud.member, "network", name=name)
    assert [each["name"] for each in listed(cloud.member, "network", sort_key="name", sort_dir="desc")] == [
        "c", "b", "a", "a",
    ]  # fmt: skip
    assert len(listed(cloud.member, "network", name=["a", "b"])) == 3
    assert listed(cloud.member, "network", name="a", admin_state_up=False) == []
    assert all(each.keys() == {"id", "name"} for each in listed(cloud.member, "network", fields=["id", "name"]))
    answer = cloud.member.get(f"{BASE}/networks")
    assert answer.statements == 2, "one is the identity's change counter"
    assert listed(cloud.member, "network", changed_since="2999-01-01T00:00:00Z") == []
    assert len(listed(cloud.member, "network", changed_since="2000-01-01T00:00:00Z")) == 4
    wrong: list[dict[str, str]] = [
        {"colour": "red"}, {"changed_since": "now"}, {"sort_key": "colour"}, {"sort_key": "name", "sort_dir": "up"},
        {"limit": "x"}, {"marker": "none"}, {"admin_state_up": "perhaps"},
    ]  # fmt: skip
    for query in wrong:
        assert cloud.member.get(f"{BASE}/networks", **query).status == 400, query


def test_pages_follow_each_other_both_ways(cloud: ApiCloud) -> None:
    for number in range(5):
        make(cloud.member, "network", name=f"n{number}")
    first = cloud.member.get(f"{BASE}/networks", limit=2, sort_key="name", fields="name").body
    seen = [each["name"] for each in first["networks"]]
    link = {each["rel"]: each["href"] for each in first["networks_links"]}
    pages = [seen]
    while "next" in link:
        page = cloud.member.get(link["next"].removeprefix("http://cloud.test")).body
        link = {each["rel"]: each["href"] for each in page.get("networks_links", [])}
        pages.append([each["name"] for each in page["networks"]])
    assert pages == [["n0", "n1"], ["n2", "n3"], ["n4"]]
    back = cloud.member.get(link["previous"].removeprefix("http://cloud.test")).body
    assert [each["name"] for each in back["networks"]] == ["n2", "n3"]


def test_the_page_after_the_last_one_leads_back(cloud: ApiCloud) -> None:
    ids = [make(cloud.member, "network", name=f"n{number}")["id"] for number in range(2)]
    behind = cloud.member.get(f"{BASE}/networks", limit=1, sort_key="name", marker=ids[1]).body
    [link] = behind["networks_links"]
    assert (behind["networks"], link["rel"]) == ([], "previous")
    last = cloud.member.get(link["href"].removeprefix("http://cloud.test")).body
    assert [each["id"] for each in last["networks"]] == [ids[1]]
    links = {each["rel"]: each["href"] for each in last["networks_links"]}
    first = cloud.member.get(links["previous"].removeprefix("http://cloud.test")).body
    assert [each["id"] for each in first["networks"]] == [ids[0]]


def test_each_of_several_may_be_wrapped_and_says_what_is_wrong_with_it(cloud: ApiCloud) -> None:
    answer = cloud.member.post(f"{BASE}/networks", {"networks": [{"network": {"name": "a"}}, {"name": "b"}]})
    assert [each["name"] for each in answer.body["networks"]] == ["a", "b"]
    for body, where in (
        ([{"name": "c"}, {"name": 5}], "networks[1].name"),
        ([{"network": {"colour": "red"}}], "networks[0].network.colour"),
        ([{"colour": "red"}], "networks[0].colour"),
        ([{"network": {"network": {}}}], "networks[0].network.network"),
        ([5], "networks[0]"),
    ):
        assert f"'{where}'" in refused(cloud.member.post(f"{BASE}/networks", {"networks": body}), 400, "BadRequest")


def test_packets_are_not_smaller_than_the_subnets_need(cloud: ApiCloud) -> None:
    network = make(cloud.member, "network", mtu=1000)["id"]
    make(cloud.member, "subnet", network_id=network, ip_version=4, cidr="10.0.0.0/24")
    six = {"network_id": network, "ip_version": 6, "cidr": "2001:db8::/64"}
    assert "1280" in refused(try_make(cloud.member, "subnet", **six), 409, "NetworkMTUSubnetConflict")
    refused(change(cloud.member, "network", network, mtu=67), 409, "NetworkMTUSubnetConflict")
    assert change(cloud.member, "network", network, mtu=1400).status == 200
    make(cloud.member, "subnet", **six)
    refused(change(cloud.member, "network", network, mtu=1279), 409, "NetworkMTUSubnetConflict")


def test_records_are_made_with_their_tags(cloud: ApiCloud) -> None:
    network = make(cloud.member, "network", tags=["blue", "red", "blue"])
    outside = make(cloud.admin, "network", router__external=True)["id"]
    make(cloud.admin, "subnet", network_id=outside, ip_version=4, cidr="203.0.113.0/24")
    port = make(cloud.member, "port", network_id=network["id"], tags=["blue", "red"])
    nouns: dict[str, dict[str, Any]] = {
        "subnet": {"network_id": network["id"], "ip_version": 4, "cidr": "10.0.0.0/24"},
        "subnetpool": {"name": "p", "prefixes": ["10.0.0.0/8"]},
        "router": {},
        "floatingip": {"floating_network_id": outside},
        "trunk": {"port_id": port["id"]},
    }
    made = {noun: make(cloud.member, noun, tags=["blue", "red"], **fields) for noun, fields in nouns.items()}
    group = cloud.member.post(f"{BASE}/security-groups", {"security_group": {"name": "g", "tags": ["blue", "red"]}})
    policy = cloud.admin.post(f"{BASE}/qos/policies", {"policy": {"name": "q", "tags": ["blue", "red"]}})
    made |= {"network": network, "port": port, **group.body, **policy.body}
    assert len(made) == 9
    for noun, record in made.items():
        assert record["tags"] == ["blue", "red"], noun
    assert [each["id"] for each in listed(cloud.member, "network", tags="blue")] == [network["id"]]
    many = [f"tag {number}" for number in range(51)]
    assert "50 tags" in refused(try_make(cloud.member, "network", tags=many), 400, "BadRequest")
    assert try_make(cloud.member, "network", tags=[""]).status == 400


def test_tags_are_set_asked_for_and_removed(cloud: ApiCloud) -> None:
    one, two = make(cloud.member, "network"), make(cloud.member, "network")
    path = f"{BASE}/networks/{one['id']}/tags"
    assert cloud.member.put(path, {"tags": ["red", "blue"]}).body == {"tags": ["blue", "red"]}
    assert cloud.member.put(f"{path}/green").status == 201
    assert cloud.member.get(f"{path}/green").status == 204
    refused(cloud.member.get(f"{path}/gre"), 404, "TagNotFound")
    assert cloud.member.delete(f"{path}/blue").status == 204
    assert cloud.member.get(path).body == {"tags": ["green", "red"]}
    cloud.member.put(f"{BASE}/networks/{two['id']}/tags", {"tags": ["red"]})

    def ids(**query: str) -> set[str]:
        return {each["id"] for each in listed(cloud.member, "network", **query)}

    assert ids(tags="red") == {one["id"], two["id"]}
    assert ids(tags="red,green") == {one["id"]}
    assert ids(**{"tags-any": "green,none"}) == {one["id"]}
    assert ids(**{"not-tags": "red,green"}) == {two["id"]}
    assert ids(**{"not-tags-any": "green"}) == {two["id"]}
    assert ids(tags="Red") == set()
    refused(cloud.other.put(path, {"tags": []}), 404, "NetworkNotFound")
    assert cloud.reader.get(path).status == 200
    refused(cloud.reader.delete(path), 403, "PolicyNotAuthorized")
    assert cloud.member.delete(path).status == 204
    assert show(cloud.member, "network", one["id"])["tags"] == []


def test_segments_are_added_and_taken_away(cloud: ApiCloud) -> None:
    made = make(cloud.admin, "network", provider__segmentation_id=150, **SITE)
    more = make(cloud.admin, "segment", network_id=made["id"], network_type="geneve", name="overlay")
    assert len(show(cloud.admin, "network", made["id"])["segments"]) == 2
    assert show(cloud.admin, "segment", more["id"])["segmentation_id"] == more["segmentation_id"]
    assert {each["network_type"] for each in listed(cloud.admin, "segment", network_id=made["id"])} == {
        "vlan",
        "geneve",
    }
    assert listed(cloud.admin, "network", **{"provider:network_type": "geneve"})[0]["id"] == made["id"]
    refused(cloud.member.get(f"{BASE}/segments"), 403, "PolicyNotAuthorized")
    assert delete(cloud.admin, "segment", more["id"]).status == 204
    [last] = listed(cloud.admin, "segment", network_id=made["id"])
    refused(delete(cloud.admin, "segment", last["id"]), 409, "SegmentInUse")
    assert show(cloud.admin, "network", made["id"])["provider:segmentation_id"] == 150


def test_a_network_in_use_stays(cloud: ApiCloud) -> None:
    made = make(cloud.member, "network")
    make(cloud.member, "subnet", network_id=made["id"], ip_version=4, cidr="10.0.0.0/24")
    port = make(cloud.member, "port", network_id=made["id"])
    assert port["id"] in refused(delete(cloud.member, "network", made["id"]), 409, "NetworkInUse")
    assert delete(cloud.member, "port", port["id"]).status == 204
    assert delete(cloud.member, "network", made["id"]).status == 204
    assert listed(cloud.member, "subnet") == []
    with cloud.database.read() as store:
        assert {(one.unit, one.id) for one in store.network_intent.due(100)} >= {
            ("network", made["id"]), ("port", port["id"]),
        }  # fmt: skip


def test_the_versions_are_told_to_anyone(cloud: ApiCloud) -> None:
    [version] = cloud.anyone.get("/network/").body["versions"]
    assert version["id"] == "v2.0"
    assert version["links"][0]["href"] == "http://cloud.test/network/v2.0/"
    resources = cloud.anyone.get("/network/v2.0/").body["resources"]
    assert {"name": "subnetpool", "collection": "subnetpools"}.items() <= next(
        each for each in resources if each["name"] == "subnetpool"
    ).items()
