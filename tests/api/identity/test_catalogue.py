"""Regions, services, endpoints, and the catalogue that tokens show."""

from tests.api.cloud import ApiCloud
from tests.api.identity.person import Person

V3 = "/identity/v3"


def test_the_catalogue_of_a_token_comes_from_services_and_endpoints(cloud: ApiCloud, ada: Person) -> None:
    cloud.admin.put(f"{V3}/regions/One", {"region": {"description": "First"}})
    service = cloud.admin.post(f"{V3}/services", {"service": {"type": "object-store", "name": "swift"}}).body["service"]
    for interface, url in (("public", "http://x/v1/AUTH_$(project_id)s"), ("internal", "http://x/v1/%(tenant_id)s")):
        body = {"service_id": service["id"], "interface": interface, "url": url, "region_id": "One"}
        assert cloud.admin.post(f"{V3}/endpoints", {"endpoint": body}).status == 201
    [entry] = ada.ask().body["token"]["catalog"]
    assert (entry["type"], entry["name"]) == ("object-store", "swift")
    urls = {one["interface"]: one["url"] for one in entry["endpoints"]}
    assert urls == {"public": f"http://x/v1/AUTH_{ada.project_id}", "internal": f"http://x/v1/{ada.project_id}"}
    assert {one["region_id"] for one in entry["endpoints"]} == {"One"}
    [listed] = ada.client().get(f"{V3}/auth/catalog").body["catalog"]
    assert listed == entry
    cloud.admin.patch(f"{V3}/services/{service['id']}", {"service": {"enabled": False}})
    assert ada.ask().body["token"]["catalog"] == []


def test_regions_services_and_endpoints_are_kept(cloud: ApiCloud) -> None:
    region = cloud.admin.post(f"{V3}/regions", {"region": {"id": "One"}}).body["region"]
    assert region["parent_region_id"] is None
    assert cloud.admin.post(f"{V3}/regions", {"region": {"id": "One"}}).status == 409
    child = cloud.admin.post(f"{V3}/regions", {"region": {"parent_region_id": "One"}}).body["region"]["id"]
    assert cloud.admin.patch(f"{V3}/regions/One", {"region": {"parent_region_id": child}}).status == 400
    assert cloud.admin.get(f"{V3}/regions", parent_region_id="One").body["regions"][0]["id"] == child
    assert cloud.admin.delete(f"{V3}/regions/One").status == 403
    assert cloud.member.get(f"{V3}/regions/One").status == 200
    service = cloud.admin.post(f"{V3}/services", {"service": {"type": "volume"}}).body["service"]["id"]
    wrong = {"service_id": "0", "interface": "public", "url": "http://x"}
    assert cloud.admin.post(f"{V3}/endpoints", {"endpoint": wrong}).status == 400
    for changed in ({"interface": "secret"}, {"url": "no address"}, {"region_id": "Nowhere"}):
        body = {**wrong, "service_id": service, **changed}
        assert cloud.admin.post(f"{V3}/endpoints", {"endpoint": body}).status == 400
    body = {**wrong, "service_id": service, "region": "One"}
    endpoint = cloud.admin.post(f"{V3}/endpoints", {"endpoint": body}).body["endpoint"]
    assert endpoint["region_id"] == "One"
    path = f"{V3}/endpoints/{endpoint['id']}"
    assert cloud.admin.patch(path, {"endpoint": {"url": "http://y"}}).body["endpoint"]["url"] == "http://y"
    assert cloud.admin.patch(path, {"endpoint": {"region": "Two"}}).body["endpoint"]["region_id"] == "Two"
    assert cloud.member.get(f"{V3}/regions/Two").status == 200
    assert cloud.admin.delete(f"{V3}/regions/Two").status == 403
    assert cloud.admin.patch(path, {"endpoint": {"region_id": "Three"}}).status == 400
    assert len(cloud.admin.get(f"{V3}/endpoints", interface="public", service_id=service).body["endpoints"]) == 1
    assert cloud.admin.get(f"{V3}/endpoints", interface="admin").body["endpoints"] == []
    assert cloud.admin.delete(f"{V3}/services/{service}").status == 204
    assert cloud.admin.get(path).status == 404
    assert cloud.member.get(f"{V3}/services").status == 403
