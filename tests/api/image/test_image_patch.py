"""Images changed by JSON patch."""

import concurrent.futures
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.api.cloud import ApiCloud
from tests.api.image.calls import IMAGES, V20, made, patch, show, uploaded

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def test_fields_and_properties_change_together(cloud: ApiCloud) -> None:
    image = made(cloud.member, note="old")
    answer = patch(
        cloud.member,
        image["id"],
        {"op": "replace", "path": "/name", "value": "new"},
        {"op": "add", "path": "/hw_disk_bus", "value": "scsi"},
        {"op": "replace", "path": "/note", "value": "newer"},
        {"op": "replace", "path": "/tags", "value": ["x", "y", "x"]},
        {"op": "replace", "path": "/os_hidden", "value": True},
    )
    assert answer.status == 200
    shown = answer.body
    assert (shown["name"], shown["hw_disk_bus"], shown["note"]) == ("new", "scsi", "newer")
    assert (shown["tags"], shown["os_hidden"]) == (["x", "y"], True)
    assert show(cloud.member, image["id"]) == shown


def test_a_property_is_removed(cloud: ApiCloud) -> None:
    image = made(cloud.member, note="x", other="y")
    answer = patch(cloud.member, image["id"], {"op": "remove", "path": "/note"})
    assert "note" not in answer.body
    assert answer.body["other"] == "y"


def test_escapes_in_a_pointer_stand_for_slash_and_tilde(cloud: ApiCloud) -> None:
    image = made(cloud.member)
    answer = patch(cloud.member, image["id"], {"op": "add", "path": "/a~1b~0c~01", "value": "v"})
    assert answer.body["a/b~c~1"] == "v"
    assert "a/b~c~1" not in patch(cloud.member, image["id"], {"op": "remove", "path": "/a~1b~0c~01"}).body


def test_one_wrong_operation_undoes_the_others(cloud: ApiCloud) -> None:
    image = made(cloud.member, name="before")
    answer = patch(
        cloud.member,
        image["id"],
        {"op": "replace", "path": "/name", "value": "after"},
        {"op": "replace", "path": "/missing", "value": "x"},
    )
    assert answer.status == 409
    assert show(cloud.member, image["id"]) == image


@pytest.mark.parametrize(
    ("operation", "status", "word"),
    [
        ({"op": "replace", "path": "/status", "value": "active"}, 403, "status"),
        ({"op": "remove", "path": "/checksum"}, 403, "checksum"),
        ({"op": "replace", "path": "/id", "value": "x"}, 403, "id"),
        ({"op": "add", "path": "/locations", "value": []}, 403, "locations"),
        ({"op": "add", "path": "/os_glance_import_task", "value": "x"}, 403, "os_glance_import_task"),
        ({"op": "remove", "path": "/name"}, 403, "name"),
        ({"op": "replace", "path": "/owner", "value": "me"}, 403, "owner"),
        ({"op": "replace", "path": "/visibility", "value": "public"}, 403, "publicize_image"),
        ({"op": "remove", "path": "/missing"}, 409, "missing"),
        ({"op": "replace", "path": "/missing", "value": "x"}, 409, "missing"),
        ({"op": "replace", "path": "/min_disk", "value": -1}, 400, "min_disk"),
        ({"op": "replace", "path": "/visibility", "value": None}, 400, "visibility"),
        ({"op": "replace", "path": "/disk_format", "value": "ploop"}, 400, "disk_format"),
        ({"op": "add", "path": "/note", "value": None}, 400, "note"),
        ({"op": "add", "path": "/note"}, 400, "value"),
        ({"op": "remove", "path": "/note", "value": "x"}, 400, "value"),
        ({"op": "move", "path": "/note", "value": "x"}, 400, "move"),
        ({"op": "add", "value": "x"}, 400, "path"),
        ({"path": "/note", "value": "x"}, 400, "op"),
        ({"op": "add", "path": "/note", "value": "x", "more": 1}, 400, "more"),
        ({"op": "add", "path": "note", "value": "x"}, 400, "note"),
        ({"op": "add", "path": "/", "value": "x"}, 400, "pointer"),
        ({"op": "add", "path": "/a/b", "value": "x"}, 400, "one step"),
        ({"op": "add", "path": "/a~2", "value": "x"}, 400, "~"),
        ({"op": "add", "path": 5, "value": "x"}, 400, "pointer"),
        ("text", 400, "object"),
    ],
)
def test_what_is_not_allowed_is_refused_with_a_reason(cloud: ApiCloud, operation: Any, status: int, word: str) -> None:
    image = made(cloud.member)
    answer = patch(cloud.member, image["id"], operation)
    assert answer.status == status, answer
    assert word in answer.body["message"]
    assert show(cloud.member, image["id"]) == image


def test_adding_what_is_there_replaces_it_and_in_the_old_form_conflicts(cloud: ApiCloud) -> None:
    image = made(cloud.member, note="x")
    assert patch(cloud.member, image["id"], {"op": "add", "path": "/note", "value": "y"}).body["note"] == "y"
    for field in ("note", "name"):
        assert patch(cloud.member, image["id"], {"add": f"/{field}", "value": "z"}, media_type=V20).status == 409
    answer = patch(cloud.member, image["id"], {"replace": "/note", "value": "z"}, media_type=V20)
    assert answer.body["note"] == "z"


def test_another_content_type_is_refused(cloud: ApiCloud) -> None:
    image = made(cloud.member)
    answer = patch(cloud.member, image["id"], {"op": "add", "path": "/a", "value": "b"}, media_type="application/json")
    assert answer.status == 415
    assert "json-patch" in answer.body["message"]


def test_formats_are_locked_once_there_is_data(cloud: ApiCloud) -> None:
    image = made(cloud.member)
    assert patch(cloud.member, image["id"], {"op": "replace", "path": "/disk_format", "value": "qcow2"}).status == 200
    image = uploaded(cloud.member)
    for field, value in (("disk_format", "qcow2"), ("container_format", "ova")):
        answer = patch(cloud.member, image["id"], {"op": "replace", "path": f"/{field}", "value": value})
        assert answer.status == 403
        assert "queued" in answer.body["message"]


def test_an_administrator_gives_an_image_away_and_makes_it_public(cloud: ApiCloud) -> None:
    image = made(cloud.member)
    other = cloud.project_id("other")
    answer = patch(cloud.admin, image["id"], {"op": "replace", "path": "/owner", "value": other})
    assert answer.body["owner"] == other
    answer = patch(cloud.admin, image["id"], {"op": "replace", "path": "/visibility", "value": "public"})
    assert answer.body["visibility"] == "public"
    # Once public it takes an administrator to make it private again.
    assert patch(cloud.other, image["id"], {"op": "replace", "path": "/visibility", "value": "private"}).status == 403
    assert patch(cloud.member, image["id"], {"op": "replace", "path": "/name", "value": "mine"}).status == 403


def test_of_two_that_add_the_same_property_at_once_one_conflicts(cloud: ApiCloud) -> None:
    image = made(cloud.member)
    operation = {"add": "/winner", "value": "me"}

    def attempt(_: int) -> int:
        return patch(cloud.member, image["id"], operation, media_type=V20).status

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(attempt, range(8)))
    assert sorted(statuses) == [200] + [409] * 7


def test_changes_at_once_are_all_kept(cloud: ApiCloud) -> None:
    image = made(cloud.member)

    def attempt(number: int) -> int:
        return patch(cloud.member, image["id"], {"op": "add", "path": f"/p{number}", "value": "v"}).status

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(attempt, range(16))) == {200}
    shown = show(cloud.member, image["id"])
    assert all(shown[f"p{number}"] == "v" for number in range(16))


def test_the_limit_of_properties_holds_in_a_patch(cloud: ApiCloud) -> None:
    image = made(cloud.member, **{f"p{n}": "v" for n in range(128)})
    assert patch(cloud.member, image["id"], {"op": "add", "path": "/more", "value": "v"}).status == 413
    assert cloud.member.get(f"{IMAGES}/{image['id']}").body.get("more") is None


def test_an_image_over_a_limit_can_still_be_changed_and_made_smaller(cloud: ApiCloud) -> None:
    image = made(cloud.member)
    with cloud.database.write() as store:
        store.image.update(store.image.get(image["id"]), {"properties": {f"p{n}": "v" for n in range(130)}}, NOW)
    assert patch(cloud.member, image["id"], {"op": "replace", "path": "/name", "value": "new"}).status == 200
    assert patch(cloud.member, image["id"], {"op": "remove", "path": "/p1"}).status == 200
    assert patch(cloud.member, image["id"], {"op": "add", "path": "/p1", "value": "v"}).status == 413
