"""Requests through the whole kit: routes, callers, bodies, errors, streams."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from polyvisor.api.kit import PUBLIC, ApiSettings, Call, Reply, Resource, Service
from polyvisor.api.kit.versions import nova_root, nova_version
from tests.api.cloud import ApiCloud
from tests.api.kit.service import service

CARS = "/carriage/v2.1/cars"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ApiCloud]:
    with ApiCloud(tmp_path, [service]) as cloud:
        yield cloud


def test_a_member_creates_and_a_reader_may_not(cloud: ApiCloud) -> None:
    made = cloud.member.post(CARS, {"car": {"name": "Volt"}})
    assert made.status == 202
    assert made.body["car"]["counter"] == 1
    refused = cloud.reader.post(CARS, {"car": {"name": "Volt"}})
    assert refused.status == 403
    assert "cars:create" in refused.body["forbidden"]["message"]


def test_without_a_token_a_request_is_refused_in_keystones_form(cloud: ApiCloud) -> None:
    answer = cloud.anyone.get(CARS)
    assert answer.status == 401
    assert answer.body["error"]["code"] == 401
    assert answer.headers["www-authenticate"] == 'Keystone uri="http://cloud.test/identity"'


def test_a_failed_request_leaves_its_transaction_undone(cloud: ApiCloud) -> None:
    assert cloud.member.post(CARS, {"car": {"name": "A"}}).body["car"]["counter"] == 1
    assert cloud.member.post(CARS, {"car": {"name": "B", "seats": 99}}).status == 400
    assert cloud.member.post(CARS, {"car": {"name": "C"}}).body["car"]["counter"] == 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"car": {"name": "x", "wheels": 4}}, "The field 'car.wheels' is not known here"),
        ({"car": {}}, "The field 'car.name' is required"),
        (
            {"car": {"name": "x" * 256}},
            "The field 'car.name' is invalid: a string of at most 255 characters is expected",
        ),
        ({"car": {"name": ""}}, "a string of at least 1 characters"),
        ({"car": {"name": 7}}, "The field 'car.name' is invalid: a string is expected, not an integer"),
        ({"car": {"name": "x", "seats": 10}}, "The field 'car.seats' is invalid: an integer of at most 9 is expected"),
        ({"car": None}, "The field 'car' is invalid: an object is expected, not null"),
        ([], "The body is invalid: an object is expected, not a list"),
        ({"car": {"name": "x", "tags": []}}, "The field 'car.tags' is not known here"),
    ],
)
def test_a_wrong_body_is_refused_with_a_sentence_that_names_the_field(
    cloud: ApiCloud, body: object, words: str
) -> None:
    answer = cloud.member.post(CARS, body)
    assert answer.status == 400
    assert words in answer.body["badRequest"]["message"]


def test_what_is_not_json_is_refused(cloud: ApiCloud) -> None:
    for data in (b"{", b"\xff\xfe", b'{"car":{"name":"\xff"}}'):
        answer = cloud.member.request("POST", CARS, data=data)
        assert answer.status == 400
        assert "not valid JSON" in answer.body["badRequest"]["message"]
    assert cloud.member.request("POST", CARS).status == 400


def test_another_content_type_is_refused(cloud: ApiCloud) -> None:
    answer = cloud.member.request("POST", CARS, data=b"<car/>", headers={"content-type": "text/xml; charset=utf-8"})
    assert answer.status == 415
    assert "application/json" in answer.body["badMediaType"]["message"]


def test_a_body_over_the_limit_is_refused_before_it_is_read(cloud: ApiCloud) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x" * 65536

    assert cloud.member.request("POST", CARS, data=endless()).status == 413
    assert taken < 10
    declared = cloud.member.request("POST", CARS, data=endless(), headers={"content-length": "1000000000"})
    assert declared.status == 413
    assert taken < 10
    assert declared.headers["connection"] == "close"


def test_unknown_paths_methods_and_parameters_are_told_apart(cloud: ApiCloud) -> None:
    assert cloud.member.get("/carriage/v2.1/boats").status == 404
    assert cloud.member.get("/nowhere").status == 404
    refused = cloud.member.put(CARS, {})
    assert refused.status == 405
    assert refused.headers["allow"] == "GET, POST"
    unknown = cloud.member.get(CARS, colour="red")
    assert unknown.status == 400
    assert "'colour'" in unknown.body["badRequest"]["message"]
    assert cloud.member.get(CARS, limit="many").status == 400
    assert cloud.member.get(CARS, limit=-1).status == 400
    assert cloud.member.get(CARS, electric="maybe").status == 400
    assert cloud.member.get(CARS, electric="yes").status == 200


def test_a_path_without_the_id_of_what_is_meant_leads_nowhere(cloud: ApiCloud) -> None:
    refused = cloud.member.delete(f"{CARS}/")
    assert refused.status == 404, refused


def test_every_answer_carries_a_request_id_of_its_own(cloud: ApiCloud) -> None:
    given = "req-0d9f4d06-9d3c-4b8c-a8ff-1234567890ab"
    first = cloud.member.with_headers(x_openstack_request_id=given).get(CARS)
    second = cloud.member.get(CARS)
    assert first.headers["x-openstack-request-id"] == first.headers["x-carriage-request-id"]
    assert first.headers["x-openstack-request-id"] not in (given, second.headers["x-openstack-request-id"])
    assert first.access is not None
    assert first.access.global_request_id == given


def test_an_unforeseen_error_says_nothing_of_its_inside(cloud: ApiCloud) -> None:
    answer = cloud.anyone.get(f"{CARS}/1/fault")
    assert answer.status == 500
    assert b"secret" not in answer.content
    assert answer.headers["x-openstack-request-id"] in answer.body["computeFault"]["message"]


def test_a_handler_that_forgets_its_policy_is_a_fault_and_changes_nothing(cloud: ApiCloud) -> None:
    assert cloud.member.delete(f"{CARS}/unguarded").status == 500
    assert cloud.member.delete(f"{CARS}/1").status == 403
    assert cloud.admin.delete(f"{CARS}/1").status == 204


def test_actions_are_chosen_by_the_key_of_their_body(cloud: ApiCloud) -> None:
    assert cloud.member.post(f"{CARS}/1/action", {"start": None}).status == 202
    assert cloud.member.post(f"{CARS}/1/action", {"start": {}}).status == 202
    assert cloud.member.post(f"{CARS}/1/action", {"start": {"now": True}}).status == 400
    assert cloud.member.post(f"{CARS}/1/action", {"fly": None}).status == 400
    assert cloud.member.post(f"{CARS}/1/action", {"start": None, "paint": {}}).status == 400
    assert cloud.member.post(f"{CARS}/1/action", {"paint": {"color": "red"}}).status == 400
    newer = cloud.member.with_headers(openstack_api_version="carriage 2.3")
    assert newer.post(f"{CARS}/1/action", {"paint": {"color": "red"}}).body == {"color": "red"}


def test_bodies_stream_in_and_out(cloud: ApiCloud) -> None:
    chunks = (b"y" * 100_000 for _ in range(30))
    octets = {"content-type": "application/octet-stream"}
    assert cloud.member.request("PUT", f"{CARS}/1/load", data=chunks, headers=octets).body == {"bytes": 3_000_000}
    down = cloud.member.get(f"{CARS}/1/load")
    assert len(down.content) == 100_000
    assert down.headers["content-length"] == "100000"
    assert cloud.member.head(f"{CARS}/1/load").content == b""


def test_a_path_variable_is_decoded_and_may_take_all_that_follows(cloud: ApiCloud) -> None:
    answer = cloud.member.get(f"{CARS}/a%2Fb/docs/x/y%20z")
    assert answer.body == {"id": "a/b", "name": "x/y z"}


def test_a_list_comes_in_pages_with_links(cloud: ApiCloud) -> None:
    first = cloud.member.get(CARS, limit=2, sort_key="name", sort_dir="desc").body
    assert [car["id"] for car in first["cars"]] == ["3", "2"]
    [link] = first["cars_links"]
    assert link["href"] == f"http://cloud.test{CARS}?limit=2&sort_key=name&sort_dir=desc&marker=2"
    rest = cloud.member.get(link["href"].removeprefix("http://cloud.test")).body
    assert rest == {"cars": [{"id": "1"}]}


def test_an_administrator_sees_everybodys_things(cloud: ApiCloud) -> None:
    assert cloud.admin.get(f"{CARS}/1").body["car"]["owner"] is None
    assert cloud.member.get(f"{CARS}/1").body["car"]["owner"] == cloud.project_id("demo")


def test_statements_are_counted_by_request(cloud: ApiCloud) -> None:
    assert cloud.anyone.get(f"{CARS}/conflict/fault").statements == 1
    assert cloud.anyone.get(f"{CARS}/1/fault").statements == 0


def test_head_answers_as_get_does_without_the_body(cloud: ApiCloud) -> None:
    answer = cloud.member.head(f"{CARS}/1")
    assert answer.status == 200
    assert answer.content == b""
    assert int(answer.headers["content-length"]) > 0


def test_requests_that_take_long_on_purpose_hold_up_only_each_other(tmp_path: Path) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()
    resource = Resource("/logins")

    @resource.route("POST", policy=PUBLIC, transaction=False, slow=True)
    def login(call: Call) -> Reply:
        begun.release()
        assert go_on.wait(60)
        return Reply(201)

    @resource.route("GET", policy=PUBLIC)
    def look(call: Call) -> Reply:
        return Reply(200, {})

    slow = Service(
        "slow", "/slow", "/v1", resources=[resource], rules=[], root_document=nova_root, version_document=nova_version
    )
    settings = ApiSettings(threads=1, stream_threads=1, login_threads=2)
    with ApiCloud(tmp_path, [slow, service], settings=settings) as cloud, ThreadPoolExecutor(6) as pool:
        try:
            logins = [pool.submit(cloud.anyone.post, "/slow/v1/logins") for _ in range(6)]
            for _ in range(2):
                assert begun.acquire(timeout=60)
            assert cloud.anyone.get("/slow/v1/logins").status == 200
            octets = {"content-type": "application/octet-stream"}
            assert cloud.member.request("PUT", f"{CARS}/1/load", data=b"abc", headers=octets).body == {"bytes": 3}
            assert not begun.acquire(blocking=False)
        finally:
            go_on.set()
        assert [login.result().status for login in logins] == [201] * 6
