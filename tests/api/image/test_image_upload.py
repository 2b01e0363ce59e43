"""Data uploaded: each format found out, and refused where it lies."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from polyvisor.api.image.settings import ImageSettings
from polyvisor.image.files import FileBackend
from tests.api.cloud import ApiCloud
from tests.api.image.calls import CHUNK_BYTES, IMAGES, made, patch, put, show, uploaded
from tests.api.image.held import HeldUpload, cut_off
from tests.image import images
from tests.image.images import MIB, WRITTEN_BY_QEMU

LIMIT_BYTES = 80 * MIB


@pytest.fixture
def settings() -> ImageSettings:
    """A limit that a test can reach, and uploads that give signs of life all the time."""
    return ImageSettings(max_size_bytes=LIMIT_BYTES, upload_silence_seconds=0.001)


def nothing_is_left(cloud: ApiCloud, backend: FileBackend, image_id: str) -> None:
    """The image is queued as before its upload, no byte remains, and another upload works."""
    image = show(cloud.member, image_id)
    assert (image["status"], image["size"], image["checksum"]) == ("queued", None, None)
    assert backend.usage().images == 0
    assert backend.collect_stale((), 0) == []
    assert cloud.member.get(f"{IMAGES}/{image_id}/file").status == 204


def test_an_upload_makes_the_image_active_and_known_by_its_hashes(cloud: ApiCloud, raw: Path) -> None:
    image = uploaded(cloud.member, raw)
    data = raw.read_bytes()
    assert image["status"] == "active"
    assert image["size"] == image["virtual_size"] == len(data)
    assert image["checksum"] == hashlib.md5(data).hexdigest()
    assert (image["os_hash_algo"], image["os_hash_value"]) == ("sha512", hashlib.sha512(data).hexdigest())


@pytest.mark.parametrize("name", WRITTEN_BY_QEMU)
def test_every_format_is_stored_as_it_came_with_the_disks_size(
    cloud: ApiCloud, backend: FileBackend, formats: dict[str, Path], name: str
) -> None:
    image = uploaded(cloud.member, formats[name], disk_format=WRITTEN_BY_QEMU[name][0].value)
    assert image["status"] == "active"
    # VHD rounds a disk up to a whole cylinder.
    assert 32 * MIB <= image["virtual_size"] < 33 * MIB
    assert backend.path(image["id"]).read_bytes() == formats[name].read_bytes()


def test_a_vmdk_tells_its_disk_type_and_adapter(cloud: ApiCloud, formats: dict[str, Path]) -> None:
    image = uploaded(cloud.member, formats["vmdk-stream"], disk_format="vmdk", vmware_disktype="sparse")
    assert image["vmware_disktype"] == "streamOptimized"
    assert image["vmware_adaptertype"] == "lsiLogic"
    image = uploaded(cloud.member, formats["vmdk-stream"], disk_format="vmdk", vmware_adaptertype="paraVirtual")
    assert image["vmware_adaptertype"] == "paraVirtual"
    image = uploaded(cloud.member, formats["vmdk-sparse"], disk_format="vmdk")
    assert image["vmware_disktype"] == "sparse"
    with cloud.database.read() as store:
        assert store.image.get(image["id"]).subformat == "monolithicSparse"


def test_the_disk_type_of_stored_bytes_stays_true(cloud: ApiCloud, formats: dict[str, Path], raw: Path) -> None:
    def change(image_id: str, operation: str, value: str | None = None) -> int:
        given = {"op": operation, "path": "/vmware_disktype"} | ({"value": value} if value else {})
        return patch(cloud.member, image_id, given).status

    stream = uploaded(cloud.member, formats["vmdk-stream"], disk_format="vmdk")["id"]
    assert change(stream, "replace", "preallocated") == 400
    assert change(stream, "replace", "streamOptimized") == 200
    flat = uploaded(cloud.member, raw, disk_format="vmdk", vmware_disktype="preallocated")["id"]
    assert change(flat, "replace", "thin") == 200
    assert change(flat, "replace", "sparse") == 400
    assert change(flat, "remove") == 400
    assert show(cloud.member, flat)["vmware_disktype"] == "thin"


def test_an_iso_and_a_kernel_are_taken(cloud: ApiCloud, tmp_path: Path) -> None:
    iso = uploaded(cloud.member, images.iso(tmp_path / "cd.iso"), disk_format="iso")
    assert iso["virtual_size"] == iso["size"]
    kernel = uploaded(cloud.member, b"\x7fELF" + bytes(5000), disk_format="aki", container_format="aki")
    assert kernel["status"] == "active"


def test_an_ova_tells_what_its_machine_was(cloud: ApiCloud, formats: dict[str, Path], tmp_path: Path) -> None:
    path = images.ova_of(tmp_path / "vm.ova", formats["vmdk-stream"])
    image = uploaded(cloud.member, path, disk_format="vmdk", container_format="ova", hw_firmware_type="bios")
    assert image["virtual_size"] == 32 * MIB
    assert image["vmware_ostype"] == "debian10_64Guest"
    # What the user says stands.
    assert image["hw_firmware_type"] == "bios"


@pytest.mark.parametrize(
    ("declared", "real"),
    [("raw", "qcow2"), ("raw", "vmdk-sparse"), ("qcow2", "vmdk-stream"), ("vmdk", "qcow2"), ("iso", "qcow2"),
     ("vhdx", "vhd-dynamic"), ("vdi", "vhdx-fixed"), ("qcow2", "vhd-fixed")],
)  # fmt: skip
def test_a_lie_is_refused_and_leaves_nothing(
    cloud: ApiCloud, backend: FileBackend, formats: dict[str, Path], declared: str, real: str
) -> None:
    image = made(cloud.member, disk_format=declared)
    answer = put(cloud.member, image["id"], formats[real])
    assert answer.status == 400
    assert f"declared {declared}" in answer.body["message"]
    nothing_is_left(cloud, backend, image["id"])


def test_a_backing_file_is_refused_in_a_sentence_without_its_name(
    cloud: ApiCloud, backend: FileBackend, tmp_path: Path
) -> None:
    path = tmp_path / "overlay"
    images.qemu_img("create", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", path, "1M")
    image = made(cloud.member, disk_format="qcow2")
    answer = put(cloud.member, image["id"], path)
    assert answer.status == 400
    assert "backing file" in answer.body["message"]
    assert "passwd" not in answer.body["message"]
    nothing_is_left(cloud, backend, image["id"])


def test_a_gigabyte_of_lies_is_refused_within_its_first_mebibytes(cloud: ApiCloud, backend: FileBackend) -> None:
    taken = 0

    def body() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(1024 * MIB // CHUNK_BYTES):
            taken += CHUNK_BYTES
            yield bytes(CHUNK_BYTES)

    image = made(cloud.member, disk_format="qcow2")
    assert put(cloud.member, image["id"], body()).status == 400
    assert taken <= 2 * MIB
    nothing_is_left(cloud, backend, image["id"])


@pytest.mark.parametrize("part", [0.0, 0.5])
def test_an_empty_or_truncated_upload_is_refused(
    cloud: ApiCloud, backend: FileBackend, formats: dict[str, Path], part: float
) -> None:
    data = formats["vmdk-stream"].read_bytes()
    image = made(cloud.member, disk_format="vmdk")
    assert put(cloud.member, image["id"], [data[: int(len(data) * part)]]).status == 400
    nothing_is_left(cloud, backend, image["id"])


@pytest.mark.parametrize("tells", [True, False])
def test_an_image_over_the_limit_is_refused(cloud: ApiCloud, backend: FileBackend, tells: bool) -> None:
    image = made(cloud.member)
    size = LIMIT_BYTES + 1
    chunks = [bytes(MIB)] * (size // MIB + 1)
    headers = {"Content-Type": "application/octet-stream"} | ({"Content-Length": str(size)} if tells else {})
    answer = cloud.member.request("PUT", f"{IMAGES}/{image['id']}/file", data=chunks, headers=headers)
    assert answer.status == 413
    assert str(LIMIT_BYTES) in answer.body["message"]
    nothing_is_left(cloud, backend, image["id"])


def test_an_upload_that_is_cut_off_leaves_nothing(cloud: ApiCloud, backend: FileBackend) -> None:
    image = made(cloud.member)
    assert cut_off(cloud.member, image["id"], bytes(5 * MIB)) >= 400
    nothing_is_left(cloud, backend, image["id"])
    assert put(cloud.member, image["id"], bytes(4096)).status == 204


def test_data_needs_its_formats_and_its_content_type_first(cloud: ApiCloud, backend: FileBackend) -> None:
    image = made(cloud.member, disk_format=None)
    answer = put(cloud.member, image["id"], b"data")
    assert answer.status == 400
    assert "disk_format" in answer.body["message"]
    here = f"{IMAGES}/{made(cloud.member)['id']}/file"
    for content_type in ("application/json", "text/plain"):
        answer = cloud.member.request("PUT", here, data=b"data", headers={"Content-Type": content_type})
        assert answer.status == 415
    assert cloud.member.request("PUT", here, data=b"data").status == 415
    assert backend.usage().images == 0


def test_data_is_uploaded_once(cloud: ApiCloud) -> None:
    image = uploaded(cloud.member, b"first" * 200)
    answer = put(cloud.member, image["id"], b"other" * 200)
    assert answer.status == 409
    assert "active" in answer.body["message"]
    assert cloud.member.get(f"{IMAGES}/{image['id']}/file").content == b"first" * 200


def test_while_one_upload_runs_another_conflicts(cloud: ApiCloud) -> None:
    image = made(cloud.member)
    with HeldUpload(cloud.member, image["id"]) as held:
        held.send(b"x" * MIB)
        assert show(cloud.member, image["id"])["status"] == "saving"
        assert cloud.member.get(f"{IMAGES}/{image['id']}/file").status == 204
        answer = put(cloud.member, image["id"], b"y" * MIB)
        assert answer.status == 409
        assert "saving" in answer.body["message"]
        assert held.finish().status == 204
    assert cloud.member.get(f"{IMAGES}/{image['id']}/file").content == b"x" * MIB


def test_an_image_may_change_its_properties_while_it_is_uploaded(cloud: ApiCloud) -> None:
    image = made(cloud.member)
    with HeldUpload(cloud.member, image["id"]) as held:
        held.send(b"x" * MIB)
        patch(cloud.member, image["id"], {"op": "add", "path": "/note", "value": "kept"})
        refused = patch(cloud.member, image["id"], {"op": "replace", "path": "/disk_format", "value": "qcow2"})
        assert refused.status == 403
        assert held.finish().status == 204
    assert show(cloud.member, image["id"])["note"] == "kept"


@pytest.mark.parametrize("more", [b"", b"z" * MIB])
def test_an_image_deleted_while_it_is_uploaded_leaves_nothing(
    cloud: ApiCloud, backend: FileBackend, more: bytes
) -> None:
    image = made(cloud.member)
    with HeldUpload(cloud.member, image["id"]) as held:
        held.send(b"x" * MIB)
        assert cloud.member.delete(f"{IMAGES}/{image['id']}").status == 204
        if more:
            held._chunks.put(more)
        assert held.finish().status == 409
    assert cloud.member.get(f"{IMAGES}/{image['id']}").status == 404
    assert backend.usage().images == 0
    assert backend.collect_stale((), 0) == []
