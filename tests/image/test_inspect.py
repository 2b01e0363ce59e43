"""Honest images of every format are taken, and their size is known; liars and damaged ones are refused."""

import shutil
from pathlib import Path

import pytest

from polyvisor.image.errors import ImageRefused
from polyvisor.image.inspect import FIRST_LOOK_BYTES, StreamInspector, inspect
from polyvisor.model.image_format import ContainerFormat, DiskFormat
from tests.image import images
from tests.image.images import MIB, WRITTEN_BY_QEMU

SUBFORMATS = {
    "vmdk-sparse": "monolithicSparse",
    "vmdk-stream": "streamOptimized",
    "vhd-dynamic": "dynamic",
    "vhd-fixed": "fixed",
}


def stream(path: Path, declared: DiskFormat, *, chunk: int = 65536, vmware_disktype: str | None = None) -> int:
    """Stream a file through an inspector; returns how many bytes it took."""
    inspector = StreamInspector(declared, vmware_disktype=vmware_disktype)
    taken = 0
    with path.open("rb") as file:
        while data := file.read(chunk):
            taken += len(data)
            inspector.write(data)
    inspector.finish()
    return taken


@pytest.mark.parametrize("name", WRITTEN_BY_QEMU)
def test_an_honest_image_is_taken_and_its_size_is_known(name: str, formats: dict[str, Path], raw: Path) -> None:
    declared = WRITTEN_BY_QEMU[name][0]
    path = formats[name]
    assert stream(path, declared) == path.stat().st_size
    found = inspect(path, declared)
    assert found.form.disk_format is declared
    assert found.form.subformat == SUBFORMATS.get(name)
    # A VHD's size is a whole number of cylinders.
    slack = 64 * 1024 if declared is DiskFormat.VHD else 0
    assert 0 <= found.virtual_size_bytes - raw.stat().st_size <= slack
    assert found.file_size_bytes == path.stat().st_size
    assert found.min_disk_gib == 1


@pytest.mark.parametrize("name", WRITTEN_BY_QEMU)
@pytest.mark.parametrize("chunk", [1, 511, 4096])
def test_the_size_of_chunks_makes_no_difference(
    name: str, chunk: int, formats: dict[str, Path], tmp_path: Path
) -> None:
    declared = WRITTEN_BY_QEMU[name][0]
    small = tmp_path / "small"
    small.write_bytes(formats[name].read_bytes()[: 2 * FIRST_LOOK_BYTES])
    assert stream(small, declared, chunk=chunk) == small.stat().st_size


def test_a_raw_disk_is_taken_with_a_partition_table_and_without(raw: Path, tmp_path: Path) -> None:
    blank = tmp_path / "blank"
    blank.write_bytes(bytes(MIB) + b"data")
    for path in (raw, blank):
        assert stream(path, DiskFormat.RAW) == path.stat().st_size
        assert inspect(path, DiskFormat.RAW).virtual_size_bytes == path.stat().st_size


def test_a_gpt_is_part_of_a_raw_disk(tmp_path: Path) -> None:
    protective = bytes([0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF]) + (1).to_bytes(4, "little") + b"\xff" * 4
    disk = tmp_path / "gpt"
    disk.write_bytes(bytes(446) + protective + bytes(48) + b"\x55\xaa" + b"EFI PART" + bytes(MIB))
    assert inspect(disk, DiskFormat.RAW).form.disk_format is DiskFormat.RAW


@pytest.mark.parametrize("beginning", [b"", b"#!", b"plain text, as a test would upload it. " * 40, bytes(range(256))])
def test_any_bytes_that_are_nothing_else_are_raw(beginning: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(beginning + b"x")
    stream(path, DiskFormat.RAW)
    assert inspect(path, DiskFormat.RAW).virtual_size_bytes == len(beginning) + 1


@pytest.mark.parametrize("declared", list(DiskFormat))
@pytest.mark.parametrize("name", [*WRITTEN_BY_QEMU, "iso", "raw"])
def test_every_lie_is_refused(
    name: str, declared: DiskFormat, formats: dict[str, Path], raw: Path, tmp_path: Path
) -> None:
    path = {"raw": raw, "iso": images.iso(tmp_path / "iso")}.get(name) or formats[name]
    real = {"raw": DiskFormat.RAW, "iso": DiskFormat.ISO}.get(name) or WRITTEN_BY_QEMU[name][0]
    same_bytes = {DiskFormat.RAW, DiskFormat.AMI, DiskFormat.AKI, DiskFormat.ARI}
    if declared is real or (real in same_bytes and declared in same_bytes):
        return
    container = ContainerFormat(declared) if declared in same_bytes - {DiskFormat.RAW} else ContainerFormat.BARE
    if name == "vhd-fixed" and declared in (DiskFormat.AKI, DiskFormat.ARI):
        return  # a kernel is any bytes that do not begin like another format
    with pytest.raises(ImageRefused) as refused:
        inspect(path, declared, container)
    assert str(path.parent) not in refused.value.sentence


@pytest.mark.parametrize("name", ["qcow2", "vmdk-sparse", "vmdk-stream", "vhd-dynamic", "vhdx-dynamic", "vdi"])
def test_what_is_declared_raw_and_is_not_is_refused_at_the_first_look(name: str, formats: dict[str, Path]) -> None:
    inspector = StreamInspector(DiskFormat.RAW)
    with formats[name].open("rb") as file, pytest.raises(ImageRefused, match=r"declared raw, but its bytes are"):
        inspector.write(file.read(FIRST_LOOK_BYTES))


@pytest.mark.parametrize("declared", ["qcow2", "vmdk", "vhdx", "vdi", "iso"])
def test_raw_bytes_declared_otherwise_are_refused_at_the_first_look(declared: str, raw: Path) -> None:
    inspector = StreamInspector(DiskFormat(declared))
    with raw.open("rb") as file, pytest.raises(ImageRefused, match=f"declared {declared}, but its bytes are raw"):
        inspector.write(file.read(FIRST_LOOK_BYTES))


@pytest.mark.parametrize("name", WRITTEN_BY_QEMU)
@pytest.mark.parametrize("part", [0.9, 0.6, 0.2])
def test_a_truncated_image_is_refused(name: str, part: float, formats: dict[str, Path], tmp_path: Path) -> None:
    path = images.truncated(Path(shutil.copy(formats[name], tmp_path / "cut")), part)
    with pytest.raises(ImageRefused, match=r"upload it again|truncated"):
        inspect(path, WRITTEN_BY_QEMU[name][0])


@pytest.mark.parametrize("options", [(), ("-c",)])
@pytest.mark.parametrize("lost", [512, 4096, 60000])
def test_a_qcow2_that_lost_the_end_of_its_last_cluster_is_refused(
    options: tuple[str, ...], lost: int, raw: Path, tmp_path: Path
) -> None:
    path = tmp_path / "image"
    images.qemu_img("convert", "-f", "raw", "-O", "qcow2", *options, raw, path)
    inspect(path, DiskFormat.QCOW2)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - lost)
    with pytest.raises(ImageRefused, match="truncated"):
        inspect(path, DiskFormat.QCOW2)


@pytest.mark.parametrize(
    "options", ["cluster_size=64k", "cluster_size=2M", "cluster_size=512", "preallocation=metadata"]
)
def test_a_new_qcow2_that_ends_within_a_table_is_taken(options: str, tmp_path: Path) -> None:
    images.qemu_img("create", "-f", "qcow2", "-o", options, tmp_path / "new", "1G")
    assert inspect(tmp_path / "new", DiskFormat.QCOW2).virtual_size_bytes == 1 << 30


@pytest.mark.parametrize("declared", list(DiskFormat))
def test_an_empty_image_is_refused(declared: DiskFormat, tmp_path: Path) -> None:
    amazon = declared in (DiskFormat.AKI, DiskFormat.ARI, DiskFormat.AMI)
    container = ContainerFormat(declared) if amazon else ContainerFormat.BARE
    (tmp_path / "empty").touch()
    with pytest.raises(ImageRefused, match="empty"):
        StreamInspector(declared, container).finish()
    with pytest.raises(ImageRefused, match="empty"):
        inspect(tmp_path / "empty", declared, container)


def test_an_iso_is_taken_and_so_is_one_that_boots_as_a_disk(tmp_path: Path) -> None:
    for hybrid in (False, True):
        path = images.iso(tmp_path / "iso", hybrid=hybrid)
        stream(path, DiskFormat.ISO)
        assert inspect(path, DiskFormat.ISO).virtual_size_bytes == path.stat().st_size


def test_a_truncated_iso_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageRefused, match="upload it again"):
        inspect(images.truncated(images.iso(tmp_path / "iso"), 0.9), DiskFormat.ISO)


def test_a_kernel_and_a_ramdisk_are_taken(tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(bytes(510) + b"\x55\xaa" + b"HdrS" + bytes(4096))
    assert inspect(kernel, DiskFormat.AKI, ContainerFormat.AKI).form.disk_format is DiskFormat.AKI
    ramdisk = tmp_path / "initrd"
    ramdisk.write_bytes(b"\x1f\x8b\x08" + bytes(4096))
    assert inspect(ramdisk, DiskFormat.ARI, ContainerFormat.ARI).virtual_size_bytes == 4099


@pytest.mark.parametrize(
    "signature", [b"\x1f\x8b\x08", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"BZh91AY&SY"]
)
def test_a_packed_disk_is_refused_with_the_advice_to_unpack_it(signature: bytes, tmp_path: Path) -> None:
    path = tmp_path / "packed"
    path.write_bytes(signature + bytes(MIB))
    with pytest.raises(ImageRefused, match="unpack it"):
        stream(path, DiskFormat.RAW)
    with pytest.raises(ImageRefused, match="unpack it"):
        inspect(path, DiskFormat.RAW)


def test_a_flat_extent_is_taken_where_the_disk_type_says_so(raw: Path, formats: dict[str, Path]) -> None:
    stream(raw, DiskFormat.VMDK, vmware_disktype="preallocated")
    found = inspect(raw, DiskFormat.VMDK, vmware_disktype="preallocated")
    assert (found.form.subformat, found.virtual_size_bytes) == ("monolithicFlat", raw.stat().st_size)
    for name in ("vmdk-sparse", "qcow2", "vdi", "vhd-fixed"):
        with pytest.raises(ImageRefused):
            inspect(formats[name], DiskFormat.VMDK, vmware_disktype="thin")


def test_the_bytes_say_what_kind_of_vmdk_they_are(formats: dict[str, Path]) -> None:
    sparse = inspect(formats["vmdk-sparse"], DiskFormat.VMDK, vmware_disktype="streamOptimized")
    assert sparse.properties == {"vmware_disktype": "sparse"}
    streamed = inspect(formats["vmdk-stream"], DiskFormat.VMDK)
    assert streamed.properties == {"vmware_disktype": "streamOptimized", "vmware_adaptertype": "lsiLogic"}


@pytest.mark.parametrize(
    ("disk", "container"), [("aki", "bare"), ("raw", "ami"), ("qcow2", "ova"), ("ari", "aki"), ("iso", "ari")]
)
def test_formats_that_contradict_each_other_are_refused_before_any_byte(disk: str, container: str) -> None:
    with pytest.raises(ImageRefused, match=r"same word|holds a VMDK"):
        StreamInspector(DiskFormat(disk), ContainerFormat(container))
