"""Requests that come at the same moment: each is answered as if it had come alone, before or after the others."""

from typing import Any

from polyvisor.model.operation import UNFINISHED
from tests.api.cloud import ApiCloud
from tests.api.compute import estate
from tests.api.compute.conftest import at
from tests.api.compute.test_server import SERVERS, create
from tests.concurrency.race import race

USERS = "/identity/v3/users"


def _server(cloud: ApiCloud) -> str:
    made = estate.server("one", cloud.project_id("demo"), host="kvm-1", place="here")
    estate.put(cloud.database, made)
    return made.id


def test_servers_asked_for_at_once_never_exceed_the_quota(cloud: ApiCloud) -> None:
    """The default is ten."""
    answers = race(8, lambda index: [create(cloud.member, name=f"s{index}-{n}").status for n in range(3)])
    statuses = sorted(status for each in answers for status in each)
    assert statuses == [202] * 10 + [403] * 14
    with cloud.database.read() as store:
        assert store.server.usage(cloud.project_id("demo"))[0] == 10


def test_tags_and_metadata_added_at_once_are_all_there(cloud: ApiCloud) -> None:
    id = _server(cloud)
    client = at(cloud.member, "2.90")

    def add(index: int) -> tuple[int, int]:
        tagged = client.put(f"{SERVERS}/{id}/tags/tag-{index}").status
        noted = client.post(f"{SERVERS}/{id}/metadata", {"metadata": {f"key-{index}": "value"}}).status
        return tagged, noted

    assert race(8, add) == [(201, 200)] * 8
    shown: dict[str, Any] = client.get(f"{SERVERS}/{id}").body["server"]
    assert sorted(shown["tags"]) == [f"tag-{index}" for index in range(8)]
    assert sorted(shown["metadata"]) == [f"key-{index}" for index in range(8)]


def test_a_server_that_many_delete_is_deleted_by_one_operation(cloud: ApiCloud) -> None:
    id = _server(cloud)
    assert race(8, lambda _: cloud.member.delete(f"{SERVERS}/{id}").status) == [204] * 8
    with cloud.database.read() as store:
        assert [row.kind for row in store.operation.list(states=UNFINISHED)] == ["server.delete"]


def test_of_actions_asked_for_at_once_one_is_begun(cloud: ApiCloud) -> None:
    """Whoever comes second finds the server in a task."""
    id = _server(cloud)
    actions = ({"os-stop": None}, {"pause": None}, {"suspend": None}, {"reboot": {"type": "SOFT"}})
    statuses = race(8, lambda index: cloud.member.post(f"{SERVERS}/{id}/action", actions[index % 4]).status)
    assert sorted(statuses) == [202] + [409] * 7
    with cloud.database.read() as store:
        assert len(store.operation.list(states=UNFINISHED)) == 1


def test_a_delete_and_a_rename_and_an_action_at_once_end_in_a_delete(cloud: ApiCloud) -> None:
    id = _server(cloud)

    def ask(index: int) -> int:
        if index == 0:
            return cloud.member.delete(f"{SERVERS}/{id}").status
        if index == 1:
            return cloud.member.put(f"{SERVERS}/{id}", {"server": {"name": "renamed"}}).status
        return cloud.member.post(f"{SERVERS}/{id}/action", {"os-stop": None}).status

    deleted, renamed, stopped = race(3, ask)
    assert (deleted, renamed) == (204, 200)
    assert stopped in (202, 409)
    with cloud.database.read() as store:
        assert store.server.get(id).name == "renamed"
        kinds = sorted(row.kind for row in store.operation.list(states=UNFINISHED))
        rows = store.operation.list(states=UNFINISHED)
    assert kinds == (["server.delete", "server.stop"] if stopped == 202 else ["server.delete"])
    assert all(row.cancelled for row in rows if row.kind == "server.stop")


def test_a_name_that_many_ask_for_is_given_once_and_the_others_are_told_so(cloud: ApiCloud) -> None:
    body = {"user": {"name": "ada", "password": "correct horse", "domain_id": "default"}}
    answers = race(6, lambda _: cloud.admin.post(USERS, body))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 5


def test_a_name_that_two_transactions_check_at_once_is_refused_in_the_service_s_own_words(cloud: ApiCloud) -> None:
    answers = race(6, lambda _: cloud.admin.post("/identity/v3/roles", {"role": {"name": "auditor"}}))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 5
    for answer in answers:
        if answer.status == 409:
            assert "auditor" in answer.body["error"]["message"]


def test_every_failed_login_is_counted(cloud: ApiCloud) -> None:
    """Three lock the account, so more than three at once show in the count alone."""
    body = {"user": {"name": "ada", "password": "correct horse", "domain_id": "default"}}
    user_id = cloud.admin.post(USERS, body).body["user"]["id"]
    wrong = {"auth": {"identity": {"methods": ["password"], "password": {"user": {"id": user_id, "password": "no"}}}}}
    statuses = race(8, lambda _: cloud.anyone.post("/identity/v3/auth/tokens", wrong).status)
    assert statuses == [401] * 8
    with cloud.database.read() as store:
        found = store.user.failures(user_id)
    assert found is not None
    assert found.count >= 3
