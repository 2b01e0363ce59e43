"""Domains, users, groups, and a domain's own manager."""

from typing import Any

import pytest

from tests.api.client import ApiClient
from tests.api.cloud import ApiCloud
from tests.api.identity.person import Person, role_id

V3 = "/identity/v3"


def made(client: ApiClient, noun: str, **body: object) -> Any:
    answer = client.post(f"{V3}/{noun}s", {noun: body})
    assert answer.status == 201, answer
    return answer.body[noun]


def test_a_domain_goes_with_all_that_is_in_it_once_it_is_disabled(cloud: ApiCloud) -> None:
    domain = made(cloud.admin, "domain", name="bank", description="Of the bank")
    path = f"{V3}/domains/{domain['id']}"
    project = made(cloud.admin, "project", name="p", domain_id=domain["id"])
    below = made(cloud.admin, "project", name="q", parent_id=project["id"])
    user = made(cloud.admin, "user", name="u", domain_id=domain["id"])
    group = made(cloud.admin, "group", name="g", domain_id=domain["id"])
    role = made(cloud.admin, "role", name="r", domain_id=domain["id"])
    cloud.admin.put(f"{V3}/groups/{group['id']}/users/{user['id']}")
    cloud.admin.put(f"{V3}/projects/{below['id']}/users/{user['id']}/roles/{role['id']}")
    assert cloud.admin.delete(path).status == 403
    assert cloud.admin.patch(path, {"domain": {"enabled": False}}).body["domain"]["enabled"] is False
    assert cloud.admin.delete(path).status == 204
    for left in (f"projects/{below['id']}", f"users/{user['id']}", f"groups/{group['id']}", f"roles/{role['id']}"):
        assert cloud.admin.get(f"{V3}/{left}").status == 404
    assert cloud.admin.get(f"{V3}/role_assignments", **{"user.id": user["id"]}).body["role_assignments"] == []


def test_domains_are_filtered_and_their_names_are_unique(cloud: ApiCloud) -> None:
    made(cloud.admin, "domain", name="bank", enabled=False)
    assert cloud.admin.post(f"{V3}/domains", {"domain": {"name": "bank"}}).status == 409
    assert [one["name"] for one in cloud.admin.get(f"{V3}/domains", enabled="0").body["domains"]] == ["bank"]
    assert [one["id"] for one in cloud.admin.get(f"{V3}/domains", name="Default").body["domains"]] == ["default"]
    assert cloud.member.get(f"{V3}/domains").status == 403
    assert cloud.member.get(f"{V3}/domains/default").status == 200


def test_a_user_is_made_shown_changed_and_deleted_without_its_password_ever_shown(cloud: ApiCloud) -> None:
    user = made(
        cloud.admin, "user", name="ada", password="secret", email="ada@bank.test", description="First", phone="1"
    )
    path = f"{V3}/users/{user['id']}"
    shown = cloud.admin.get(path).body["user"]
    assert shown == user
    assert shown["phone"] == "1"
    assert "password" not in {key for key in shown if key != "password_expires_at"}
    assert b"secret" not in cloud.admin.get(f"{V3}/users", name="ada").content
    assert b"argon2" not in cloud.admin.get(path).content
    changed = cloud.admin.patch(path, {"user": {"name": "grace", "email": None}}).body["user"]
    assert changed["name"] == "grace"
    assert "email" not in changed
    assert cloud.admin.post(f"{V3}/users", {"user": {"name": "grace"}}).status == 409
    assert cloud.admin.patch(path, {"user": {"domain_id": "elsewhere"}}).status == 400
    assert cloud.admin.post(f"{V3}/users", {"user": {"name": "x", "domain_id": "elsewhere"}}).status == 404
    assert cloud.admin.delete(path).status == 204
    assert cloud.admin.get(path).status == 404


def test_a_user_sees_itself_and_its_own(cloud: ApiCloud, ada: Person) -> None:
    client = ada.client()
    assert client.get(f"{V3}/users/{ada.id}").body["user"]["name"] == "ada"
    assert [one["name"] for one in client.get(f"{V3}/users/{ada.id}/projects").body["projects"]] == ["demo"]
    assert client.get(f"{V3}/users/{ada.id}/groups").body["groups"] == []
    assert client.get(f"{V3}/users").status == 403
    assert client.get(f"{V3}/users/{cloud.user_id('demo', 'reader')}").status == 403
    assert client.get(f"{V3}/users/{cloud.user_id('demo', 'reader')}/projects").status == 403
    assert client.patch(f"{V3}/users/{ada.id}", {"user": {"name": "eve"}}).status == 403


def test_a_group_has_members_and_its_roles_are_theirs(cloud: ApiCloud) -> None:
    group = made(cloud.admin, "group", name="traders", description="They trade")
    path = f"{V3}/groups/{group['id']}"
    grace = Person(cloud, "grace", "secret", role=None)
    assert cloud.admin.put(f"{path}/users/{grace.id}").status == 204
    assert cloud.admin.put(f"{path}/users/{grace.id}").status == 204
    assert cloud.admin.head(f"{path}/users/{grace.id}").status == 204
    assert [one["name"] for one in cloud.admin.get(f"{path}/users").body["users"]] == ["grace"]
    assert [one["name"] for one in cloud.admin.get(f"{V3}/users/{grace.id}/groups").body["groups"]] == ["traders"]
    assert grace.ask().status == 401
    cloud.admin.put(f"{V3}/projects/{grace.project_id}/groups/{group['id']}/roles/{role_id(cloud, 'member')}")
    assert [role["name"] for role in grace.ask().body["token"]["roles"]] == ["member", "reader"]
    assert cloud.admin.delete(f"{path}/users/{grace.id}").status == 204
    assert cloud.admin.delete(f"{path}/users/{grace.id}").status == 404
    assert cloud.admin.get(f"{path}/users/{grace.id}").status == 404
    assert grace.ask().status == 401
    assert cloud.admin.put(f"{path}/users/{'0' * 32}").status == 404
    assert cloud.admin.patch(path, {"group": {"name": "desk"}}).body["group"]["name"] == "desk"
    assert cloud.admin.delete(path).status == 204
    assert cloud.admin.get(path).status == 404


class Manager(Person):
    """Manages a domain of its own."""

    def __init__(self, cloud: ApiCloud, domain_id: str) -> None:
        super().__init__(cloud, f"manager-{domain_id}", "secret", role=None)
        path = f"{V3}/domains/{domain_id}/users/{self.id}/roles/{role_id(cloud, 'manager')}"
        assert cloud.admin.put(path).status == 204
        self.manages = self.client({"domain": {"id": domain_id}})


def test_a_domains_manager_manages_that_domain_and_no_other(cloud: ApiCloud) -> None:
    domain = made(cloud.admin, "domain", name="bank")
    manager = Manager(cloud, domain["id"]).manages
    user = made(manager, "user", name="u")
    project = made(manager, "project", name="p")
    group = made(manager, "group", name="g")
    assert {user["domain_id"], project["domain_id"], group["domain_id"]} == {domain["id"]}
    assert [one["name"] for one in manager.get(f"{V3}/users").body["users"]] == ["u"]
    assert [one["name"] for one in manager.get(f"{V3}/projects").body["projects"]] == ["p"]
    assert [one["name"] for one in manager.get(f"{V3}/domains").body["domains"]] == ["bank"]
    assert manager.put(f"{V3}/groups/{group['id']}/users/{user['id']}").status == 204
    assert manager.patch(f"{V3}/users/{user['id']}", {"user": {"enabled": False}}).status == 200
    roles = f"{V3}/projects/{project['id']}/users/{user['id']}/roles"
    assert manager.put(f"{roles}/{role_id(cloud, 'member')}").status == 204
    assert manager.put(f"{roles}/{role_id(cloud, 'admin')}").status == 403
    assert manager.get(f"{V3}/roles").status == 200

    assert manager.get(f"{V3}/users", domain_id="default").status == 403
    assert manager.post(f"{V3}/users", {"user": {"name": "x", "domain_id": "default"}}).status == 403
    assert manager.get(f"{V3}/projects/{cloud.project_id('demo')}").status == 403
    assert manager.delete(f"{V3}/projects/{cloud.project_id('demo')}").status == 403
    foreign = f"{V3}/projects/{cloud.project_id('demo')}/users/{user['id']}/roles/{role_id(cloud, 'member')}"
    assert manager.put(foreign).status == 403
    assert manager.post(f"{V3}/domains", {"domain": {"name": "mine"}}).status == 403
    assert manager.post(f"{V3}/roles", {"role": {"name": "mine"}}).status == 403


@pytest.mark.parametrize("noun", ["domain", "user", "group", "role", "region", "service", "endpoint"])
def test_members_change_nothing_of_identity(cloud: ApiCloud, noun: str) -> None:
    missing = f"{V3}/{noun}s/{'0' * 32}"
    assert cloud.member.delete(missing).status == 403
    assert cloud.reader.delete(missing).status == 403
    assert cloud.admin.delete(missing).status == 404
