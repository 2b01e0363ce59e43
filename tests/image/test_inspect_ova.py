"""An OVA is taken for the one disk in it; one that is not in order is refused."""

import io
import tarfile
from pathlib import Path

import pytest

from polyvisor.image.errors import ImageRefused
from polyvisor.image.formats.check import HEAD_BYTES
from polyvisor.image.inspect import Inspection, StreamInspector, inspect
from polyvisor.model.image_format import ContainerFormat, DiskFormat
from tests.image import images
from tests.image.images import MIB


def look(path: Path) -> Inspection:
    """Stream the file through an inspector and inspect it whole."""
    inspector = StreamInspector(DiskFormat.VMDK, ContainerFormat.OVA)
    with path.open("rb") as file:
        while data := file.read(65536):
            inspector.write(data)
    inspector.finish()
    return inspect(path, DiskFormat.VMDK, ContainerFormat.OVA)


def refused(path: Path) -> str:
    """The sentence with which an OVA is refused."""
    with pytest.raises(ImageRefused) as caught:
        look(path)
    return caught.value.sentence


@pytest.fixture
def disk(formats: dict[str, Path]) -> bytes:
    """A streamOptimized VMDK."""
    return formats["vmdk-stream"].read_bytes()


@pytest.mark.parametrize("algorithm", ["SHA1", "SHA256", "SHA512"])
def test_an_honest_ova_is_taken_and_its_machine_is_known(
    algorithm: str, formats: dict[str, Path], tmp_path: Path
) -> None:
    found = look(images.ova_of(tmp_path / "vm.ova", formats["vmdk-stream"], algorithm=algorithm))
    assert (found.virtual_size_bytes, found.form.subformat, found.memory_mib) == (32 * MIB, "streamOptimized", 512)
    assert found.properties == {
        "vmware_disktype": "streamOptimized",
        "vmware_adaptertype": "paraVirtual",
        "vmware_ostype": "debian10_64Guest",
        "hw_firmware_type": "uefi",
    }


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_common_kind_of_tar_is_read(form: int, disk: bytes, tmp_path: Path) -> None:
    found = look(images.ova(tmp_path / "vm.ova", {"vm.ovf": images.ovf(), "disk.vmdk": disk}, form=form))
    assert found.virtual_size_bytes == 32 * MIB


def test_a_pax_header_with_a_long_name_is_read(disk: bytes, tmp_path: Path) -> None:
    name = "ä" * 70 + ".vmdk"
    files = {"vm.ovf": images.ovf(name), name: disk}
    assert look(images.ova(tmp_path / "vm.ova", files, form=tarfile.PAX_FORMAT)).virtual_size_bytes == 32 * MIB


def test_a_flat_disk_is_found_beside_its_descriptor(raw: Path, tmp_path: Path) -> None:
    descriptor = images.written(raw, tmp_path / "disk.vmdk", "vmdk", "subformat=monolithicFlat")
    files = {
        "vm.ovf": images.ovf(),
        "disk.vmdk": descriptor.read_bytes().rstrip(),
        "disk-flat.vmdk": (tmp_path / "disk-flat.vmdk").read_bytes(),
    }
    found = look(images.ova(tmp_path / "vm.ova", files))
    assert (found.virtual_size_bytes, found.form.subformat) == (32 * MIB, "monolithicFlat")
    del files["disk-flat.vmdk"]
    assert "not in the archive" in refused(images.ova(tmp_path / "vm.ova", files))


@pytest.mark.parametrize("outside", ["/etc/passwd", "../../etc/passwd"])
def test_a_flat_disk_elsewhere_is_refused(outside: str, raw: Path, tmp_path: Path) -> None:
    descriptor = images.written(raw, tmp_path / "disk.vmdk", "vmdk", "subformat=monolithicFlat")
    text = descriptor.read_bytes().rstrip().replace(b"disk-flat.vmdk", outside.encode())
    assert "not in the archive" in refused(images.ova(tmp_path / "vm.ova", {"vm.ovf": images.ovf(), "disk.vmdk": text}))


@pytest.mark.parametrize("name", ["../disk.vmdk", "/etc/cron.d/x", "a/b", "..", "a\\b"])
def test_a_file_with_a_path_in_its_name_is_refused(name: str, disk: bytes, tmp_path: Path) -> None:
    path = images.ova(tmp_path / "vm.ova", {"vm.ovf": images.ovf(), name: b"x", "disk.vmdk": disk})
    assert "name with a path" in refused(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_folders_and_devices_are_refused(kind: bytes, tmp_path: Path) -> None:
    path = images.ova(tmp_path / "vm.ova", {"vm.ovf": images.ovf()})
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo("disk.vmdk")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    assert "plain files only" in refused(path)


@pytest.mark.parametrize("changed", ["vm.ovf", "disk.vmdk"])
@pytest.mark.parametrize("algorithm", ["SHA1", "SHA256"])
def test_a_wrong_digest_is_refused(changed: str, algorithm: str, disk: bytes, tmp_path: Path) -> None:
    files = {"vm.ovf": images.ovf(), "disk.vmdk": disk}
    manifest = images.manifest(files | {changed: b"something else"}, algorithm)
    path = images.ova(tmp_path / "vm.ova", {"vm.ovf": files["vm.ovf"], "vm.mf": manifest, "disk.vmdk": disk})
    sentence = refused(path)
    assert "not the one in the OVA's manifest" in sentence
    assert changed in sentence


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (lambda files: images.manifest({"vm.ovf": files["vm.ovf"]}), "no digest of disk.vmdk"),
        (lambda files: images.manifest(files | {"other": b""}), "not in the archive"),
        (lambda files: images.manifest(files) * 2, "twice"),
        (lambda files: b"CRC32(disk.vmdk)= 12345678\n", "not understood"),
    ],
)
def test_a_manifest_that_does_not_vouch_for_all_is_refused(manifest, said: str, disk: bytes, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    files = {"vm.ovf": images.ovf(), "disk.vmdk": disk}
    path = images.ova(tmp_path / "vm.ova", {"vm.ovf": files["vm.ovf"], "vm.mf": manifest(files), "disk.vmdk": disk})
    assert said in refused(path)


@pytest.mark.parametrize(
    ("ovf", "said"),
    [
        (images.ovf("other.vmdk"), "not in the archive"),
        (images.ovf(disks=2), "holds 2 disks"),
        (images.ovf(disks=0), "holds 0 disks"),
        (images.ovf(file_extra='ovf:compression="gzip"'), "packed or split"),
        (images.ovf(file_extra='ovf:chunkSize="1000"'), "packed or split"),
        (images.ovf(disk_extra='ovf:parentRef="vmdisk0"'), "has a parent"),
        (b"<Envelope", "well-formed"),
        (b"<html/>", "no OVF envelope"),
        (b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>', "document type"),
    ],
)
def test_an_ovf_that_is_not_one_whole_disk_is_refused(ovf: bytes, said: str, disk: bytes, tmp_path: Path) -> None:
    assert said in refused(images.ova(tmp_path / "vm.ova", {"vm.ovf": ovf, "disk.vmdk": disk}))


def test_the_disk_within_is_inspected_as_any_other(formats: dict[str, Path], tmp_path: Path) -> None:
    for name in ("qcow2", "vdi", "vhd-dynamic"):
        files = {"vm.ovf": images.ovf(), "disk.vmdk": formats[name].read_bytes()}
        assert "VMDK" in refused(images.ova(tmp_path / "vm.ova", files))
    cut = formats["vmdk-stream"].read_bytes()[: 2 * MIB]
    assert "truncated" in refused(images.ova(tmp_path / "vm.ova", {"vm.ovf": images.ovf(), "disk.vmdk": cut}))
    parent = formats["vmdk-sparse"].read_bytes().replace(b"parentCID=ffffffff", b"parentCID=12345678")
    assert "parent disk" in refused(images.ova(tmp_path / "vm.ova", {"vm.ovf": images.ovf(), "disk.vmdk": parent}))


def test_a_truncated_ova_is_refused(formats: dict[str, Path], tmp_path: Path) -> None:
    path = images.truncated(images.ova_of(tmp_path / "vm.ova", formats["vmdk-stream"]), 0.5)
    assert "truncated" in refused(path)


def test_an_archive_that_does_not_begin_with_its_ovf_is_refused_early(disk: bytes, tmp_path: Path) -> None:
    path = images.ova(tmp_path / "vm.ova", {"disk.vmdk": disk, "vm.ovf": images.ovf()})
    inspector = StreamInspector(DiskFormat.VMDK, ContainerFormat.OVA)
    with pytest.raises(ImageRefused, match=r"begin with an \.ovf"):
        inspector.write(path.read_bytes()[:HEAD_BYTES])


def test_what_is_no_tar_is_refused_early(disk: bytes) -> None:
    inspector = StreamInspector(DiskFormat.VMDK, ContainerFormat.OVA)
    with pytest.raises(ImageRefused, match="declared an OVA, but its bytes are vmdk"):
        inspector.write(disk[:65536])


def test_an_ova_declared_a_bare_image_is_refused(formats: dict[str, Path], tmp_path: Path) -> None:
    path = images.ova_of(tmp_path / "vm.ova", formats["vmdk-stream"])
    for declared in (DiskFormat.VMDK, DiskFormat.RAW):
        with pytest.raises(ImageRefused, match="OVA or another tar"):
            inspect(path, declared)


@pytest.mark.parametrize("damage", ["checksum", "number"])
def test_a_damaged_archive_is_refused(damage: str, disk: bytes, tmp_path: Path) -> None:
    path = images.ova(tmp_path / "vm.ova", {"vm.ovf": images.ovf(), "disk.vmdk": disk})
    images.patched(path, {"checksum": 0, "number": 124}[damage], b"z")
    refused(path)


def test_an_archive_of_endless_headers_is_refused(disk: bytes, tmp_path: Path) -> None:
    path = tmp_path / "vm.ova"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for number in range(100):
            name = "vm.ovf" if number == 0 else f"file{number}"
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    assert "more than 64 files" in refused(path)
