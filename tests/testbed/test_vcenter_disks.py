"""The test vCenter's disks have real bytes, in the forms that ESXi has."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from pyVmomi import vim

from testbed.vcenter import TestVcenter
from tests.testbed.vcenter_client import Client, connected, controller, disk, file_of, machine_spec, until

pytestmark = pytest.mark.xdist_group("test-vcenter-disks")

MIB = 1 << 20
CONTENT = os.urandom(3 * MIB)
GUARD = b"end of the disk."


@pytest.fixture(scope="module")
def vcenter() -> Iterator[TestVcenter]:
    with TestVcenter(datastores=2, datastore_gib=2) as running:
        yield running


@pytest.fixture
def client(vcenter: TestVcenter) -> Iterator[Client]:
    with connected(vcenter) as connection:
        yield connection
        for machine in list(connection.datacenter.vmFolder.childEntity):
            connection.remove(machine)
        for path in connection.folder.iterdir():
            connection.wait(
                connection.content.fileManager.DeleteDatastoreFile_Task(
                    f"[datastore1] {path.name}", connection.datacenter
                )
            )


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk of 64 MiB with 3 MiB of data at 1 MiB, and a mark at its end."""
    path = tmp_path_factory.mktemp("disk") / "disk.raw"
    with path.open("wb") as out:
        out.seek(MIB)
        out.write(CONTENT)
        out.truncate(64 * MIB)
        out.seek(64 * MIB - len(GUARD))
        out.write(GUARD)
    return path


def converted(raw: Path, subformat: str) -> Path:
    target = raw.with_name(f"{subformat}.vmdk")
    if not target.exists():
        command = [
            "qemu-img",
            "convert",
            "-f",
            "raw",
            "-O",
            "vmdk",
            "-o",
            f"subformat={subformat}",
            str(raw),
            str(target),
        ]
        subprocess.run(command, check=True)
    return target


def same(left: Path, left_format: str, right: Path, right_format: str) -> bool:
    command = ["qemu-img", "compare", "-f", left_format, "-F", right_format, str(left), str(right)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def allocated(path: Path) -> int:
    return path.stat().st_blocks * 512


@pytest.mark.parametrize("source", ["streamOptimized", "monolithicSparse"])
@pytest.mark.parametrize(
    ("kind", "form", "size"),
    [
        ("thin", "vmdk", 5),
        ("preallocated", "vmdk", 64),
        ("eagerZeroedThick", "vmdk", 64),
        ("sparseMonolithic", "vmdk", 5),
    ],
)
def test_a_copy_has_the_same_bytes_in_the_wanted_form(
    client: Client, raw: Path, source: str, kind: str, form: str, size: int
) -> None:
    client.put(converted(raw, source), "images/source.vmdk")
    client.copy_disk("images/source.vmdk", "images/copy.vmdk", kind)
    copy, flat = client.folder / "images" / "copy.vmdk", client.folder / "images" / "copy-flat.vmdk"
    assert same(raw, "raw", copy, form)
    if kind == "sparseMonolithic":
        assert not flat.exists()
    else:
        assert same(raw, "raw", flat, "raw")
        assert allocated(flat) >= 64 * MIB if size == 64 else allocated(flat) <= size * MIB
        assert ('ddb.thinProvisioned = "1"' in copy.read_text()) is (kind == "thin")


def test_a_copy_crosses_datastores(client: Client, raw: Path) -> None:
    client.put(converted(raw, "streamOptimized"), "images/source.vmdk")
    manager, where = client.content.virtualDiskManager, client.datacenter
    client.wait(manager.CopyVirtualDisk_Task("[datastore1] images/source.vmdk", where, "[datastore2] copy.vmdk", where))
    assert same(raw, "raw", client.folder.with_name("datastore2") / "copy.vmdk", "vmdk")
    client.wait(manager.DeleteVirtualDisk_Task("[datastore2] copy.vmdk", where))
    assert not list(client.folder.with_name("datastore2").iterdir())


def test_a_copy_does_not_overwrite_unless_forced(client: Client, raw: Path) -> None:
    client.put(converted(raw, "streamOptimized"), "images/source.vmdk")
    client.copy_disk("images/source.vmdk", "images/copy.vmdk")
    manager, where = client.content.virtualDiskManager, client.datacenter
    names = ("[datastore1] images/source.vmdk", where, "[datastore1] images/copy.vmdk", where)
    assert isinstance(client.fault(manager.CopyVirtualDisk_Task(*names)), vim.fault.FileAlreadyExists)
    client.wait(manager.CopyVirtualDisk_Task(*names, None, True))
    assert same(raw, "raw", client.folder / "images" / "copy.vmdk", "vmdk")


def test_what_is_no_disk_is_not_copied(client: Client) -> None:
    assert client.http("PUT", "images/false.vmdk", data=b"no disk at all").ok
    manager, where = client.content.virtualDiskManager, client.datacenter
    task = manager.CopyVirtualDisk_Task("[datastore1] images/false.vmdk", where, "[datastore1] images/x.vmdk", where)
    assert isinstance(client.fault(task), vim.fault.InvalidDiskFormat)
    assert [path.name for path in (client.folder / "images").iterdir()] == ["false.vmdk"]


def test_a_descriptor_cannot_name_files_elsewhere(client: Client, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(MIB))
    text = f'# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 2048 FLAT "{secret}" 0\n'
    assert client.http("PUT", "images/sly.vmdk", data=text.encode()).ok
    manager, where = client.content.virtualDiskManager, client.datacenter
    task = manager.CopyVirtualDisk_Task("[datastore1] images/sly.vmdk", where, "[datastore1] images/x.vmdk", where)
    assert isinstance(client.fault(task), vim.fault.InvalidDiskFormat)


def test_a_disk_is_made_grown_and_filled(client: Client) -> None:
    manager, where, name = client.content.virtualDiskManager, client.datacenter, "[datastore1] blank.vmdk"
    spec = vim.VirtualDiskManager.FileBackedVirtualDiskSpec(diskType="thin", adapterType="lsiLogic", capacityKb=4096)
    client.wait(manager.CreateVirtualDisk_Task(name, where, spec))
    flat = client.folder / "blank-flat.vmdk"
    assert (flat.stat().st_size, allocated(flat)) == (4 * MIB, 0)
    client.wait(manager.ExtendVirtualDisk_Task(name, where, 8192, False))
    assert (flat.stat().st_size, allocated(flat)) == (8 * MIB, 0)
    client.wait(manager.InflateVirtualDisk_Task(name, where))
    assert allocated(flat) >= 8 * MIB
    client.wait(manager.MoveVirtualDisk_Task(name, where, "[datastore1] moved.vmdk", where))
    assert sorted(path.name for path in client.folder.iterdir()) == ["moved-flat.vmdk", "moved.vmdk"]
    assert same(client.folder / "moved.vmdk", "vmdk", client.folder / "moved-flat.vmdk", "raw")


def test_free_space_is_what_the_files_leave(client: Client) -> None:
    store = client.datacenter.datastore[0]
    assert store.summary.capacity == 2 << 30
    before = store.summary.freeSpace
    machine = client.create("thick", controller(), disk(size_kib=64 << 10, thin=False))
    until(lambda: 64 * MIB <= before - store.summary.freeSpace < 66 * MIB, "the disk is counted")
    client.remove(machine)
    until(lambda: store.summary.freeSpace == before, "the disk is counted no more")
    assert client.http("PUT", "file.bin", data=bytes(MIB)).ok
    store.RefreshDatastore()
    assert before - store.summary.freeSpace >= MIB


@pytest.mark.parametrize(
    ("fields", "share"), [({"thin": True}, 0), ({"thin": False}, 1), ({"thin": False, "eagerlyScrub": True}, 1)]
)
def test_a_new_disk_takes_its_space_as_it_is_told(client: Client, fields: dict[str, Any], share: int) -> None:
    client.create("made", controller(), disk(size_kib=8192, **fields))
    flat = client.folder / "made" / "made-flat.vmdk"
    assert flat.stat().st_size == 8 * MIB
    assert allocated(flat) // (8 * MIB) == share


def test_a_disk_grows_with_its_machine(client: Client) -> None:
    machine = client.create("growing", controller(), disk(size_kib=4096))
    [device] = [one for one in machine.config.hardware.device if isinstance(one, vim.vm.device.VirtualDisk)]
    device.capacityInKB, device.capacityInBytes = 8192, 8 * MIB
    change = vim.vm.device.VirtualDeviceSpec(operation="edit", device=device)
    client.wait(machine.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[change])))
    assert (client.folder / "growing" / "growing-flat.vmdk").stat().st_size == 8 * MIB


def test_a_removed_disk_keeps_its_file_unless_told_otherwise(client: Client) -> None:
    machine = client.create("losing", controller(), disk(size_kib=1024), disk(size_kib=1024, unit=1))
    devices = [one for one in machine.config.hardware.device if isinstance(one, vim.vm.device.VirtualDisk)]
    for device, operation in zip(devices, (None, "destroy"), strict=True):
        change = vim.vm.device.VirtualDeviceSpec(operation="remove", device=device, fileOperation=operation)
        client.wait(machine.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[change])))
    kept = [file_of(device).rpartition("/")[2] for device in devices[:1]]
    assert [path.name for path in (client.folder / "losing").glob("*.vmdk") if "-flat" not in path.name] == kept


def test_a_clone_has_bytes_of_its_own(client: Client, raw: Path) -> None:
    client.put(converted(raw, "streamOptimized"), "images/source.vmdk")
    client.copy_disk("images/source.vmdk", "images/base.vmdk")
    template = client.create("template", controller(), disk("images/base.vmdk"))
    template.MarkAsTemplate()
    where = vim.vm.RelocateSpec(pool=client.compute.resourcePool)
    config = vim.vm.ConfigSpec(
        instanceUuid="9e0f2a8e-6d0c-4b2b-9f0e-1d5a3c7b9e11", memoryMB=192,
        extraConfig=[vim.option.OptionValue(key="guestinfo.x", value="y")],
    )  # fmt: skip
    clone = client.wait(
        template.CloneVM_Task(client.datacenter.vmFolder, "clone", vim.vm.CloneSpec(location=where, config=config))
    )
    [copied] = [one for one in clone.config.hardware.device if isinstance(one, vim.vm.device.VirtualDisk)]
    assert file_of(copied) == "[datastore1] clone/clone.vmdk"
    assert same(raw, "raw", client.folder / "clone" / "clone.vmdk", "vmdk")
    assert (clone.config.instanceUuid, clone.config.hardware.memoryMB) == (config.instanceUuid, 192)
    assert ("guestinfo.x", "y") in [(one.key, one.value) for one in clone.config.extraConfig]
    client.remove(clone)
    assert same(raw, "raw", client.folder / "images" / "base.vmdk", "vmdk")


def imported(client: Client, name: str, size_kib: int = 64 << 10) -> Any:
    spec = vim.vm.VmImportSpec(configSpec=machine_spec(name, controller(), disk(size_kib=size_kib)))
    lease = client.compute.resourcePool.ImportVApp(spec, client.datacenter.vmFolder)
    until(lambda: lease.state in ("ready", "error"), "the lease is ready")
    assert lease.state == "ready", lease.error
    return lease


def upload(client: Client, lease: Any, data: Any) -> requests.Response:
    [url] = [one.url for one in lease.info.deviceUrl if one.disk]
    return requests.put(url, data=data, verify=str(client.vcenter.cert_path), timeout=60)


def test_an_import_takes_the_uploaded_bytes(client: Client, raw: Path) -> None:
    lease = imported(client, "imported", size_kib=80 << 10)
    machine = lease.info.entity
    with converted(raw, "streamOptimized").open("rb") as data:
        assert upload(client, lease, data).ok
    lease.HttpNfcLeaseProgress(100)
    lease.HttpNfcLeaseComplete()
    flat = client.folder / "imported" / "imported-flat.vmdk"
    with flat.open("rb") as got:
        got.seek(MIB)
        assert got.read(len(CONTENT)) == CONTENT
    assert flat.stat().st_size == 80 * MIB
    assert allocated(flat) <= 5 * MIB
    assert machine.name == "imported"


def test_an_aborted_import_leaves_nothing(client: Client) -> None:
    lease = imported(client, "aborted")
    lease.HttpNfcLeaseAbort()
    assert not client.datacenter.vmFolder.childEntity
    assert not (client.folder / "aborted").exists()


@pytest.mark.parametrize("data", [b"no disk", None], ids=["what is no disk", "a disk of another form"])
def test_an_import_refuses(client: Client, raw: Path, data: bytes | None) -> None:
    lease = imported(client, "misled")
    answer = upload(client, lease, data or converted(raw, "monolithicSparse").read_bytes())
    assert answer.status_code == 500
    assert "VMDK" in answer.text
    lease.HttpNfcLeaseAbort()


def test_storage_moves_with_a_machine_that_is_off(client: Client, raw: Path) -> None:
    client.put(converted(raw, "streamOptimized"), "images/source.vmdk")
    client.copy_disk("images/source.vmdk", "images/base.vmdk")
    machine = client.create("mover", controller(), disk("images/base.vmdk"))
    other = client.datacenter.datastore[1]
    client.wait(machine.RelocateVM_Task(vim.vm.RelocateSpec(datastore=other)))
    assert [one.name for one in machine.datastore] == ["datastore2"]
    assert machine.config.files.vmPathName == "[datastore2] mover/mover.vmx"
    assert same(raw, "raw", client.folder.with_name("datastore2") / "mover" / "base.vmdk", "vmdk")
    assert not (client.folder / "mover").exists()


def test_an_upload_larger_than_the_free_space_is_refused(client: Client) -> None:
    class Huge:
        """A body that says it has 3 GiB; nothing of it is ever read."""

        def __len__(self) -> int:
            return 3 << 30

        def read(self, size: int = -1) -> bytes:
            return bytes(max(size, 0))

    headers = {**client.cookie, "Expect": "100-continue"}
    try:
        answer = client.http("PUT", "huge.bin", data=Huge(), headers=headers)
        assert answer.status_code == 507
    except requests.ConnectionError:
        pass  # it hung up while we were still sending
    assert not (client.folder / "huge.bin").exists()
