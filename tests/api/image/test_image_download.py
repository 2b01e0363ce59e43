"""Data downloaded, whole and in part."""

import random
from pathlib import Path
from typing import Any

import pytest

from tests.api.cloud import ApiCloud
from tests.api.image.calls import IMAGES, made, uploaded

DATA = random.Random(1).randbytes(3_000_000)


@pytest.fixture
def image(cloud: ApiCloud) -> dict[str, Any]:
    """An image with DATA."""
    return uploaded(cloud.member, DATA)


def test_a_download_is_what_was_uploaded(cloud: ApiCloud, image: dict[str, Any]) -> None:
    answer = cloud.member.get(f"{IMAGES}/{image['id']}/file")
    assert answer.status == 200
    assert answer.content == DATA
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-length"] == str(len(DATA))
    assert answer.headers["content-md5"] == image["checksum"]


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=10-1999999", 10, 1_999_999),
        ("bytes=2999990-", 2_999_990, 2_999_999),
        ("bytes=-7", 2_999_993, 2_999_999),
        ("bytes=-9000000", 0, 2_999_999),
        ("bytes=5-9000000", 5, 2_999_999),
    ],
)
def test_a_part_is_downloaded(cloud: ApiCloud, image: dict[str, Any], asked: str, first: int, last: int) -> None:
    answer = cloud.member.request("GET", f"{IMAGES}/{image['id']}/file", headers={"Range": asked})
    assert answer.status == 206
    assert answer.content == DATA[first : last + 1]
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(DATA)}"
    assert answer.headers["content-length"] == str(last - first + 1)
    assert "content-md5" not in answer.headers


@pytest.mark.parametrize("asked", ["bytes=3000000-", "bytes=4000000-5000000", "bytes=-0"])
def test_a_part_beyond_the_end_is_refused(cloud: ApiCloud, image: dict[str, Any], asked: str) -> None:
    answer = cloud.member.request("GET", f"{IMAGES}/{image['id']}/file", headers={"Range": asked})
    assert answer.status == 416
    assert answer.headers["content-range"] == f"bytes */{len(DATA)}"
    assert str(len(DATA)) in answer.body["message"]


@pytest.mark.parametrize("asked", ["items=0-5", "bytes=5-1", "bytes=0-1,5-6", "bytes=-", "nonsense"])
def test_a_range_that_cannot_be_read_is_ignored(cloud: ApiCloud, image: dict[str, Any], asked: str) -> None:
    answer = cloud.member.request("GET", f"{IMAGES}/{image['id']}/file", headers={"Range": asked})
    assert answer.status == 200
    assert answer.content == DATA


def test_head_says_how_long_the_data_is_and_sends_none(cloud: ApiCloud, image: dict[str, Any]) -> None:
    answer = cloud.member.head(f"{IMAGES}/{image['id']}/file")
    assert (answer.status, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(DATA))


def test_a_queued_image_has_no_content(cloud: ApiCloud) -> None:
    answer = cloud.member.get(f"{IMAGES}/{made(cloud.member)['id']}/file")
    assert (answer.status, answer.content) == (204, b"")


def test_data_that_is_missing_on_disk_is_an_error_and_not_an_empty_image(
    cloud: ApiCloud, image: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "images" / image["id"]).unlink()
    answer = cloud.member.get(f"{IMAGES}/{image['id']}/file")
    assert answer.status == 404
    assert str(tmp_path) not in answer.body["message"]
