"""The page on the Networking API names what is there."""

from pathlib import Path

from polyvisor.api.network.service import service

PAGES = Path(__file__).parents[3] / "docs/reference"
OWN = ("networks", "segments", "subnets", "subnetpools", "address-scopes", "ports", "auto-allocated-topology",
       "rbac-policies", "network-ip-availabilities", "quotas", "agents", "availability_zones",
       "extensions")  # fmt: skip


def test_the_page_names_every_collection() -> None:
    page = (PAGES / "network-api.md").read_text(encoding="utf-8")
    collections = {route.path.split("/")[1] for route in service.routes}
    assert set(OWN) <= collections
    for collection in OWN:
        assert f"`/{collection}" in page, collection


def test_the_page_names_no_type_of_error_that_is_not_raised() -> None:
    page = (PAGES / "network-api.md").read_text(encoding="utf-8")
    root = Path(__file__).parents[3] / "src/polyvisor"
    sources = "\n".join(path.read_text(encoding="utf-8") for path in root.rglob("*.py"))
    rows = [line.split("|")[2] for line in page.splitlines() if line.startswith(("| 40", "| 41"))]
    named = {word.strip("` ") for row in rows for word in row.split(",")}
    assert len(named) > 10
    for kind in named:
        assert f'"{kind}"' in sources, kind
