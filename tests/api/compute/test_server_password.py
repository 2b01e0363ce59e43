"""The password that a guest has posted: its project reads it, and may have it forgotten."""

import uuid

import pytest

from tests.api.cloud import ApiCloud
from tests.store.test_server import server


@pytest.fixture
def address(cloud: ApiCloud) -> str:
    """That of a member's server whose guest has posted a password."""
    id = str(uuid.uuid4())
    with cloud.database.write() as store:
        store.server.create([server(1, id=id, project_id=cloud.project_id("demo"), host=None)])
        assert store.server_password.set_once(id, "c2VjcmV0")
    return f"/compute/v2.1/servers/{id}/os-server-password"


def test_its_project_reads_it_and_has_it_forgotten(cloud: ApiCloud, address: str) -> None:
    assert cloud.member.get(address).body == {"password": "c2VjcmV0"}
    assert cloud.member.delete(address).status == 204
    assert cloud.member.get(address).body == {"password": ""}
    assert cloud.member.delete(address).status == 204


def test_a_reader_has_nothing_forgotten(cloud: ApiCloud, address: str) -> None:
    assert cloud.reader.get(address).status == 200
    assert cloud.reader.delete(address).status == 403
    assert cloud.member.get(address).body == {"password": "c2VjcmV0"}


def test_to_other_projects_there_is_no_such_server(cloud: ApiCloud, address: str) -> None:
    assert cloud.other.get(address).status == 404
    assert cloud.other.delete(address).status == 404
    assert cloud.member.get(address).body == {"password": "c2VjcmV0"}
