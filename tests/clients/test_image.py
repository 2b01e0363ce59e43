"""The unmodified `openstack` command and openstacksdk against the Image service."""

import hashlib
import random
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from openstack.exceptions import NotFoundException

from polyvisor.serve.image_store import MARK
from tests.clients.cloud import ADMIN, RunningCloud
from tests.image import images
from tests.image.images import MIB

CHUNK_BYTES = 512 << 10
TAKEN = {
    "qcow2": ("qcow2", "bare"),
    "raw": ("raw", "bare"),
    "vmdk": ("vmdk", "bare"),
    "vhdx": ("vhdx", "bare"),
    "iso": ("iso", "bare"),
    "ova": ("vmdk", "ova"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One disk in the formats that people upload; not to be changed."""
    folder = tmp_path_factory.mktemp("files")
    raw = images.raw_disk(folder / "disk.raw")
    vmdk = images.written(raw, folder / "disk.vmdk", "vmdk", "subformat=streamOptimized,adapter_type=lsilogic")
    return {
        "raw": raw,
        "vmdk": vmdk,
        "qcow2": images.written(raw, folder / "disk.qcow2", "qcow2"),
        "vhdx": images.written(raw, folder / "disk.vhdx", "vhdx"),
        "iso": images.iso(folder / "cd.iso"),
        "ova": images.ova_of(folder / "vm.ova", vmdk),
    }


@pytest.fixture
def name(cloud: RunningCloud) -> Iterator[str]:
    """A name; images whose names begin with it are deleted at the end."""
    name = f"image-{uuid.uuid4().hex[:8]}"
    yield name
    sdk = cloud.sdk(ADMIN)
    for image in sdk.image.images():
        if image.name.startswith(name):
            sdk.image.update_image(image, is_protected=False)
            sdk.image.delete_image(image)
    sdk.close()


def create(cloud: RunningCloud, name: str, path: Path, kind: str, *more: str, cloud_name: str = "polyvisor") -> Any:
    disk, container = TAKEN[kind]
    return cloud.ask(
        "image", "create", "--file", str(path), "--disk-format", disk, "--container-format", container, *more, name,
        cloud=cloud_name,
    )  # fmt: skip


def shown(cloud: RunningCloud, name: str, **options: Any) -> Any:
    return cloud.ask("image", "show", name, **options)


@pytest.mark.parametrize("kind", TAKEN)
def test_an_image_of_each_format_goes_in_and_comes_out_the_same(
    cloud: RunningCloud, name: str, files: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    create(cloud, name, files[kind], kind)
    image = shown(cloud, name)
    assert image["status"] == "active"
    assert image["size"] == files[kind].stat().st_size
    assert image["virtual_size"] == (files[kind].stat().st_size if kind == "iso" else 32 * MIB)
    assert image["checksum"] == hashlib.md5(files[kind].read_bytes()).hexdigest()
    cloud.openstack("image", "save", "--file", str(tmp_path / "saved"), name)
    assert (tmp_path / "saved").read_bytes() == files[kind].read_bytes()


def test_an_image_is_set_and_unset(cloud: RunningCloud, name: str, files: dict[str, Path]) -> None:
    create(cloud, name, files["qcow2"], "qcow2", "--property", "hw_disk_bus=scsi", "--tag", "one", "--min-disk", "1",
           "--private", "--protected")  # fmt: skip
    cloud.openstack(
        "image", "set", "--property", "img_hv_type=kvm", "--property", "os_distro=debian", "--tag", "two",
        "--min-ram", "256", "--shared", "--unprotected", "--name", f"{name}-new", name,
    )  # fmt: skip
    image = shown(cloud, f"{name}-new")
    assert (image["properties"]["img_hv_type"], image["properties"]["hw_disk_bus"]) == ("kvm", "scsi")
    assert (sorted(image["tags"]), image["min_ram"], image["min_disk"]) == (["one", "two"], 256, 1)
    assert (image["visibility"], image["protected"]) == ("shared", False)
    cloud.openstack("image", "unset", "--property", "os_distro", "--tag", "one", f"{name}-new")
    image = shown(cloud, f"{name}-new")
    assert "os_distro" not in image["properties"]
    assert image["tags"] == ["two"]
    cloud.openstack("image", "delete", f"{name}-new")
    assert "No Image found" in cloud.refusal("image", "show", f"{name}-new")


def test_lists_are_filtered_and_sorted(cloud: RunningCloud, name: str, files: dict[str, Path]) -> None:
    create(cloud, f"{name}-a", files["iso"], "iso", "--property", "kind=small", "--tag", name)
    create(cloud, f"{name}-b", files["raw"], "raw", "--property", "kind=large", "--tag", name)
    create(cloud, f"{name}-c", files["iso"], "iso", "--tag", name)
    cloud.openstack("image", "set", "--hidden", f"{name}-c")

    def listed(*words: str) -> list[str]:
        return [image["Name"] for image in cloud.ask("image", "list", "--tag", name, *words)]

    assert sorted(listed()) == [f"{name}-a", f"{name}-b"]
    assert listed("--sort", "size:desc") == [f"{name}-b", f"{name}-a"]
    assert listed("--property", "kind=small") == [f"{name}-a"]
    assert listed("--name", f"{name}-b", "--status", "active", "--shared") == [f"{name}-b"]
    assert listed("--hidden") == [f"{name}-c"]
    assert listed("--limit", "1") == [f"{name}-b"]
    assert len(listed("--long")) == 2


def test_an_image_is_shared_with_a_project_that_accepts(cloud: RunningCloud, name: str, files: dict[str, Path]) -> None:
    image = create(cloud, name, files["iso"], "iso", cloud_name=ADMIN)
    mine = cloud.ask("token", "issue")["project_id"]
    assert "No Image found" in cloud.refusal("image", "show", image["id"])
    cloud.openstack("image", "add", "project", image["id"], mine, cloud=ADMIN)
    [member] = cloud.ask("image", "member", "list", image["id"], cloud=ADMIN)
    assert (member["Member ID"], member["Status"]) == (mine, "pending")
    assert name not in [each["Name"] for each in cloud.ask("image", "list")]
    cloud.openstack("image", "set", "--accept", image["id"])
    assert name in [each["Name"] for each in cloud.ask("image", "list")]
    assert "403" in cloud.refusal("image", "delete", image["id"])
    cloud.openstack("image", "remove", "project", image["id"], mine, cloud=ADMIN)
    assert "No Image found" in cloud.refusal("image", "show", image["id"])


def test_only_an_administrator_makes_an_image_public(cloud: RunningCloud, name: str, files: dict[str, Path]) -> None:
    assert "publicize_image" in cloud.refusal("image", "create", "--public", name)
    create(cloud, name, files["iso"], "iso", "--public", cloud_name=ADMIN)
    assert shown(cloud, name)["visibility"] == "public"
    assert "403" in cloud.refusal("image", "set", "--name", "mine", name)


def test_an_image_is_deactivated_and_activated(
    cloud: RunningCloud, name: str, files: dict[str, Path], tmp_path: Path
) -> None:
    create(cloud, name, files["iso"], "iso")
    cloud.openstack("image", "set", "--deactivate", name)
    assert shown(cloud, name)["status"] == "deactivated"
    # The SDK takes the refusal for the data, and sees by its checksum that it is not.
    assert "Unable to download image" in cloud.refusal("image", "save", "--file", str(tmp_path / "saved"), name)
    cloud.openstack("image", "set", "--activate", name)
    assert shown(cloud, name)["status"] == "active"


def test_the_client_shows_why_an_image_is_refused(
    cloud: RunningCloud, name: str, files: dict[str, Path], tmp_path: Path
) -> None:
    said = cloud.refusal("image", "create", "--file", str(files["qcow2"]), "--disk-format", "raw", name)
    assert "declared raw, but its bytes are qcow2" in said
    said = cloud.refusal("image", "create", "--property", "img_hv_type=abacus", name)
    assert "img_hv_type" in said
    assert "vmware" in said


def test_a_body_of_a_gigabyte_that_lies_gets_its_answer(cloud: RunningCloud, name: str) -> None:
    sdk = cloud.sdk()
    image = sdk.image.create_image(name, disk_format="qcow2", container_format="bare")
    chunk = random.Random(1).randbytes(MIB)
    image.data = (chunk for _ in range(1024))
    answer = image.upload(sdk.image)
    assert answer.status_code == 400
    assert "declared qcow2, but its bytes are raw" in answer.json()["message"]
    assert sdk.image.get_image(image.id).status == "queued"
    assert [path.name for path in (cloud.data / "images").iterdir() if path.name.startswith(".partial")] == []
    sdk.close()


def test_the_sdk_uploads_downloads_and_pages(
    cloud: RunningCloud, name: str, files: dict[str, Path], tmp_path: Path
) -> None:
    sdk = cloud.sdk()
    image = sdk.create_image(
        name, filename=str(files["qcow2"]), disk_format="qcow2", container_format="bare", wait=True, hw_disk_bus="scsi"
    )
    assert image.status == "active"
    assert image.hw_disk_bus == "scsi"
    response = sdk.image.download_image(image, stream=True)
    assert b"".join(response.iter_content(MIB)) == files["qcow2"].read_bytes()
    for number in range(4):
        sdk.image.create_image(f"{name}-{number}", disk_format="raw", container_format="bare")
    paged = [each.name for each in sdk.image.images(limit=2) if each.name.startswith(name)]
    assert len(paged) == len(set(paged)) == 5
    found = sdk.image.find_image(f"{name}-3")
    assert sdk.image.update_image(found, name=f"{name}-x", note="y").name == f"{name}-x"
    sdk.image.add_tag(found, "tag")
    assert sdk.image.get_image(found.id).tags == ["tag"]
    sdk.image.remove_tag(found, "tag")
    assert sdk.image.get_images_schema().properties["images"]["type"] == "array"
    sdk.image.delete_image(found)
    with pytest.raises(NotFoundException):
        sdk.image.get_image(found.id)
    sdk.close()


def test_an_upload_ended_by_kill_9_can_be_repeated_after_the_next_start(
    own_cloud: Callable[..., RunningCloud], files: dict[str, Path]
) -> None:
    cloud = own_cloud("--simulated", "1")
    kept = create(cloud, "kept", files["qcow2"], "qcow2")
    sdk = cloud.sdk()
    image = sdk.image.create_image("cut", disk_format="raw", container_format="bare")
    stored = cloud.data / "images"

    def body() -> Iterator[bytes]:
        while True:
            yield bytes(CHUNK_BYTES)
            if image_is_saving() and any(stored.glob(".partial-*/data")):
                cloud.kill()

    def image_is_saving() -> bool:
        return bool(cloud.process) and sdk.image.get_image(image.id).status == "saving"

    headers = {"X-Auth-Token": sdk.auth_token, "Content-Type": "application/octet-stream"}
    with pytest.raises(requests.ConnectionError):
        requests.put(f"{cloud.url}/image/v2/images/{image.id}/file", data=body(), headers=headers, timeout=180)
    assert any(stored.glob(".partial-*"))
    cloud.start()
    sdk.close()
    sdk = cloud.sdk()
    assert sdk.image.get_image(image.id).status == "queued"
    # Beside the images there is the mark of the store, and the directory that uploads are staged in.
    assert [path.name for path in stored.iterdir() if not path.name.startswith((".staging", MARK))] == [kept["id"]]
    image.data = b"x" * 4096
    assert image.upload(sdk.image).status_code == 204
    assert sdk.image.get_image(image.id).status == "active"
    sdk.close()
