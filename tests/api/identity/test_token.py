"""Tokens: asking, looking, exchanging, revoking, and what makes them void."""

from datetime import timedelta

import pytest

from polyvisor.api.identity.keys import replace_all, rotate
from tests.api.cloud import ApiCloud
from tests.api.identity.conftest import Clock
from tests.api.identity.person import TOKENS, Person, role_id, works

V3 = "/identity/v3"


def test_a_token_for_a_project_tells_user_project_roles_and_catalogue(cloud: ApiCloud, ada: Person) -> None:
    answer = ada.ask()
    assert answer.status == 201
    token = answer.body["token"]
    assert token["user"] == {"id": ada.id, "name": "ada", "domain": {"id": "default", "name": "Default"},
                             "password_expires_at": None}  # fmt: skip
    assert token["project"]["name"] == "demo"
    assert token["methods"] == ["password"]
    assert [role["name"] for role in token["roles"]] == ["member", "reader"]
    assert token["catalog"] == []
    assert len(answer.headers["x-subject-token"]) <= 255


def test_nocatalog_leaves_the_catalogue_out(ada: Person) -> None:
    assert "catalog" not in ada.ask(nocatalog="").body["token"]


@pytest.mark.parametrize(
    "scope",
    [
        {"project": {"name": "other", "domain": {"id": "default"}}},
        {"project": {"name": "no such", "domain": {"id": "default"}}},
        {"project": {"id": "0" * 32}},
        {"domain": {"id": "default"}},
        {"domain": {"name": "no such"}},
        {"system": {"all": True}},
    ],
)
def test_a_scope_without_a_role_is_refused_as_one_that_does_not_exist(
    cloud: ApiCloud, ada: Person, scope: object
) -> None:
    cloud.admin.post(f"{V3}/projects", {"project": {"name": "other"}})
    answer = ada.ask(scope)
    assert answer.status == 401
    assert answer.body["error"]["message"] == "The request you have made requires authentication."


def test_an_unscoped_token_lists_where_one_could_go_and_is_exchanged_for_a_project(
    cloud: ApiCloud, ada: Person
) -> None:
    first = ada.ask(None)
    assert "roles" not in first.body["token"]
    unscoped = cloud.client(first.headers["x-subject-token"])
    [project] = unscoped.get(f"{V3}/auth/projects").body["projects"]
    assert project["name"] == "demo"
    assert unscoped.get(f"{V3}/auth/domains").body["domains"] == []
    assert unscoped.get(f"{V3}/auth/catalog").status == 403
    auth = {
        "identity": {"methods": ["token"], "token": {"id": unscoped.token}},
        "scope": {"project": {"id": project["id"]}},
    }
    second = cloud.anyone.post(TOKENS, {"auth": auth})
    assert second.status == 201
    assert second.body["token"]["methods"] == ["token", "password"]
    assert second.body["token"]["expires_at"] == first.body["token"]["expires_at"]
    assert second.body["token"]["audit_ids"][1] == first.body["token"]["audit_ids"][0]
    assert cloud.client(second.headers["x-subject-token"]).get(f"{V3}/auth/catalog").status == 200


def test_without_a_scope_the_default_project_counts(cloud: ApiCloud, ada: Person) -> None:
    cloud.admin.patch(f"{V3}/users/{ada.id}", {"user": {"default_project_id": ada.project_id}})
    assert ada.ask(None).body["token"]["project"]["id"] == ada.project_id
    assert "project" not in ada.ask("unscoped").body["token"]
    cloud.admin.delete(ada.role_path)
    assert "project" not in ada.ask(None).body["token"]


def test_domain_and_system_scopes_need_roles_there(cloud: ApiCloud, ada: Person) -> None:
    reader = role_id(cloud, "reader")
    assert cloud.admin.put(f"{V3}/domains/default/users/{ada.id}/roles/{reader}").status == 204
    assert cloud.admin.put(f"{V3}/system/users/{ada.id}/roles/{reader}").status == 204
    assert ada.ask({"domain": {"name": "Default"}}).body["token"]["domain"]["id"] == "default"
    assert ada.ask({"system": {"all": True}}).body["token"]["system"] == {"all": True}
    assert ada.client().get(f"{V3}/auth/system").body["system"] == [{"all": True}]


@pytest.mark.parametrize(
    "auth",
    [
        {},
        {"identity": {"methods": ["password"]}},
        {"identity": {"methods": "password"}},
        {"identity": {"methods": ["password"], "password": {"user": {"password": "x"}}}},
        {"identity": {"methods": ["password"], "password": {"user": {"name": "ada", "password": "x"}}}},
        {"identity": {"methods": ["token"], "token": {"id": 7}}},
    ],
)
def test_a_malformed_request_is_no_login(cloud: ApiCloud, auth: object) -> None:
    assert cloud.anyone.post(TOKENS, {"auth": auth}).status == 400


def test_a_method_that_is_not_there_is_refused(cloud: ApiCloud) -> None:
    assert cloud.anyone.post(TOKENS, {"auth": {"identity": {"methods": ["totp"]}}}).status == 401


def test_a_token_that_is_none_is_refused(cloud: ApiCloud, ada: Person) -> None:
    text = ada.token()
    for wrong in (
        "x",
        "x" * 5000,
        text[:-4],
        text[:-1] + ("A" if text[-1] != "A" else "B"),
        f"{text[:9]}!{text[9:]}",
        text + "==",
        "gAAAA\u00e9",
    ):
        assert cloud.client(wrong).get(f"{V3}/auth/projects").status == 401


def test_a_token_looks_at_itself_and_strangers_may_not(cloud: ApiCloud, ada: Person) -> None:
    text = ada.token()
    subject = {"x-subject-token": text}
    assert ada.client().request("GET", TOKENS, headers=subject).body["token"]["user"]["id"] == ada.id
    assert ada.client().request("HEAD", TOKENS, headers=subject).status == 200
    assert cloud.admin.request("GET", TOKENS, headers=subject).status == 200
    assert cloud.other.request("GET", TOKENS, headers=subject).status == 403
    assert cloud.other.request("DELETE", TOKENS, headers=subject).status == 403
    assert cloud.admin.request("GET", TOKENS, headers={"x-subject-token": "nonsense"}).status == 404
    assert cloud.admin.get(TOKENS).status == 400


def test_a_revoked_token_is_void_at_once_and_others_are_not(cloud: ApiCloud, ada: Person) -> None:
    one, two = ada.client(), ada.client()
    assert works(one)
    assert one.request("DELETE", TOKENS, headers={"x-subject-token": one.token or ""}).status == 204
    assert not works(one)
    assert works(two)
    for void in (one.token, "gAAAAA-no-token-of-ours"):
        exchange = {"auth": {"identity": {"methods": ["token"], "token": {"id": void}}}}
        assert cloud.anyone.post(TOKENS, exchange).status == 404


def test_a_token_expires(cloud: ApiCloud, ada: Person, clock: Clock) -> None:
    client = ada.client()
    clock.ahead = timedelta(minutes=59)
    assert works(client)
    clock.ahead = timedelta(minutes=61)
    assert not works(client)


def test_a_new_password_voids_the_tokens_and_opens(cloud: ApiCloud, ada: Person) -> None:
    client = ada.client()
    change = {"user": {"password": "battery staple", "original_password": ada.password}}
    assert cloud.anyone.post(f"{V3}/users/{ada.id}/password", change).status == 204
    assert not works(client)
    assert ada.ask().status == 401
    assert ada.ask(password="battery staple").status == 201


def test_the_old_password_is_asked_for_and_a_wrong_one_changes_nothing(cloud: ApiCloud, ada: Person) -> None:
    wrong = {"user": {"password": "battery staple", "original_password": "wrong"}}
    assert cloud.anyone.post(f"{V3}/users/{ada.id}/password", wrong).status == 401
    same = {"user": {"password": ada.password, "original_password": ada.password}}
    assert cloud.anyone.post(f"{V3}/users/{ada.id}/password", same).status == 400
    assert cloud.anyone.post(f"{V3}/users/nobody/password", wrong).status == 401
    assert ada.ask().status == 201


def test_a_disabled_user_is_out_and_its_old_tokens_stay_void(cloud: ApiCloud, ada: Person) -> None:
    client = ada.client()
    assert cloud.admin.patch(f"{V3}/users/{ada.id}", {"user": {"enabled": False}}).status == 200
    assert not works(client)
    assert ada.ask().status == 401
    cloud.admin.patch(f"{V3}/users/{ada.id}", {"user": {"enabled": True}})
    assert not works(client)
    assert ada.ask().status == 201


def test_a_disabled_project_is_closed_and_its_old_tokens_stay_void(cloud: ApiCloud, ada: Person) -> None:
    client = ada.client()
    assert cloud.admin.patch(f"{V3}/projects/{ada.project_id}", {"project": {"enabled": False}}).status == 200
    assert not works(client)
    assert ada.ask().status == 401
    cloud.admin.patch(f"{V3}/projects/{ada.project_id}", {"project": {"enabled": True}})
    assert not works(client)
    assert works(ada.client())


def test_a_disabled_domain_closes_its_users_and_projects(cloud: ApiCloud) -> None:
    made = cloud.admin.post(f"{V3}/domains", {"domain": {"name": "elsewhere"}}).body["domain"]
    user = cloud.admin.post(
        f"{V3}/users", {"user": {"name": "eve", "password": "secret", "domain_id": made["id"]}}
    ).body["user"]
    auth = {"identity": {"methods": ["password"], "password": {"user": {"id": user["id"], "password": "secret"}}}}
    assert cloud.anyone.post(TOKENS, {"auth": auth}).status == 201
    client = cloud.client(cloud.anyone.post(TOKENS, {"auth": auth}).headers["x-subject-token"])
    assert works(client)
    cloud.admin.patch(f"{V3}/domains/{made['id']}", {"domain": {"enabled": False}})
    assert not works(client)
    assert cloud.anyone.post(TOKENS, {"auth": auth}).status == 401


def test_a_role_that_is_taken_is_gone_from_tokens_at_once(cloud: ApiCloud, ada: Person) -> None:
    manager = ada.role_path.replace(role_id(cloud, "member"), role_id(cloud, "manager"))
    cloud.admin.put(manager)
    client = ada.client()
    assert client.token is not None
    seen = client.request("GET", TOKENS, headers={"x-subject-token": client.token}).body["token"]["roles"]
    assert [role["name"] for role in seen] == ["manager", "member", "reader"]
    cloud.admin.delete(manager)
    seen = client.request("GET", TOKENS, headers={"x-subject-token": client.token}).body["token"]["roles"]
    assert [role["name"] for role in seen] == ["member", "reader"]
    cloud.admin.delete(ada.role_path)
    assert not works(client)


def test_a_deleted_user_is_out(cloud: ApiCloud, ada: Person) -> None:
    client = ada.client()
    assert cloud.admin.delete(f"{V3}/users/{ada.id}").status == 204
    assert not works(client)
    assert ada.ask().status == 401


def test_rotated_keys_open_old_tokens_until_those_have_expired(cloud: ApiCloud, ada: Person, clock: Clock) -> None:
    lifetime = timedelta(hours=1)
    client = ada.client()
    with cloud.database.write() as store:
        states = [key.state for key in rotate(store, clock(), "third", lifetime)]
    assert states == ["primary", "staged", "secondary"]
    assert works(client)
    newer = ada.client()
    with cloud.database.write() as store:
        assert len(rotate(store, clock(), "fourth", lifetime)) == 4
    assert works(client)
    assert works(newer)
    clock.ahead = timedelta(hours=2)
    with cloud.database.write() as store:
        kept = {key.id for key in rotate(store, clock(), "fifth", lifetime)}
    assert "first" not in kept
    assert works(ada.client())


def test_a_token_whose_key_is_dropped_is_void_at_once(cloud: ApiCloud, ada: Person, clock: Clock) -> None:
    client = ada.client()
    assert works(client)
    with cloud.database.write() as store:
        replace_all(store, clock(), ("third", "fourth"))
    assert not works(client)
    assert works(ada.client())


def test_a_remembered_caller_costs_one_statement(cloud: ApiCloud, ada: Person) -> None:
    client = ada.client()
    first = client.get(f"{V3}/regions")
    again = client.get(f"{V3}/regions")
    assert first.statements > again.statements
    assert again.statements == 2


def test_a_token_costs_few_statements(ada: Person) -> None:
    ada.ask()
    assert ada.ask().statements <= 18
