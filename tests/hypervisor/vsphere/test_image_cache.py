"""Images on datastores: sent once, allocated bytes only, whole or not at all, and copied by vSphere from then on."""

import hashlib
import os
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pyVmomi import vim

from polyvisor.hypervisor import config_drive
from polyvisor.hypervisor.driver import Cancelled, HypervisorError, Unreachable
from polyvisor.hypervisor.vsphere import datastore_lock, image_upload
from polyvisor.hypervisor.vsphere.driver import VsphereDriver
from polyvisor.hypervisor.vsphere.image_cache import Ready
from polyvisor.model.image import ImageRef
from testbed.vcenter import TestVcenter

from .conftest import Connect, StartVcenter
from .kit import MIB, DiskImage, Person, cached, eventually, ignore, spec_of


@pytest.fixture
def host(driver: VsphereDriver) -> str:
    return driver.hosts()[0].name


@pytest.fixture
def image(tmp_path: Path) -> DiskImage:
    return DiskImage(tmp_path)


def raw_of(vcenter: TestVcenter, relative: str, tmp_path: Path) -> bytes:
    """A datastore's disk as the guest sees it."""
    out = tmp_path / "seen.raw"
    disk = vcenter.data_dir / "datastores" / "DC0" / "datastore1" / relative
    subprocess.run(["qemu-img", "convert", "-O", "raw", disk, out], check=True)
    return out.read_bytes()


def test_an_image_is_cached_and_each_server_gets_a_copy_of_its_own_size(
    vcenter: TestVcenter, driver: VsphereDriver, host: str, image: DiskImage, person: Person, tmp_path: Path
) -> None:
    assert driver.prepare_image(host, image.ref, image, ignore) == "datastore1"
    assert image.ref.id in driver.hosts()[0].cached_images
    spec = spec_of(image=image.ref, root_gib=1)
    driver.create(host, "datastore1", spec, image, ignore)
    devices = person.get(person.vm(spec.server_id), "config.hardware.device")
    (disk,) = [each for each in devices if isinstance(each, vim.vm.device.VirtualDisk)]
    assert disk.capacityInKB == 1 << 20
    seen = raw_of(vcenter, f"pv-{spec.server_id}/root.vmdk", tmp_path)
    assert len(seen) == 1 << 30
    assert seen[: image.size_bytes] == image.raw.read_bytes()
    assert not any(seen[image.size_bytes :])
    assert driver.images.uploads == 1


def test_only_allocated_bytes_are_sent(driver: VsphereDriver, host: str, tmp_path: Path) -> None:
    image = DiskImage(tmp_path, data_mib=6, size_mib=1024)
    driver.prepare_image(host, image.ref, image, ignore)
    # Random bytes do not compress; the markers and tables of streamOptimized come on top.
    assert image.data_bytes <= driver.images.sent_bytes < image.data_bytes * 1.1 + MIB


def test_a_thin_disk_stays_thin_on_the_datastore(
    vcenter: TestVcenter, driver: VsphereDriver, host: str, tmp_path: Path
) -> None:
    image = DiskImage(tmp_path, data_mib=2, size_mib=512)
    spec = spec_of(image=image.ref, root_gib=2)
    driver.create(host, "", spec, image, ignore)
    folder = vcenter.data_dir / "datastores" / "DC0" / "datastore1" / f"pv-{spec.server_id}"
    assert sum(path.stat().st_blocks * 512 for path in folder.iterdir()) < 8 * MIB


def test_a_thick_disk_is_allocated_whole(
    vcenter: TestVcenter, driver: VsphereDriver, host: str, tmp_path: Path
) -> None:
    image = DiskImage(tmp_path, data_mib=1, size_mib=32, vmware_disktype="preallocated")
    spec = spec_of(image=image.ref, root_gib=0)
    driver.create(host, "", spec, image, ignore)
    folder = vcenter.data_dir / "datastores" / "DC0" / "datastore1" / f"pv-{spec.server_id}"
    assert sum(path.stat().st_blocks * 512 for path in folder.iterdir()) >= 32 * MIB


def test_many_threads_that_ask_at_once_upload_once(driver: VsphereDriver, host: str, image: DiskImage) -> None:
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: driver.prepare_image(host, image.ref, image, ignore), range(6)))
    assert found == ["datastore1"] * 6
    assert (driver.images.uploads, image.fetched) == (1, 1)


@pytest.mark.parametrize("answers", [[{"state": "ready"}, None], [{"state": "ready"}, {}], [None], [{}]])
def test_a_lease_that_ends_while_it_is_asked_for_is_tried_again(
    answers: list[dict[str, Any] | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another agent has ended our session, or vCenter the lease."""
    monkeypatch.setattr(image_upload, "read", lambda *_: answers.pop(0))
    anything: Any = None
    with pytest.raises(Unreachable, match="tried again"):
        image_upload._ready(anything, anything)
    assert answers == []


@pytest.mark.parametrize("left", ["image.vmdk", "ready.json of other bytes"])
def test_half_an_image_is_not_taken_for_one(
    vcenter: TestVcenter, driver: VsphereDriver, host: str, image: DiskImage, left: str, tmp_path: Path
) -> None:
    folder = vcenter.data_dir / "datastores" / "DC0" / "datastore1" / driver.images.folder(image.ref.id)
    folder.mkdir(parents=True)
    if left == "image.vmdk":
        (folder / f"{image.ref.id}.vmdk").write_bytes(b"half")
    else:
        ready = Ready(image_id=image.ref.id, sha512="0" * 128, file=f"{image.ref.id}.vmdk", capacity_bytes=1)
        (folder / "ready.json").write_bytes(msgspec.json.encode(ready))
    driver.prepare_image(host, image.ref, image, ignore)
    seen = raw_of(vcenter, f"{driver.images.folder(image.ref.id)}/{image.ref.id}.vmdk", tmp_path)
    assert seen == image.raw.read_bytes()


def test_a_cached_disk_that_someone_deleted_is_sent_again(
    vcenter: TestVcenter, driver: VsphereDriver, host: str, image: DiskImage
) -> None:
    driver.prepare_image(host, image.ref, image, ignore)
    (files,) = driver.stores_of(host)
    assert files.delete_disk(f"{driver.images.folder(image.ref.id)}/{image.ref.id}.vmdk")
    driver.create(host, "", spec_of(image=image.ref), image, ignore)
    assert driver.images.uploads == 2


def test_an_upload_that_is_cancelled_leaves_no_vm_and_is_not_taken_for_an_image(
    driver: VsphereDriver, host: str, image: DiskImage, person: Person
) -> None:
    def cancel(fraction: float, what: str) -> None:
        if what == "uploading the image":
            raise Cancelled

    with pytest.raises(Cancelled):
        driver.prepare_image(host, image.ref, image, cancel)
    eventually(lambda: person.all(vim.VirtualMachine), lambda seen: not seen)
    assert "ready.json" not in cached(person, image)
    assert not any("lock" in name for name in cached(person, image))
    driver.prepare_image(host, image.ref, image, ignore)


def test_an_upload_during_which_the_server_dies_is_begun_anew(
    start_vcenter: StartVcenter, connect: Connect, image: DiskImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datastore_lock, "BEAT_SECONDS", 0.2)
    vcenter = start_vcenter()
    driver = connect(vcenter)
    host = driver.hosts()[0].name
    killed = threading.Event()

    def kill(fraction: float, what: str) -> None:
        if what == "uploading the image" and not killed.is_set():
            killed.set()
            vcenter.kill()

    with pytest.raises(Unreachable):
        driver.prepare_image(host, image.ref, image, kill)
    vcenter.restart()
    driver.prepare_image(host, image.ref, image, ignore)
    assert image.ref.id in driver.hosts()[0].cached_images


def test_an_image_is_forgotten_unless_it_is_to_be_kept(
    driver: VsphereDriver, host: str, tmp_path: Path, person: Person
) -> None:
    images = []
    for name in ("kept", "gone"):
        (tmp_path / name).mkdir()
        images.append(DiskImage(tmp_path / name, data_mib=1, size_mib=8))
        driver.prepare_image(host, images[-1].ref, images[-1], ignore)
    kept, gone = images
    spec = spec_of(image=gone.ref)
    driver.create(host, "", spec, gone, ignore)
    assert driver.forget_images(host, frozenset({kept.ref.id})) == [gone.ref.id]
    assert driver.hosts()[0].cached_images == {kept.ref.id}
    assert not cached(person, gone)
    assert driver.look(spec.server_id) is not None  # it has a copy of its own


def test_images_of_another_cloud_on_the_same_datastore_are_left_alone(
    vcenter: TestVcenter, driver: VsphereDriver, host: str, image: DiskImage, connect: Connect, person: Person
) -> None:
    driver.prepare_image(host, image.ref, image, ignore)
    other = connect(vcenter, cloud_id="another-cloud")
    assert other.hosts()[0].cached_images == frozenset()
    assert other.forget_images(host, frozenset()) == []
    assert "ready.json" in cached(person, image)


def test_an_iso_is_booted_from_a_drive_beside_an_empty_disk(
    vcenter: TestVcenter, driver: VsphereDriver, host: str, person: Person, tmp_path: Path
) -> None:
    image = _iso(tmp_path)
    spec = spec_of(image=image.ref, config_drive=True)
    driver.create(host, "", spec, image, ignore)
    devices: Any = person.get(person.vm(spec.server_id), "config.hardware.device")
    drives: list[Any] = [each for each in devices if isinstance(each, vim.vm.device.VirtualCdrom)]
    discs = [drive.backing.fileName for drive in drives]
    assert sorted(name.rpartition("/")[2] for name in discs) == ["boot.iso", "config-drive.iso"]
    assert [each.capacityInKB for each in devices if isinstance(each, vim.vm.device.VirtualDisk)] == [1 << 20]
    copy = vcenter.data_dir / "datastores" / "DC0" / "datastore1" / f"pv-{spec.server_id}" / "boot.iso"
    assert copy.read_bytes() == image.path.read_bytes()
    driver.destroy(spec.server_id)
    assert not any(path.startswith("datastore1/pv-") for path in person.files())


def _iso(folder: Path) -> DiskImage:
    image = DiskImage(folder, data_mib=1, size_mib=1)
    image.path.write_bytes(config_drive.build_image({"readme": b"boot me"}))
    data = image.path.read_bytes()
    image.ref = msgspec.structs.replace(
        image.ref,
        disk_format="iso",
        size_bytes=len(data),
        virtual_size_bytes=len(data),
        sha512=hashlib.sha512(data).hexdigest(),
    )
    return image


def test_an_image_that_is_larger_than_the_flavor_is_refused_in_a_sentence(
    driver: VsphereDriver, host: str, tmp_path: Path, person: Person
) -> None:
    image = DiskImage(tmp_path, data_mib=1, size_mib=2048)
    spec = spec_of(image=image.ref, root_gib=1)
    with pytest.raises(HypervisorError, match="2 GiB, and the flavor's root disk 1 GiB"):
        driver.create(host, "", spec, image, ignore)
    driver.destroy(spec.server_id)
    assert not any(path.startswith("datastore1/pv-") for path in person.files())


def test_an_image_that_vsphere_cannot_run_is_refused_in_a_sentence(
    driver: VsphereDriver, host: str, image: DiskImage
) -> None:
    kernel: ImageRef = msgspec.structs.replace(image.ref, disk_format="aki", container_format="aki")
    with pytest.raises(HypervisorError, match="cannot boot an image of the format aki"):
        driver.prepare_image(host, kernel, image, ignore)


def test_a_direct_esxi_host_takes_images_too(start_vcenter: StartVcenter, connect: Connect, image: DiskImage) -> None:
    driver = connect(start_vcenter(esx=True))
    host = driver.hosts()[0].name
    spec = spec_of(image=image.ref)
    driver.create(host, driver.prepare_image(host, image.ref, image, ignore), spec, image, ignore)
    assert driver.look(spec.server_id) is not None


def test_a_datastore_that_is_full_is_passed_over(start_vcenter: StartVcenter, connect: Connect, tmp_path: Path) -> None:
    vcenter = start_vcenter(datastores=2, datastore_gib=1)
    driver = connect(vcenter)
    full = vcenter.data_dir / "datastores" / "DC0" / "datastore1" / "filler"
    with full.open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, 700 * MIB)
    image = DiskImage(tmp_path, vmware_disktype="preallocated")
    host = driver.hosts()[0].name
    spec = spec_of(image=image.ref, root_gib=0, ephemeral_gib=0, swap_mib=512)
    driver.create(host, "datastore1", spec, image, ignore)
    assert (vcenter.data_dir / "datastores" / "DC0" / "datastore2" / f"pv-{spec.server_id}").exists()
