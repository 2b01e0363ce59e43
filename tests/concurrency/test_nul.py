"""A NUL character, which PostgreSQL's texts cannot hold, is the client's mistake wherever it comes in."""

import pytest

from tests.api.cloud import ApiCloud
from tests.api.compute.test_server import IMAGE, SERVERS

NUL = "a\0b"
GETS = (
    f"{SERVERS}/%00",
    f"{SERVERS}/a%00b/tags/x%00",
    f"{SERVERS}?name=a%00b",
    f"{SERVERS}?marker=%00",
    f"{SERVERS}?tags=a%00b",
    "/compute/v2.1/flavors/a%00b",
    "/compute/v2.1/os-keypairs/a%00b",
    "/compute/v2.1/os-hypervisors/a%00b",
    "/compute/v2.1/os-aggregates/a%00b",
    "/identity/v3/users/a%00b",
    "/identity/v3/users?name=a%00b",
    "/identity/v3/projects/a%00b",
    "/identity/v3/roles?name=a%00b",
)
POSTS = (
    (SERVERS, {"server": {"name": NUL, "imageRef": IMAGE.id, "flavorRef": "2"}}),
    (SERVERS, {"server": {"name": "a", "imageRef": NUL, "flavorRef": "2"}}),
    (SERVERS, {"server": {"name": "a", "imageRef": IMAGE.id, "flavorRef": NUL}}),
    (SERVERS, {"server": {"name": "a", "imageRef": IMAGE.id, "flavorRef": "2", "metadata": {NUL: NUL}}}),
    (SERVERS, {"server": {"name": "a", "imageRef": IMAGE.id, "flavorRef": "2", "availability_zone": NUL}}),
    (SERVERS, {"server": {"name": "a", "imageRef": IMAGE.id, "flavorRef": "2", "key_name": NUL}}),
    ("/compute/v2.1/os-aggregates", {"aggregate": {"name": NUL}}),
    ("/compute/v2.1/flavors", {"flavor": {"name": NUL, "ram": 1, "vcpus": 1, "disk": 1}}),
    ("/identity/v3/users", {"user": {"name": NUL, "password": "p", "domain_id": "default"}}),
    ("/identity/v3/users", {"user": {"name": "a", "password": NUL, "domain_id": "default"}}),
    ("/identity/v3/users", {"user": {"name": "a", "password": "p", "domain_id": NUL}}),
    ("/identity/v3/projects", {"project": {"name": "a", "description": NUL}}),
    ("/identity/v3/roles", {"role": {"name": NUL}}),
)


@pytest.mark.parametrize("path", GETS)
def test_a_nul_in_an_address_is_no_error_of_the_server(cloud: ApiCloud, path: str) -> None:
    assert cloud.admin.get(path).status in (200, 400, 404)


def test_a_nul_in_a_body_is_refused_or_kept_and_no_error_of_the_server(cloud: ApiCloud) -> None:
    for path, body in POSTS:
        answer = cloud.admin.post(path, body)
        # Metadata are kept as JSON, in which it is written out.
        assert answer.status in (201, 202, 400, 404), (path, body, answer)


def test_a_nul_in_a_login_is_refused(cloud: ApiCloud) -> None:
    for name, password in ((NUL, "p"), ("a", NUL)):
        user = {"name": name, "password": password, "domain": {"id": "default"}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
        assert cloud.anyone.post("/identity/v3/auth/tokens", body).status in (400, 401)
