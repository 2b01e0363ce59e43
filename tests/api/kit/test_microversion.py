"""Microversions and versions documents, through a service that has both."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.cloud import ApiCloud
from tests.api.kit.service import service

CARS = "/carriage/v2.1/cars"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ApiCloud]:
    with ApiCloud(tmp_path, [service]) as cloud:
        yield cloud


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({}, "2.1"),
        ({"openstack-api-version": "carriage 2.5"}, "2.5"),
        ({"openstack-api-version": "carriage latest"}, "2.7"),
        ({"openstack-api-version": "compute 2.90, carriage 2.6"}, "2.6"),
        ({"openstack-api-version": "compute 2.90"}, "2.1"),
        ({"x-openstack-carriage-api-version": "2.4"}, "2.4"),
        ({"x-openstack-carriage-api-version": "2.4", "openstack-api-version": "carriage 2.5"}, "2.5"),
    ],
)
def test_a_version_is_taken_from_either_header_and_said_in_both(
    cloud: ApiCloud, headers: dict[str, str], version: str
) -> None:
    answer = cloud.member.request("GET", f"{CARS}/1", headers=headers)
    assert answer.status == 200
    assert answer.headers["openstack-api-version"] == f"carriage {version}"
    assert answer.headers["x-openstack-carriage-api-version"] == version
    assert answer.headers["vary"] == "OpenStack-API-Version, X-OpenStack-Carriage-API-Version"
    assert ("tags" in answer.body["car"]) == (version >= "2.5")


@pytest.mark.parametrize("asked", ["2.8", "2.0", "3.1", "1.9"])
def test_a_version_out_of_range_is_refused_with_the_range(cloud: ApiCloud, asked: str) -> None:
    answer = cloud.member.request("GET", CARS, headers={"openstack-api-version": f"carriage {asked}"})
    assert answer.status == 406
    [fault] = answer.body.values()
    assert fault["message"] == f"Version {asked} is not supported by the API. Minimum is 2.1 and maximum is 2.7."
    assert fault["code"] == 406


@pytest.mark.parametrize("asked", ["two", "2", "2.x", "02.1", "2.1.1", "", "2.99999999999"])
def test_a_malformed_version_is_refused(cloud: ApiCloud, asked: str) -> None:
    answer = cloud.member.request("GET", CARS, headers={"x-openstack-carriage-api-version": asked or "."})
    assert answer.status == 400
    assert "MajorNum.MinorNum" in answer.body["badRequest"]["message"]


def test_bodies_follow_the_version(cloud: ApiCloud) -> None:
    body = {"car": {"name": "x", "tags": ["fast"]}}
    assert cloud.member.post(CARS, body).status == 400
    assert cloud.member.with_headers(openstack_api_version="carriage 2.5").post(CARS, body).status == 202


def test_the_root_of_a_service_and_of_its_version_say_what_it_serves(cloud: ApiCloud) -> None:
    for path in ("/carriage", "/carriage/"):
        answer = cloud.anyone.get(path)
        assert answer.status == 200
        [version] = answer.body["versions"]
        assert (version["id"], version["version"], version["min_version"]) == ("v2.1", "2.7", "2.1")
        assert version["links"] == [{"rel": "self", "href": "http://cloud.test/carriage/v2.1/"}]
    shown = cloud.anyone.get("/carriage/v2.1/").body["version"]
    assert (shown["version"], shown["min_version"]) == ("2.7", "2.1")
    assert cloud.anyone.post("/carriage/v2.1").status == 404


def test_the_root_of_the_cloud_names_every_service(cloud: ApiCloud) -> None:
    answer = cloud.anyone.get("/")
    assert answer.status == 300
    [version] = answer.body["versions"]
    assert version["service_type"] == "carriage"
    assert (version["min_version"], version["version"]) == ("2.1", "2.7")
    assert version["links"][0]["href"] == "http://cloud.test/carriage/v2.1/"
