"""Tags of servers, and what a server's change answers by version."""

from typing import Any

import pytest

from polyvisor.model.image import Image, ImageStatus, Visibility
from tests.api.client import ApiClient
from tests.api.cloud import ApiCloud
from tests.api.compute import estate
from tests.api.compute.conftest import at

SERVERS = "/compute/v2.1/servers"
IMAGE = Image(
    id="aaaaaaaa-0000-4000-8000-000000000001",
    name="image",
    owner="nobody",
    status=ImageStatus.ACTIVE,
    visibility=Visibility.PUBLIC,
    disk_format="raw",
    container_format="bare",
    size_bytes=1024,
    virtual_size_bytes=1024,
    hash_value="00",
    created_at=estate.NOW,
    updated_at=estate.NOW,
)


@pytest.fixture
def address(cloud: ApiCloud) -> str:
    """The address of a member's server."""
    with cloud.database.write() as store:
        store.image.create(IMAGE)
        store.flavor.bootstrap(estate.NOW)
    return f"{SERVERS}/{created(cloud.member).body['server']['id']}"


def created(client: ApiClient, **fields: Any) -> Any:
    return client.post(SERVERS, {"server": {"name": "one", "imageRef": IMAGE.id, "flavorRef": "2", **fields}})


def test_tags_are_replaced_added_asked_for_and_removed(cloud: ApiCloud, address: str) -> None:
    member = at(cloud.member, "2.26")
    assert member.put(f"{address}/tags", {"tags": ["blue", "red", "blue"]}).body == {"tags": ["blue", "red"]}
    added = member.put(f"{address}/tags/green")
    assert (added.status, added.headers["location"].endswith(f"{address}/tags/green")) == (201, True)
    assert member.put(f"{address}/tags/green").status == 204
    assert member.get(f"{address}/tags/red").status == 204
    assert member.delete(f"{address}/tags/red").status == 204
    assert member.get(f"{address}/tags/red").status == 404
    assert member.delete(f"{address}/tags/red").status == 404
    assert member.get(address).body["server"]["tags"] == ["blue", "green"]
    assert member.delete(f"{address}/tags").status == 204
    assert member.get(f"{address}/tags").body == {"tags": []}


def test_tags_begin_at_2_26(cloud: ApiCloud, address: str) -> None:
    assert at(cloud.member, "2.25").get(f"{address}/tags").status == 404


def test_tags_that_are_none_are_refused(cloud: ApiCloud, address: str) -> None:
    member = at(cloud.member, "2.26")
    assert member.put(f"{address}/tags", {"tags": ["x" * 61]}).status == 400
    assert member.put(f"{address}/tags", {"tags": [f"tag-{number}" for number in range(51)]}).status == 400
    refused = member.put(f"{address}/tags/{'x' * 61}")
    assert refused.status == 400
    assert "1 to 60 characters" in refused.body["badRequest"]["message"]


def test_tags_of_another_project_are_not_found_and_readers_change_none(cloud: ApiCloud, address: str) -> None:
    assert at(cloud.other, "2.26").get(f"{address}/tags").status == 404
    assert at(cloud.reader, "2.26").get(f"{address}/tags").status == 200
    assert at(cloud.reader, "2.26").put(f"{address}/tags/one").status == 403


def test_access_addresses_are_checked_and_shortened(cloud: ApiCloud, address: str) -> None:
    server = cloud.member.put(address, {"server": {"accessIPv6": "0:0:0:0:0:babe:220.12.22.2", "accessIPv4": ""}})
    assert (server.body["server"]["accessIPv6"], server.body["server"]["accessIPv4"]) == ("::babe:dc0c:1602", "")
    for field, value in (("accessIPv4", "::1"), ("accessIPv6", "10.0.0.1"), ("accessIPv4", "here")):
        for refused in (cloud.member.put(address, {"server": {field: value}}), created(cloud.member, **{field: value})):
            assert refused.status == 400
            assert field in refused.body["badRequest"]["message"]


def test_a_change_answers_with_the_whole_server_from_2_75_on(cloud: ApiCloud, address: str) -> None:
    change = {"server": {"name": "two"}}
    before = at(cloud.member, "2.74").put(address, change).body["server"]
    assert {"key_name", "config_drive", "OS-EXT-STS:vm_state", "OS-SRV-USG:launched_at"}.isdisjoint(before)
    assert before["OS-DCF:diskConfig"] == "MANUAL"
    after = at(cloud.member, "2.75").put(address, change).body["server"]
    assert after == at(cloud.member, "2.75").get(address).body["server"]
    assert after["server_groups"] == []
