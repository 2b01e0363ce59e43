"""Schemas and what the service says of itself."""

from tests.api.cloud import ApiCloud
from tests.api.image.calls import IMAGES, made, uploaded


def test_the_schema_names_every_field_that_an_image_shows(cloud: ApiCloud) -> None:
    schema = cloud.member.get("/image/v2/schemas/image").body
    assert schema["name"] == "image"
    assert set(uploaded(cloud.member)) == set(schema["properties"])
    assert schema["properties"]["checksum"]["readOnly"] is True
    assert "readOnly" not in schema["properties"]["name"]
    assert schema["additionalProperties"] == {"type": "string"}


def test_every_format_in_the_schema_is_taken_and_no_other(cloud: ApiCloud) -> None:
    fields = cloud.member.get("/image/v2/schemas/image").body["properties"]
    for disk_format in fields["disk_format"]["enum"]:
        assert cloud.member.post(IMAGES, {"disk_format": disk_format}).status == 201
    assert "ploop" not in fields["disk_format"]["enum"]


def test_the_schemas_of_lists_and_members_are_there(cloud: ApiCloud) -> None:
    for name in ("images", "member", "members"):
        assert cloud.member.get(f"/image/v2/schemas/{name}").body["name"] == name
    image = made(cloud.member)
    member = cloud.member.post(f"{IMAGES}/{image['id']}/members", {"member": "x"}).body
    assert set(member) == set(cloud.member.get("/image/v2/schemas/member").body["properties"])
    assert cloud.member.get("/image/v2/schemas/nothing").status == 404
    assert cloud.anyone.get("/image/v2/schemas/image").status == 401


def test_no_import_method_is_offered_that_is_not_there(cloud: ApiCloud) -> None:
    assert cloud.member.get("/image/v2/info/import").body["import-methods"]["value"] == []
    assert cloud.member.post(f"{IMAGES}/{made(cloud.member)['id']}/import", {}).status == 404
    assert cloud.member.get("/image/v2/tasks").status == 404
    assert [store["id"] for store in cloud.member.get("/image/v2/info/stores").body["stores"]] == ["file"]
