"""Images made, shown and deleted."""

import uuid
from typing import Any

import pytest

from polyvisor.image.files import FileBackend
from polyvisor.model.assignment import Assignment
from tests.api.cloud import ApiCloud
from tests.api.image.calls import IMAGES, made, put, show, uploaded


def test_a_new_image_is_queued_and_shared_and_belongs_to_the_callers_project(cloud: ApiCloud) -> None:
    answer = cloud.member.post(IMAGES, {"name": "debian"})
    assert answer.status == 201
    image = answer.body
    assert answer.headers["location"] == f"http://cloud.test{IMAGES}/{image['id']}"
    assert (image["status"], image["visibility"], image["owner"]) == ("queued", "shared", cloud.project_id("demo"))
    assert image["disk_format"] is None
    assert image["size"] is None
    assert image["file"] == f"/v2/images/{image['id']}/file"
    assert show(cloud.member, image["id"]) == image


def test_all_that_can_be_set_is_kept(cloud: ApiCloud) -> None:
    chosen = str(uuid.uuid4())
    given = {
        "id": chosen, "name": "ünïcode", "disk_format": "qcow2", "container_format": "bare", "min_disk": 3,
        "min_ram": 512, "protected": True, "os_hidden": True, "visibility": "private", "tags": ["a", "b"],
        "hw_disk_bus": "scsi", "img_hv_type": "vmware", "anything at all": "with a value",
    }  # fmt: skip
    shown = cloud.member.post(IMAGES, given).body
    assert {name: shown[name] for name in given} == given


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "not-a-uuid"), ("id", 7), ("name", "x" * 256), ("name", 1), ("disk_format", "ploop"),
        ("disk_format", "docker"), ("container_format", "docker"), ("min_disk", -1), ("min_disk", "1"),
        ("min_disk", True), ("min_ram", 2**31), ("protected", "yes"), ("os_hidden", 1), ("visibility", "secret"),
        ("tags", "a"), ("tags", [1]), ("tags", [""]), ("tags", ["x" * 256]), ("hw_note", 1), ("hw_note", {"a": "b"}),
        ("hw_note", "x" * 70_000), ("img_hv_type", "abacus"), ("hw_firmware_type", "efi"),
        ("hw_architecture", "z80"), ("vmware_disktype", "fluffy"), ("x" * 256, "y"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_by_name(cloud: ApiCloud, field: str, value: Any) -> None:
    answer = cloud.member.post(IMAGES, {field: value})
    assert answer.status == 400
    assert field[:64] in answer.body["message"]
    assert cloud.member.get(IMAGES).body["images"] == []


@pytest.mark.parametrize("field", ["status", "size", "checksum", "created_at", "self", "virtual_size", "locations",
                                   "os_hash_value", "os_glance_stage_host"])  # fmt: skip
def test_what_the_service_says_of_an_image_cannot_be_set(cloud: ApiCloud, field: str) -> None:
    answer = cloud.member.post(IMAGES, {field: "active"})
    assert answer.status == 403
    assert field in answer.body["message"]


def test_formats_that_contradict_each_other_are_refused(cloud: ApiCloud) -> None:
    answer = cloud.member.post(IMAGES, {"disk_format": "qcow2", "container_format": "ova"})
    assert answer.status == 400
    assert "vmdk" in answer.body["message"]


@pytest.mark.parametrize("body", [[], "text", 3])
def test_a_body_that_is_no_object_is_refused(cloud: ApiCloud, body: Any) -> None:
    assert cloud.member.post(IMAGES, body).status == 400


def test_an_id_is_never_used_twice_not_even_after_a_deletion(cloud: ApiCloud) -> None:
    chosen = made(cloud.member)["id"]
    assert cloud.member.post(IMAGES, {"id": chosen}).status == 409
    assert cloud.member.delete(f"{IMAGES}/{chosen}").status == 204
    assert cloud.other.post(IMAGES, {"id": chosen}).status == 409


def test_too_many_properties_or_tags_are_refused(cloud: ApiCloud) -> None:
    assert cloud.member.post(IMAGES, {f"p{n}": "v" for n in range(129)}).status == 413
    assert cloud.member.post(IMAGES, {"tags": [f"t{n}" for n in range(129)]}).status == 413
    assert cloud.member.post(IMAGES, {f"p{n}": "v" for n in range(128)}).status == 201


def test_only_an_administrator_makes_images_for_others_and_for_everybody(cloud: ApiCloud) -> None:
    theirs = {"owner": cloud.project_id("other")}
    assert cloud.member.post(IMAGES, theirs).status == 403
    assert cloud.member.post(IMAGES, {"visibility": "public"}).status == 403
    assert cloud.admin.post(IMAGES, theirs).body["owner"] == cloud.project_id("other")
    assert cloud.admin.post(IMAGES, {"visibility": "public"}).status == 201
    assert cloud.member.post(IMAGES, {"visibility": "community"}).status == 201


def test_a_reader_reads_and_does_not_write(cloud: ApiCloud) -> None:
    image = uploaded(cloud.member)
    here = f"{IMAGES}/{image['id']}"
    assert cloud.reader.get(here).status == 200
    assert cloud.reader.post(IMAGES, {}).status == 403
    assert cloud.reader.delete(here).status == 403
    assert cloud.reader.get(f"{here}/file").status == 403
    assert put(cloud.reader, made(cloud.member)["id"], b"data").status == 403


@pytest.mark.parametrize("visibility", ["private", "shared"])
def test_another_projects_image_is_not_there(cloud: ApiCloud, visibility: str) -> None:
    image = uploaded(cloud.member, visibility=visibility)
    here = f"{IMAGES}/{image['id']}"
    unknown = f"{IMAGES}/{uuid.uuid4()}"
    for method, path, status in (
        ("GET", "", 404), ("GET", "/file", 404), ("DELETE", "", 404), ("PUT", "/tags/a", 404),
        ("POST", "/actions/deactivate", 404), ("GET", "/members", 404),
    ):  # fmt: skip
        answer = cloud.other.request(method, here + path)
        assert answer.status == status, (method, path)
        # Foreign and unknown read alike, but for the id.
        same = cloud.other.request(method, unknown + path)
        assert same.body["message"].replace(unknown[-36:], image["id"]) == answer.body["message"]
    assert cloud.admin.get(here).status == 200


@pytest.mark.parametrize("visibility", ["public", "community"])
def test_an_open_image_is_everybodys_to_use_and_its_owners_to_change(cloud: ApiCloud, visibility: str) -> None:
    image = uploaded(cloud.admin, visibility=visibility)
    here = f"{IMAGES}/{image['id']}"
    assert cloud.other.get(here).status == 200
    assert cloud.other.get(f"{here}/file").status == 200
    assert cloud.other.delete(here).status == 403
    assert cloud.other.put(f"{here}/tags/a").status == 403
    assert put(cloud.other, made(cloud.admin, visibility=visibility)["id"], b"data").status == 403


def test_a_deleted_image_and_its_data_are_gone(cloud: ApiCloud, backend: FileBackend) -> None:
    image = uploaded(cloud.member)
    assert backend.usage().images == 1
    assert cloud.member.delete(f"{IMAGES}/{image['id']}").status == 204
    assert backend.usage().images == 0
    assert cloud.member.get(f"{IMAGES}/{image['id']}").status == 404
    assert cloud.admin.get(f"{IMAGES}/{image['id']}").status == 404
    assert cloud.admin.get(IMAGES).body["images"] == []
    assert cloud.member.delete(f"{IMAGES}/{image['id']}").status == 404


def test_a_protected_image_is_not_deleted(cloud: ApiCloud, backend: FileBackend) -> None:
    image = uploaded(cloud.member, protected=True)
    answer = cloud.member.delete(f"{IMAGES}/{image['id']}")
    assert answer.status == 403
    assert "protected" in answer.body["message"]
    assert cloud.admin.delete(f"{IMAGES}/{image['id']}").status == 403
    assert backend.usage().images == 1


def test_an_image_without_an_id_is_not_there(cloud: ApiCloud) -> None:
    made(cloud.member)
    assert cloud.member.get(f"{IMAGES}/").status == 404
    assert cloud.member.delete(f"{IMAGES}/").status == 404
    assert cloud.member.delete(IMAGES).status == 405
    assert len(cloud.member.get(IMAGES).body["images"]) == 1


def test_an_error_has_glances_form(cloud: ApiCloud) -> None:
    answer = cloud.member.get(f"{IMAGES}/{uuid.uuid4()}")
    assert set(answer.body) == {"message", "code", "title"}
    assert answer.body["code"] == "404 Not Found"
    assert answer.headers["x-openstack-request-id"].startswith("req-")


def test_the_versions_document_names_version_two(cloud: ApiCloud) -> None:
    answer = cloud.anyone.get("/image")
    assert answer.status == 300
    current = next(version for version in answer.body["versions"] if version["status"] == "CURRENT")
    assert current["id"].startswith("v2.")
    assert current["links"] == [{"rel": "self", "href": "http://cloud.test/image/v2/"}]
    assert cloud.anyone.get(IMAGES).status == 401


def test_showing_an_image_takes_one_statement(cloud: ApiCloud) -> None:
    image = uploaded(cloud.member)
    show(cloud.member, image["id"])
    # BEGIN, and the statement itself.
    assert cloud.member.get(f"{IMAGES}/{image['id']}").statements <= 2


def test_an_administrator_of_the_system_sees_images_and_makes_them_for_a_project(cloud: ApiCloud) -> None:
    image = uploaded(cloud.member)
    admin = cloud.user_id("admin", "admin")
    with cloud.database.write() as store:
        [role] = [role.id for role in store.role.list() if role.name == "admin"]
        store.assignment.grant(Assignment(role_id=role, user_id=admin, system=True))
    system = cloud.client(cloud.callers.scoped(admin, system=True))
    here = f"{IMAGES}/{image['id']}"
    for path in (IMAGES, here, f"{here}/file", f"{here}/members"):
        assert system.get(path).status == 200, path
    assert system.post(IMAGES, {"owner": cloud.project_id("demo")}).status == 201
    answer = system.post(IMAGES, {"name": "nobodys"})
    assert answer.status == 401
    assert "token for a project" in answer.body["error"]["message"]
    assert system.delete(here).status == 204
