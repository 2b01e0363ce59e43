"""Images shared with other projects."""

from pathlib import Path

import pytest

from polyvisor.api.image.settings import ImageSettings
from tests.api.cloud import ApiCloud
from tests.api.image.calls import IMAGES, made, patch, uploaded


@pytest.fixture
def settings() -> ImageSettings:
    """At most three members."""
    return ImageSettings(max_members=3)


def test_sharing_shows_the_image_at_once_and_unsharing_hides_it(cloud: ApiCloud) -> None:
    image = uploaded(cloud.member)
    here, other = f"{IMAGES}/{image['id']}", cloud.project_id("other")
    assert cloud.other.get(here).status == 404
    answer = cloud.member.post(f"{here}/members", {"member": other})
    assert answer.status == 200
    assert answer.body["status"] == "pending"
    assert (answer.body["image_id"], answer.body["member_id"]) == (image["id"], other)
    assert cloud.other.get(here).status == 200
    assert cloud.other.get(f"{here}/file").status == 200
    assert cloud.other.delete(here).status == 403
    assert cloud.member.delete(f"{here}/members/{other}").status == 204
    assert cloud.other.get(here).status == 404
    assert cloud.member.delete(f"{here}/members/{other}").status == 404


def test_the_member_answers_and_nobody_else(cloud: ApiCloud) -> None:
    image, other = made(cloud.member), cloud.project_id("other")
    here = f"{IMAGES}/{image['id']}/members"
    cloud.member.post(here, {"member": other})
    assert cloud.member.put(f"{here}/{other}", {"status": "accepted"}).status == 403
    assert cloud.other.put(f"{here}/{other}", {"status": "maybe"}).status == 400
    assert cloud.other.put(f"{here}/{other}", {"status": "accepted"}).body["status"] == "accepted"
    assert cloud.member.get(f"{here}/{other}").body["status"] == "accepted"
    assert cloud.other.delete(f"{here}/{other}").status == 403


def test_a_member_sees_itself_and_no_other_member(cloud: ApiCloud) -> None:
    image, other = made(cloud.member), cloud.project_id("other")
    here = f"{IMAGES}/{image['id']}/members"
    for member in (other, "a-third"):
        cloud.member.post(here, {"member": member})
    assert [each["member_id"] for each in cloud.member.get(here).body["members"]] == [other, "a-third"]
    assert [each["member_id"] for each in cloud.other.get(here).body["members"]] == [other]
    assert cloud.other.get(f"{here}/{other}").status == 200
    assert cloud.other.get(f"{here}/a-third").status == 404
    assert cloud.other.post(here, {"member": "a-fourth"}).status == 403


def test_a_project_is_invited_once(cloud: ApiCloud) -> None:
    here = f"{IMAGES}/{made(cloud.member)['id']}/members"
    assert cloud.member.post(here, {"member": "one"}).status == 200
    assert cloud.member.post(here, {"member": "one"}).status == 409
    assert cloud.member.post(here, {"member": ""}).status == 400
    assert cloud.member.post(here, {"member": 5}).status == 400
    assert cloud.member.post(here, {}).status == 400


def test_an_image_has_so_many_members_and_no_more(cloud: ApiCloud) -> None:
    here = f"{IMAGES}/{made(cloud.member)['id']}/members"
    assert [cloud.member.post(here, {"member": f"m{n}"}).status for n in range(4)] == [200, 200, 200, 413]


@pytest.mark.parametrize("visibility", ["private", "community"])
def test_only_shared_images_have_members(cloud: ApiCloud, visibility: str) -> None:
    here = f"{IMAGES}/{made(cloud.member, visibility=visibility)['id']}/members"
    assert cloud.member.post(here, {"member": "one"}).status == 403
    assert cloud.member.get(here).status == 403


def test_making_an_image_private_shuts_its_members_out(cloud: ApiCloud) -> None:
    image = made(cloud.member)
    here = f"{IMAGES}/{image['id']}"
    cloud.member.post(f"{here}/members", {"member": cloud.project_id("other")})
    patch(cloud.member, image["id"], {"op": "replace", "path": "/visibility", "value": "private"})
    assert cloud.other.get(here).status == 404


def test_a_deleted_images_members_are_gone(cloud: ApiCloud, tmp_path: Path) -> None:
    image = made(cloud.member)
    cloud.member.post(f"{IMAGES}/{image['id']}/members", {"member": "one"})
    assert cloud.member.delete(f"{IMAGES}/{image['id']}").status == 204
    with cloud.database.read() as store:
        assert store.image_member.list(image["id"]) == []
