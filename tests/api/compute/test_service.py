"""What holds for the Compute service as a whole."""

import re
from pathlib import Path

from polyvisor.api.compute.service import service
from tests.api.cloud import ApiCloud
from tests.api.compute.conftest import at

EXTENSIONS = "/compute/v2.1/extensions"


def test_every_resource_is_on_the_reference_page() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/compute-api.md").read_text()
    told = set(re.findall(r"`(?:[A-Z]+ )?(/[^`]*)`", page))
    for route in service.routes:
        collection = route.path.split("/")[1]
        assert any(path.split("/")[1] == collection for path in told), f"{route.method} {route.path}"
    actions = {route.action for route in service.routes if route.action}
    assert {action for action in actions if f"`{action}`" not in page} <= {"addTenantAccess", "removeTenantAccess"}


def test_extensions_name_what_is_offered_and_nothing_else(cloud: ApiCloud) -> None:
    listed = cloud.member.get(EXTENSIONS).body["extensions"]
    aliases = {each["alias"] for each in listed}
    first_segments = {route.path.split("/")[1] for route in service.routes}
    assert {alias for alias in first_segments if alias.startswith("os-")} <= aliases
    assert "os-volumes" not in aliases
    assert cloud.member.get(f"{EXTENSIONS}/os-keypairs").body["extension"]["alias"] == "os-keypairs"
    assert cloud.member.get(f"{EXTENSIONS}/os-volumes").status == 404


def test_proxies_to_other_services_are_not_found(cloud: ApiCloud) -> None:
    for path in ("images", "os-networks", "os-volumes", "os-floating-ips", "os-cells"):
        answer = cloud.admin.get(f"/compute/v2.1/{path}")
        assert answer.status == 404
        assert answer.body["itemNotFound"]["code"] == 404


def test_microversions_out_of_range_are_not_acceptable(cloud: ApiCloud) -> None:
    assert at(cloud.member, "2.97").get(EXTENSIONS).status == 406
    assert at(cloud.member, "1.0").get(EXTENSIONS).status == 406
    assert at(cloud.member, "two").get(EXTENSIONS).status == 400
    latest = at(cloud.member, "latest").get(EXTENSIONS)
    assert latest.headers["openstack-api-version"] == "compute 2.96"
