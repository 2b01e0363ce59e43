"""Roles, what they imply, and who has which where."""

from typing import Any

from tests.api.cloud import ApiCloud
from tests.api.identity.person import Person, role_id

V3 = "/identity/v3"


def assignments(cloud: ApiCloud, **query: object) -> list[dict[str, Any]]:
    named = {name.replace("__", "."): value for name, value in query.items()}
    answer = cloud.admin.get(f"{V3}/role_assignments", **named)
    assert answer.status == 200, answer
    found: list[dict[str, Any]] = answer.body["role_assignments"]
    return found


def test_a_role_is_made_shown_changed_and_deleted(cloud: ApiCloud, ada: Person) -> None:
    role = cloud.admin.post(f"{V3}/roles", {"role": {"name": "auditor", "description": "Looks"}}).body["role"]
    path = f"{V3}/roles/{role['id']}"
    assert cloud.admin.get(path).body["role"] == role
    assert role["domain_id"] is None
    assert cloud.admin.post(f"{V3}/roles", {"role": {"name": "auditor"}}).status == 409
    assert cloud.admin.patch(path, {"role": {"name": "inspector"}}).body["role"]["name"] == "inspector"
    grant = f"{V3}/projects/{ada.project_id}/users/{ada.id}/roles/{role['id']}"
    cloud.admin.put(grant)
    assert "inspector" in [one["name"] for one in ada.ask().body["token"]["roles"]]
    assert cloud.admin.delete(path).status == 204
    assert "inspector" not in [one["name"] for one in ada.ask().body["token"]["roles"]]
    assert assignments(cloud, role__id=role["id"]) == []


def test_implied_roles_are_chained_and_never_close_a_circle(cloud: ApiCloud, ada: Person) -> None:
    made = cloud.admin.post(f"{V3}/roles", {"role": {"name": "auditor"}}).body["role"]
    reader, admin = role_id(cloud, "reader"), role_id(cloud, "admin")
    path = f"{V3}/roles/{reader}/implies/{made['id']}"
    assert cloud.admin.get(path).status == 404
    assert cloud.admin.put(path).status == 201
    assert cloud.admin.put(path).status == 201
    assert cloud.admin.head(path).status == 204
    assert cloud.admin.get(path).body["role_inference"]["implies"]["name"] == "auditor"
    implied = cloud.admin.get(f"{V3}/roles/{reader}/implies").body["role_inference"]
    assert [one["name"] for one in implied["implies"]] == ["auditor"]
    assert [one["name"] for one in ada.ask().body["token"]["roles"]] == ["auditor", "member", "reader"]
    assert cloud.admin.put(f"{V3}/roles/{made['id']}/implies/{admin}").status == 403
    assert cloud.admin.put(f"{V3}/roles/{admin}/implies/{admin}").status == 403
    rules = cloud.admin.get(f"{V3}/role_inferences").body["role_inferences"]
    assert {one["prior_role"]["name"] for one in rules} == {"admin", "manager", "member", "reader"}
    assert cloud.admin.delete(path).status == 204
    assert cloud.admin.delete(path).status == 404
    assert [one["name"] for one in ada.ask().body["token"]["roles"]] == ["member", "reader"]


def test_a_grant_is_given_checked_listed_and_taken(cloud: ApiCloud, ada: Person) -> None:
    reader = role_id(cloud, "reader")
    for where in (f"projects/{ada.project_id}", "domains/default", "system"):
        path = f"{V3}/{where}/users/{ada.id}/roles"
        before = [one["name"] for one in cloud.admin.get(path).body["roles"]]
        assert cloud.admin.head(f"{path}/{reader}").status == 404
        assert cloud.admin.put(f"{path}/{reader}").status == 204
        assert cloud.admin.put(f"{path}/{reader}").status == 204
        assert cloud.admin.head(f"{path}/{reader}").status == 204
        assert cloud.admin.get(f"{path}/{reader}").status == 204
        assert sorted(one["name"] for one in cloud.admin.get(path).body["roles"]) == sorted([*before, "reader"])
        assert cloud.admin.delete(f"{path}/{reader}").status == 204
        assert cloud.admin.delete(f"{path}/{reader}").status == 404


def test_a_grant_needs_all_that_it_names(cloud: ApiCloud, ada: Person) -> None:
    nothing, reader = "0" * 32, role_id(cloud, "reader")
    for path in (
        f"projects/{nothing}/users/{ada.id}/roles/{reader}",
        f"projects/{ada.project_id}/users/{nothing}/roles/{reader}",
        f"projects/{ada.project_id}/groups/{nothing}/roles/{reader}",
        f"projects/{ada.project_id}/users/{ada.id}/roles/{nothing}",
        f"domains/{nothing}/users/{ada.id}/roles/{reader}",
        f"system/users/{nothing}/roles/{reader}",
    ):
        assert cloud.admin.put(f"{V3}/{path}").status == 404, path
        assert cloud.member.put(f"{V3}/{path}").status == 403, path


def test_an_inherited_role_holds_below_and_not_there(cloud: ApiCloud) -> None:
    grace = Person(cloud, "grace", "secret", role=None)
    top = cloud.admin.post(f"{V3}/projects", {"project": {"name": "top"}}).body["project"]["id"]
    low = cloud.admin.post(f"{V3}/projects", {"project": {"name": "low", "parent_id": top}}).body["project"]["id"]
    reader = role_id(cloud, "reader")
    path = f"{V3}/OS-INHERIT/projects/{top}/users/{grace.id}/roles/{reader}/inherited_to_projects"
    assert cloud.admin.put(path).status == 204
    assert cloud.admin.head(path).status == 204
    assert grace.ask({"project": {"id": top}}).status == 401
    assert grace.ask({"project": {"id": low}}).status == 201
    unscoped = grace.client(None)
    assert [one["name"] for one in unscoped.get(f"{V3}/auth/projects").body["projects"]] == ["low"]
    assert cloud.admin.delete(path).status == 204
    assert grace.ask({"project": {"id": low}}).status == 401
    on_domain = f"{V3}/OS-INHERIT/domains/default/users/{grace.id}/roles/{reader}/inherited_to_projects"
    assert cloud.admin.put(on_domain).status == 204
    assert grace.ask({"project": {"id": top}}).status == 201
    assert grace.ask({"domain": {"id": "default"}}).status == 401
    cloud.admin.patch(f"{V3}/projects/{low}", {"project": {"enabled": False}})
    assert "low" not in [one["name"] for one in unscoped.get(f"{V3}/auth/projects").body["projects"]]


def test_a_domains_own_role_stands_for_what_it_implies(cloud: ApiCloud, ada: Person) -> None:
    own = cloud.admin.post(f"{V3}/roles", {"role": {"name": "clerk", "domain_id": "default"}}).body["role"]["id"]
    manager = role_id(cloud, "manager")
    cloud.admin.put(f"{V3}/roles/{own}/implies/{manager}")
    cloud.admin.put(f"{V3}/projects/{ada.project_id}/users/{ada.id}/roles/{own}")
    assert [one["name"] for one in ada.ask().body["token"]["roles"]] == ["manager", "member", "reader"]
    elsewhere = cloud.admin.post(f"{V3}/domains", {"domain": {"name": "elsewhere"}}).body["domain"]["id"]
    project = cloud.admin.post(f"{V3}/projects", {"project": {"name": "x", "domain_id": elsewhere}}).body["project"]
    assert cloud.admin.put(f"{V3}/projects/{project['id']}/users/{ada.id}/roles/{own}").status == 400


def test_assignments_are_listed_as_made_and_as_they_take_effect(cloud: ApiCloud, ada: Person) -> None:
    group = cloud.admin.post(f"{V3}/groups", {"group": {"name": "traders"}}).body["group"]["id"]
    cloud.admin.put(f"{V3}/groups/{group}/users/{ada.id}")
    reader, member = role_id(cloud, "reader"), role_id(cloud, "member")
    cloud.admin.put(f"{V3}/projects/{ada.project_id}/groups/{group}/roles/{reader}")
    [made] = assignments(cloud, user__id=ada.id)
    assert made["role"] == {"id": member}
    assert made["scope"] == {"project": {"id": ada.project_id}}
    assert made["links"]["assignment"].endswith(ada.role_path)
    assert len(assignments(cloud, group__id=group)) == 1
    effective = assignments(cloud, user__id=ada.id, effective="true", include_names="true")
    assert {one["role"]["name"] for one in effective} == {"member", "reader"}
    assert len(effective) == 2
    assert effective[0]["user"] == {"id": ada.id, "name": "ada", "domain": {"id": "default", "name": "Default"}}
    assert effective[0]["scope"]["project"]["name"] == "demo"
    assert cloud.admin.get(f"{V3}/role_assignments?effective&group.id={group}").status == 400
    assert cloud.member.get(f"{V3}/role_assignments").status == 403
    assert {one["role"]["id"] for one in assignments(cloud, scope__project__id=ada.project_id)} >= {reader, member}
    assert assignments(cloud, scope__system="all") == []
