"""Projects and their tags."""

import pytest

from tests.api.cloud import ApiCloud

V3 = "/identity/v3"
PROJECTS = f"{V3}/projects"


def make(cloud: ApiCloud, name: str, **more: object) -> dict[str, object]:
    answer = cloud.admin.post(PROJECTS, {"project": {"name": name, **more}})
    assert answer.status == 201, answer
    made: dict[str, object] = answer.body["project"]
    return made


def names(cloud: ApiCloud, **query: object) -> list[str]:
    return [project["name"] for project in cloud.admin.get(PROJECTS, **query).body["projects"]]


def test_a_project_is_made_shown_changed_and_deleted(cloud: ApiCloud) -> None:
    made = make(cloud, "trading", description="Trades")
    path = f"{PROJECTS}/{made['id']}"
    assert made == {
        "id": made["id"], "name": "trading", "domain_id": "default", "parent_id": "default", "description": "Trades",
        "enabled": True, "is_domain": False, "tags": [], "options": {}, "links": {"self": f"http://cloud.test{path}"},
    }  # fmt: skip
    assert cloud.admin.get(path).body["project"] == made
    changed = cloud.admin.patch(path, {"project": {"name": "desk", "description": None}}).body["project"]
    assert (changed["name"], changed["description"]) == ("desk", "")
    assert cloud.admin.delete(path).status == 204
    assert cloud.admin.get(path).status == 404
    assert cloud.admin.delete(path).status == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "project.name"),
        ({"name": ""}, "project.name"),
        ({"name": "   "}, "project.name"),
        ({"name": "x" * 65}, "project.name"),
        ({"name": "x", "enabled": "yes"}, "project.enabled"),
        ({"name": "x", "is_domain": True}, "project.is_domain"),
        ({"name": "x", "tags": ["a,b"]}, "project.tags"),
    ],
)
def test_a_wrong_field_is_named(cloud: ApiCloud, body: object, field: str) -> None:
    answer = cloud.admin.post(PROJECTS, {"project": body})
    assert answer.status == 400
    assert field in answer.body["error"]["message"]


def test_a_clients_own_attributes_are_kept(cloud: ApiCloud) -> None:
    made = make(cloud, "trading", cost_center="4711", owner={"mail": "ada@bank.test"}, id="chosen", links={})
    path = f"{PROJECTS}/{made['id']}"
    assert made["id"] != "chosen"
    assert (made["cost_center"], made["owner"]) == ("4711", {"mail": "ada@bank.test"})
    changed = cloud.admin.patch(path, {"project": {"cost_center": "4712", "owner": None}}).body["project"]
    assert changed["cost_center"] == "4712"
    assert "owner" not in changed
    assert cloud.admin.get(path).body["project"] == changed
    assert cloud.admin.patch(path, {"project": {"x" * 256: 1}}).status == 400


def test_a_name_is_taken_once_in_each_domain(cloud: ApiCloud) -> None:
    make(cloud, "trading")
    assert cloud.admin.post(PROJECTS, {"project": {"name": "trading"}}).status == 409
    elsewhere = cloud.admin.post(f"{V3}/domains", {"domain": {"name": "elsewhere"}}).body["domain"]
    make(cloud, "trading", domain_id=elsewhere["id"])
    desk = make(cloud, "desk")
    assert cloud.admin.patch(f"{PROJECTS}/{desk['id']}", {"project": {"name": "trading"}}).status == 409


def test_projects_form_a_tree(cloud: ApiCloud) -> None:
    top = make(cloud, "top")
    middle = make(cloud, "middle", parent_id=top["id"])
    low = make(cloud, "low", parent_id=middle["id"])
    assert low["parent_id"] == middle["id"]
    shown = cloud.admin.get(f"{PROJECTS}/{middle['id']}?parents_as_list&subtree_as_list").body["project"]
    assert [one["project"]["name"] for one in shown["parents"]] == ["top"]
    assert [one["project"]["name"] for one in shown["subtree"]] == ["low"]
    shown = cloud.admin.get(f"{PROJECTS}/{low['id']}?parents_as_ids").body["project"]
    assert shown["parents"] == {middle["id"]: {top["id"]: {"default": None}}}
    shown = cloud.admin.get(f"{PROJECTS}/{top['id']}?subtree_as_ids").body["project"]
    assert shown["subtree"] == {middle["id"]: {low["id"]: None}}
    assert names(cloud, parent_id=top["id"]) == ["middle"]
    assert "top" in names(cloud, parent_id="default")
    assert cloud.admin.delete(f"{PROJECTS}/{top['id']}").status == 409
    assert cloud.admin.patch(f"{PROJECTS}/{top['id']}", {"project": {"enabled": False}}).status == 409
    assert cloud.admin.patch(f"{PROJECTS}/{low['id']}", {"project": {"parent_id": top["id"]}}).status == 400


def test_lists_are_filtered_and_paged(cloud: ApiCloud) -> None:
    for name in ("a1", "a2", "a3"):
        make(cloud, name, enabled=name != "a2", tags=["even"] if name == "a2" else ["odd", name])
    assert names(cloud, name="a1") == ["a1"]
    assert names(cloud, enabled="false") == ["a2"]
    assert names(cloud, tags="odd,a3") == ["a3"]
    assert names(cloud, **{"tags-any": "even,a3"}) == ["a2", "a3"]
    assert not {"a1", "a3"} & set(names(cloud, **{"not-tags-any": "odd"}))
    assert "a1" in names(cloud, **{"not-tags": "odd,a3"})
    assert names(cloud, domain_id="nowhere") == []
    assert cloud.admin.get(PROJECTS, color="red").status == 400
    page = cloud.admin.get(PROJECTS, limit=2).body
    assert page["links"]["next"].startswith(f"http://cloud.test{PROJECTS}?limit=2&marker=")
    seen = list(page["projects"])
    while page["links"]["next"]:
        page = cloud.admin.get(page["links"]["next"].removeprefix("http://cloud.test")).body
        seen += page["projects"]
    assert [one["name"] for one in seen] == names(cloud)
    assert cloud.admin.get(PROJECTS, marker="nothing").status == 400


def test_a_list_takes_the_same_statements_however_long_it_is(cloud: ApiCloud) -> None:
    short = cloud.admin.get(PROJECTS).statements
    for number in range(20):
        make(cloud, f"many-{number}")
    cloud.admin.get(PROJECTS)
    assert cloud.admin.get(PROJECTS).statements <= short
    assert cloud.admin.get(PROJECTS).statements == 2


def test_tags_are_kept_one_by_one_or_all_at_once(cloud: ApiCloud) -> None:
    tags = f"{PROJECTS}/{make(cloud, 'tagged')['id']}/tags"
    assert cloud.admin.put(tags, {"tags": ["b", "a", "b"]}).body == {"tags": ["a", "b"]}
    assert cloud.admin.put(f"{tags}/c").status == 201
    assert cloud.admin.get(tags).body == {"tags": ["a", "b", "c"]}
    assert cloud.admin.get(f"{tags}/c").status == 204
    assert cloud.admin.delete(f"{tags}/c").status == 204
    assert cloud.admin.get(f"{tags}/c").status == 404
    assert cloud.admin.delete(f"{tags}/c").status == 404
    assert cloud.admin.put(f"{tags}/x%2Cy").status == 400
    assert cloud.admin.put(tags, {"tags": [str(number) for number in range(81)]}).status == 400
    assert cloud.admin.delete(tags).status == 204
    assert cloud.admin.get(tags).body == {"tags": []}
    assert cloud.member.put(f"{tags}/mine").status == 403


def test_a_member_sees_its_own_project_and_learns_nothing_of_others(cloud: ApiCloud) -> None:
    own = f"{PROJECTS}/{cloud.project_id('demo')}"
    assert cloud.member.get(own).status == 200
    foreign = cloud.member.get(f"{PROJECTS}/{cloud.project_id('other')}")
    missing = cloud.member.get(f"{PROJECTS}/{'0' * 32}")
    assert (foreign.status, foreign.body) == (missing.status, missing.body)
    assert foreign.status == 403
    assert cloud.member.get(PROJECTS).status == 403
    assert cloud.member.patch(own, {"project": {"name": "mine"}}).status == 403
    assert cloud.member.delete(own).status == 403
    assert cloud.member.post(PROJECTS, {"project": {"name": "mine"}}).status == 403
