"""Application credentials: made, used, bounded, and void with what they rest on."""

from datetime import timedelta
from typing import Any

import pytest

from tests.api.client import Answer, ApiClient
from tests.api.cloud import ApiCloud
from tests.api.identity.conftest import Clock
from tests.api.identity.person import TOKENS, Person, role_id, works

V3 = "/identity/v3"


def make(person: Person, client: ApiClient | None = None, **body: object) -> Any:
    path = f"{V3}/users/{person.id}/application_credentials"
    answer = (client or person.client()).post(path, {"application_credential": {"name": "robot", **body}})
    assert answer.status == 201, answer
    return answer.body["application_credential"]


def use(cloud: ApiCloud, credential: Any, **changed: object) -> Answer:
    proof = {"id": credential["id"], "secret": credential["secret"], **changed}
    auth = {"identity": {"methods": ["application_credential"], "application_credential": proof}}
    return cloud.anyone.post(TOKENS, {"auth": auth})


def test_a_credential_gives_a_token_for_its_project_with_its_roles(cloud: ApiCloud, ada: Person) -> None:
    made = make(ada, roles=[{"name": "reader"}])
    assert made["project_id"] == ada.project_id
    answer = use(cloud, made)
    assert answer.status == 201
    token = answer.body["token"]
    assert token["project"]["id"] == ada.project_id
    assert [role["name"] for role in token["roles"]] == ["reader"]
    assert token["methods"] == ["application_credential"]
    assert token["application_credential"] == {"id": made["id"], "name": "robot", "restricted": True}
    by_name = {"name": "robot", "user": {"id": ada.id}, "id": None}
    assert use(cloud, made, **by_name).status == 201
    by_names = {"name": "robot", "user": {"name": "ada", "domain": {"id": "default"}}, "id": None}
    assert use(cloud, made, **by_names).status == 201


def test_the_secret_is_shown_once_and_may_be_ones_own(ada: Person) -> None:
    made = make(ada, secret="my own")
    assert made["secret"] == "my own"
    shown = ada.client().get(f"{V3}/users/{ada.id}/application_credentials/{made['id']}")
    assert "secret" not in shown.body["application_credential"]
    [listed] = ada.client().get(f"{V3}/users/{ada.id}/application_credentials").body["application_credentials"]
    assert listed == shown.body["application_credential"]


def test_wrong_secrets_are_refused_and_lock_the_credential(cloud: ApiCloud, ada: Person) -> None:
    made = make(ada)
    assert use(cloud, {"id": "0" * 32, "secret": "x"}).status == 401
    for _ in range(3):
        assert use(cloud, made, secret="wrong").status == 401
    assert use(cloud, made).status == 401
    assert ada.ask().status == 201


def test_a_credential_asks_for_no_other_scope(cloud: ApiCloud, ada: Person) -> None:
    made = make(ada)
    proof = {"id": made["id"], "secret": made["secret"]}
    auth = {
        "identity": {"methods": ["application_credential"], "application_credential": proof},
        "scope": {"project": {"id": ada.project_id}},
    }
    assert cloud.anyone.post(TOKENS, {"auth": auth}).status == 401
    exchanged = {"identity": {"methods": ["token"], "token": {"id": use(cloud, made).headers["x-subject-token"]}}}
    assert cloud.anyone.post(TOKENS, {"auth": exchanged}).status == 403


def test_roles_that_one_does_not_have_cannot_be_passed_on(ada: Person) -> None:
    path = f"{V3}/users/{ada.id}/application_credentials"
    for roles in ([{"name": "admin"}], [{"id": "0" * 32}], []):
        body = {"application_credential": {"name": "robot", "roles": roles}}
        assert ada.client().post(path, body).status == 400


def test_a_credential_ends_with_the_role_the_user_the_project_or_its_time(
    cloud: ApiCloud, ada: Person, clock: Clock
) -> None:
    expiring = make(ada, expires_at=(clock() + timedelta(minutes=5)).isoformat())
    client = cloud.client(use(cloud, expiring).headers["x-subject-token"])
    assert works(client)
    clock.ahead = timedelta(minutes=6)
    assert use(cloud, expiring).status == 401
    assert not works(client)
    past = {"application_credential": {"name": "late", "expires_at": "2020-01-01T00:00:00"}}
    assert ada.client().post(f"{V3}/users/{ada.id}/application_credentials", past).status == 400

    made = make(ada, name="second")
    client = cloud.client(use(cloud, made).headers["x-subject-token"])
    assert works(client)
    cloud.admin.delete(ada.role_path)
    assert not works(client)
    assert use(cloud, made).status == 401
    cloud.admin.put(ada.role_path)
    assert use(cloud, made).status == 201
    cloud.admin.patch(f"{V3}/users/{ada.id}", {"user": {"enabled": False}})
    assert use(cloud, made).status == 401


def test_deleting_a_credential_voids_its_tokens(cloud: ApiCloud, ada: Person) -> None:
    made = make(ada)
    client = cloud.client(use(cloud, made).headers["x-subject-token"])
    assert works(client)
    path = f"{V3}/users/{ada.id}/application_credentials/{made['id']}"
    assert cloud.other.delete(path).status == 403
    assert ada.client().delete(path).status == 204
    assert not works(client)
    assert ada.client().get(path).status == 404


@pytest.mark.parametrize("unrestricted", [False, True])
def test_only_an_unrestricted_credential_makes_others(cloud: ApiCloud, ada: Person, unrestricted: bool) -> None:
    made = make(ada, unrestricted=unrestricted)
    client = cloud.client(use(cloud, made).headers["x-subject-token"])
    path = f"{V3}/users/{ada.id}/application_credentials"
    answer = client.post(path, {"application_credential": {"name": "child"}})
    assert answer.status == (201 if unrestricted else 403)
    assert client.delete(f"{path}/{made['id']}").status == (204 if unrestricted else 403)


def test_nobody_makes_credentials_for_another(cloud: ApiCloud, ada: Person) -> None:
    body = {"application_credential": {"name": "robot"}}
    assert cloud.admin.post(f"{V3}/users/{ada.id}/application_credentials", body).status == 403
    assert cloud.other.get(f"{V3}/users/{ada.id}/application_credentials").status == 403
    assert cloud.admin.get(f"{V3}/users/{ada.id}/application_credentials").status == 200


def test_a_credential_with_a_role_of_the_past_stays_within_it(cloud: ApiCloud, ada: Person) -> None:
    made = make(ada, roles=[{"name": "reader"}])
    cloud.admin.put(ada.role_path.replace(role_id(cloud, "member"), role_id(cloud, "admin")))
    assert [role["name"] for role in use(cloud, made).body["token"]["roles"]] == ["reader"]
