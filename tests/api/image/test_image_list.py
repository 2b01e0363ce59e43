"""Images listed: who sees which, filters, order and pages."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.cloud import ApiCloud
from tests.api.image.calls import IMAGES, made, names, patch, uploaded

NOW = datetime.now(UTC)


@pytest.fixture
def listed(cloud: ApiCloud) -> Callable[..., list[str]]:
    """The names that the member sees, sorted."""

    def look(**query: Any) -> list[str]:
        return sorted(names(cloud.member.get(IMAGES, **query)))

    return look


def test_each_sees_its_own_and_public_ones(cloud: ApiCloud) -> None:
    made(cloud.admin, name="public", visibility="public")
    made(cloud.other, name="theirs", visibility="private")
    made(cloud.other, name="community", visibility="community")
    made(cloud.member, name="mine", visibility="private")
    made(cloud.member, name="my-community", visibility="community")

    def seen(**query: Any) -> list[str]:
        return sorted(names(cloud.member.get(IMAGES, **query)))

    assert seen() == ["mine", "my-community", "public"]
    assert seen(visibility="private") == ["mine"]
    assert seen(visibility="public") == ["public"]
    assert seen(visibility="community") == ["community", "my-community"]
    assert seen(visibility="all") == ["community", "mine", "my-community", "public"]
    assert seen(owner=cloud.project_id("other")) == []
    assert sorted(names(cloud.admin.get(IMAGES))) == ["community", "mine", "my-community", "public", "theirs"]
    assert cloud.member.get(IMAGES, visibility="secret").status == 400


def test_a_shared_image_is_listed_by_what_its_member_answered(cloud: ApiCloud) -> None:
    image = made(cloud.member, name="shared")
    here = f"{IMAGES}/{image['id']}/members"
    member = cloud.project_id("other")
    cloud.member.post(here, {"member": member})
    assert names(cloud.other.get(IMAGES)) == []
    assert names(cloud.other.get(IMAGES, visibility="shared", member_status="pending")) == ["shared"]
    assert names(cloud.other.get(IMAGES, visibility="shared", member_status="all")) == ["shared"]
    cloud.other.put(f"{here}/{member}", {"status": "accepted"})
    assert names(cloud.other.get(IMAGES)) == ["shared"]
    assert names(cloud.other.get(IMAGES, visibility="shared")) == ["shared"]
    cloud.other.put(f"{here}/{member}", {"status": "rejected"})
    assert names(cloud.other.get(IMAGES)) == []
    assert names(cloud.other.get(IMAGES, member_status="rejected")) == ["shared"]
    assert names(cloud.member.get(IMAGES)) == ["shared"]


def test_filters_narrow_the_list(cloud: ApiCloud, listed: Callable[..., list[str]]) -> None:
    one = uploaded(cloud.member, bytes(1024), name="one", tags=["x", "y"], hw_disk_bus="ide", min_disk=1)
    two = uploaded(cloud.member, bytes(4096), name="two,half", tags=["x"], hw_disk_bus="scsi", min_ram=512)
    made(cloud.member, name="three", disk_format="qcow2", protected=True)
    assert listed(name="one") == ["one"]
    assert listed(name="ONE") == []
    assert listed(name='in:one,"two,half"') == ["one", "two,half"]
    assert listed(status="queued") == ["three"]
    assert listed(status="in:queued,active") == ["one", "three", "two,half"]
    assert listed(status="no-such") == []
    assert listed(disk_format="in:qcow2,vmdk") == ["three"]
    assert listed(container_format="ova") == []
    assert listed(id=f"in:{one['id']},{two['id']}") == ["one", "two,half"]
    assert listed(tag="x") == ["one", "two,half"]
    assert listed(tag=["x", "y"]) == ["one"]
    assert listed(tag="X") == []
    assert listed(size_min=1025) == ["two,half"]
    assert listed(size_max=1024) == ["one"]
    assert listed(checksum=one["checksum"]) == ["one"]
    assert listed(os_hash_value=two["os_hash_value"]) == ["two,half"]
    assert listed(protected="true") == ["three"]
    assert listed(min_disk=1) == ["one"]
    assert listed(min_ram=512) == ["two,half"]
    assert listed(hw_disk_bus="scsi") == ["two,half"]
    assert listed(hw_disk_bus="SCSI") == []
    assert listed(hw_disk_bus="scsi", tag="y") == []
    assert listed(no_such_property="x") == []
    assert listed(owner=cloud.project_id("demo")) == ["one", "three", "two,half"]


def test_a_property_or_tag_that_looks_like_another_one_is_not_taken_for_it(
    cloud: ApiCloud, listed: Callable[..., list[str]]
) -> None:
    made(cloud.member, name="tricky", tags=['a"b', "c%d"], **{'x"note': "v", "other": '","note":"v'})
    assert listed(note="v") == []
    assert listed(tag="b") == []
    assert listed(tag="c_d") == []
    assert listed(tag="c%d") == ["tricky"]
    assert listed(**{'x"note': "v"}) == ["tricky"]


def test_hidden_images_are_listed_only_when_asked_for(cloud: ApiCloud, listed: Callable[..., list[str]]) -> None:
    made(cloud.member, name="hidden", os_hidden=True)
    made(cloud.member, name="plain")
    assert listed() == ["plain"]
    assert listed(os_hidden="true") == ["hidden"]


def test_times_are_compared(cloud: ApiCloud, listed: Callable[..., list[str]]) -> None:
    made(cloud.member, name="now")
    past, future = (moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in (NOW - timedelta(1), NOW + timedelta(1)))
    assert listed(created_at=f"gt:{past}") == ["now"]
    assert listed(created_at=f"lt:{past}") == []
    assert listed(updated_at=[f"gte:{past}", f"lte:{future}"]) == ["now"]
    assert listed(updated_at=f"neq:{past}") == ["now"]
    assert cloud.member.get(IMAGES, created_at="gt:yesterday").status == 400


@pytest.mark.parametrize(
    "query",
    [{"sort_key": "secret"}, {"sort_key": "name", "sort_dir": "up"}, {"sort": "name:up"}, {"limit": -1},
     {"limit": "x"}, {"size_min": "big"}, {"marker": "no-such"}, {"sort": "name", "sort_key": "size"},
     {"protected": "maybe"}, {"name": 'in:"open'}],
)  # fmt: skip
def test_a_wrong_question_is_refused(cloud: ApiCloud, query: dict[str, Any]) -> None:
    answer = cloud.member.get(IMAGES, **query)
    assert answer.status == 400
    assert len(answer.body["message"]) > 20


def test_the_list_is_sorted_as_asked(cloud: ApiCloud) -> None:
    for name, size in (("b", 10), ("a", 20), ("c", 10)):
        uploaded(cloud.member, bytes(size), name=name)
    assert names(cloud.member.get(IMAGES)) == ["c", "a", "b"]
    assert names(cloud.member.get(IMAGES, sort="size:asc,name:desc")) == ["c", "b", "a"]
    assert names(cloud.member.get(IMAGES, sort_key="name", sort_dir="asc")) == ["a", "b", "c"]
    assert names(cloud.member.get(IMAGES, sort_key=["size", "name"], sort_dir=["desc", "asc"])) == ["a", "b", "c"]
    assert names(cloud.member.get(IMAGES, sort="name")) == ["c", "b", "a"]


def test_pages_follow_each_other_and_lose_nothing(cloud: ApiCloud) -> None:
    for number in range(7):
        made(cloud.member, name=f"image-{number % 3}", disk_format=None if number % 2 else "raw")
    for order in ("name:asc", "disk_format:desc", "created_at:asc", "size:asc"):
        path, seen = f"{IMAGES}?limit=3&sort={order}&status=queued", []
        while path:
            page = cloud.member.get(path).body
            assert len(page["images"]) <= 3
            assert page["first"].startswith("/v2/images?limit=3")
            assert "marker" not in page["first"]
            seen += [image["id"] for image in page["images"]]
            path = page["next"].replace("/v2/images", IMAGES) if "next" in page else ""
        assert len(seen) == len(set(seen)) == 7


def test_a_marker_of_a_foreign_image_is_not_known(cloud: ApiCloud) -> None:
    foreign = made(cloud.other, visibility="private")
    assert cloud.member.get(IMAGES, marker=foreign["id"]).status == 400


def test_a_page_of_nothing_is_empty(cloud: ApiCloud) -> None:
    made(cloud.member)
    body = cloud.member.get(IMAGES, limit=0).body
    assert body["images"] == []
    assert "next" not in body


def test_a_list_is_one_statement_however_long(cloud: ApiCloud) -> None:
    counts = []
    for _ in range(2):
        for number in range(5):
            made(cloud.member, tags=["t"], **{f"p{number}": "v"})
        cloud.member.get(IMAGES)
        counts.append(cloud.member.get(IMAGES, tag="t", p1="v", member_status="all").statements)
    # BEGIN, and the list.
    assert counts == [2, 2]


def test_a_patch_shows_in_the_list(cloud: ApiCloud, listed: Callable[..., list[str]]) -> None:
    image = made(cloud.member, name="old", note="x")
    patch(cloud.member, image["id"], {"op": "remove", "path": "/note"})
    assert listed(note="x") == []
