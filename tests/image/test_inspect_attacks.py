"""Images that point outside themselves, or read as two things at once, are refused, each with a sentence."""

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from polyvisor.image.errors import ImageRefused
from polyvisor.image.formats.check import HEAD_BYTES
from polyvisor.image.inspect import StreamInspector, inspect
from polyvisor.model.image_format import DiskFormat
from tests.image import images
from tests.image.images import MIB, patched, qemu_img


def refused(path: Path, declared: DiskFormat) -> str:
    """The sentence with which the finished file is refused."""
    with pytest.raises(ImageRefused) as caught:
        inspect(path, declared)
    assert str(path) not in caught.value.sentence
    return caught.value.sentence


def refused_early(path: Path, declared: DiskFormat) -> str:
    """The sentence with which the upload is refused before it has grown beyond its head."""
    inspector = StreamInspector(declared)

    def stream() -> None:
        for begin in range(0, HEAD_BYTES, 65536):
            inspector.write(head[begin : begin + 65536])
        if len(head) == path.stat().st_size:
            inspector.finish()

    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    with pytest.raises(ImageRefused) as caught:
        stream()
    return caught.value.sentence


def test_a_backing_file_is_refused(raw: Path, tmp_path: Path) -> None:
    path = tmp_path / "overlay"
    qemu_img("create", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", path, "1M")
    for sentence in (refused(path, DiskFormat.QCOW2), refused_early(path, DiskFormat.QCOW2)):
        assert "has a backing file" in sentence
        assert "passwd" not in sentence


def test_an_external_data_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image"
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={tmp_path / 'outside'},data_file_raw=on", path, "1M")
    for sentence in (refused(path, DiskFormat.QCOW2), refused_early(path, DiskFormat.QCOW2)):
        assert "external file" in sentence


def test_the_name_of_a_data_file_is_refused_even_where_no_feature_bit_tells_of_it(tmp_path: Path) -> None:
    path = tmp_path / "image"
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={tmp_path / 'outside'}", path, "1M")
    patched(path, 72, bytes(8))
    assert "external file" in refused(path, DiskFormat.QCOW2)


@pytest.mark.parametrize("bit", [5, 17, 63])
def test_an_unknown_incompatible_feature_is_refused(bit: int, formats: dict[str, Path], tmp_path: Path) -> None:
    path = patched(Path(shutil.copy(formats["qcow2"], tmp_path)), 72, struct.pack(">Q", 1 << bit))
    for sentence in (refused(path, DiskFormat.QCOW2), refused_early(path, DiskFormat.QCOW2)):
        assert f"incompatible bit {bit}" in sentence


def test_a_qcow2_marked_corrupt_is_refused(formats: dict[str, Path], tmp_path: Path) -> None:
    path = patched(Path(shutil.copy(formats["qcow2"], tmp_path)), 72, struct.pack(">Q", 2))
    assert "marked corrupt" in refused(path, DiskFormat.QCOW2)


@pytest.mark.parametrize("method", [1, 2])
def test_an_encrypted_qcow2_is_refused(method: int, formats: dict[str, Path], tmp_path: Path) -> None:
    path = patched(Path(shutil.copy(formats["qcow2"], tmp_path)), 32, struct.pack(">I", method))
    for sentence in (refused(path, DiskFormat.QCOW2), refused_early(path, DiskFormat.QCOW2)):
        assert "encrypted" in sentence


@pytest.mark.parametrize("declared", [DiskFormat.RAW, DiskFormat.QCOW2])
@pytest.mark.parametrize("version", [1, 2])
def test_a_luks_container_is_refused(version: int, declared: DiskFormat, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes((b"LUKS\xba\xbe" + struct.pack(">H", version)).ljust(MIB, b"\0"))
    assert "encrypted with LUKS" in refused_early(path, declared)


def test_a_qcow_of_version_1_is_refused(tmp_path: Path) -> None:
    qemu_img("create", "-f", "qcow", tmp_path / "image", "1M")
    assert "version 1" in refused_early(tmp_path / "image", DiskFormat.QCOW2)


@pytest.mark.parametrize("subformat", ["twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "monolithicFlat"])
def test_a_vmdk_descriptor_without_its_data_is_refused(subformat: str, raw: Path, tmp_path: Path) -> None:
    path = images.written(raw, tmp_path / "disk.vmdk", "vmdk", f"subformat={subformat}")
    for sentence in (refused(path, DiskFormat.VMDK), refused_early(path, DiskFormat.VMDK)):
        assert "data lies in" in sentence
    assert "declared raw" in refused(path, DiskFormat.RAW)


DESCRIPTOR = """# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=ffffffff
createType="{kind}"
{extent}
ddb.adapterType = "lsilogic"
"""


@pytest.mark.parametrize("kind", ["monolithicFlat", "vmfs", "vmfsSparse", "seSparse", "fullDevice", "custom", ""])
@pytest.mark.parametrize(
    "extent", ['RW 2048 FLAT "/etc/passwd" 0', 'RW 2048 FLAT "../../etc/shadow" 0', 'RW 2048 VMFS "x.vmdk"']
)
def test_a_descriptor_that_points_to_files_of_the_server_is_refused(kind: str, extent: str, tmp_path: Path) -> None:
    path = tmp_path / "disk.vmdk"
    path.write_text(DESCRIPTOR.format(kind=kind, extent=extent))
    for declared in (DiskFormat.VMDK, DiskFormat.RAW):
        assert "passwd" not in refused(path, declared)
        refused_early(path, declared)


def _new_descriptor(path: Path, change: Callable[[bytes], bytes]) -> Path:
    """A sparse VMDK whose embedded descriptor was changed."""
    head = path.read_bytes()[512 : 512 * 21]
    text = change(head.rstrip(b"\0"))
    assert text != head.rstrip(b"\0")
    return patched(path, 512, text.ljust(len(head), b"\0"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'SPARSE "', b'SPARSE "/etc/'),
        (b'SPARSE "', b'SPARSE "../'),
        (b'SPARSE "', b'FLAT "'),
        (b'RW 65536 SPARSE "', b'RW 65536 FLAT "/etc/passwd" 0\nRW 65536 SPARSE "'),
        (b"parentCID=ffffffff", b"parentCID=12345678"),
        (b"# The Disk Data Base", b'parentFileNameHint="/etc/passwd"'),
        (b"# The Disk Data Base", b'# parentFileNameHint="/etc/passwd"'),
        (b"# The Disk Data Base", b'changeTrackPath="/etc/passwd"'),
        (b"# The Disk Data Base", b"what is this line"),
        (b'createType="monolithicSparse"', b'createType="monolithicFlat"'),
        (b'createType="monolithicSparse"', b'createType="streamOptimized"'),
        (b'createType="monolithicSparse"', b'createType="twoGbMaxExtentSparse"'),
        (b'createType="monolithicSparse"', b""),
        (b"RW 65536", b"RW 131072"),
    ],
)
def test_an_embedded_descriptor_that_names_others_is_refused(
    old: bytes, new: bytes, formats: dict[str, Path], tmp_path: Path
) -> None:
    path = _new_descriptor(Path(shutil.copy(formats["vmdk-sparse"], tmp_path)), lambda text: text.replace(old, new))
    assert "passwd" not in refused(path, DiskFormat.VMDK)
    refused_early(path, DiskFormat.VMDK)


def test_a_vmdk_whose_header_leaves_all_to_its_descriptor_is_refused(formats: dict[str, Path], tmp_path: Path) -> None:
    path = patched(Path(shutil.copy(formats["vmdk-sparse"], tmp_path)), 12, bytes(8))
    assert "0 sectors" in refused(path, DiskFormat.VMDK)


def test_a_vmdk_that_claims_a_footer_and_has_none_is_refused(formats: dict[str, Path], tmp_path: Path) -> None:
    path = patched(Path(shutil.copy(formats["vmdk-stream"], tmp_path)), 56, b"\xff" * 8)
    assert "footer" in refused(path, DiskFormat.VMDK)


def test_differencing_disks_are_refused(formats: dict[str, Path], tmp_path: Path) -> None:
    vdi = patched(Path(shutil.copy(formats["vdi"], tmp_path)), 0x4C, struct.pack("<I", 4))
    assert "parent" in refused(vdi, DiskFormat.VDI)
    footer = bytearray(formats["vhd-dynamic"].read_bytes()[-512:])
    footer[60:64] = struct.pack(">I", 4)
    footer[64:68] = bytes(4)
    footer[64:68] = struct.pack(">I", ~sum(footer) & 0xFFFFFFFF)
    vhd = patched(Path(shutil.copy(formats["vhd-dynamic"], tmp_path)), 0, bytes(footer))
    patched(vhd, vhd.stat().st_size - 512, bytes(footer))
    assert "parent" in refused(vhd, DiskFormat.VHD)
    vhdx = Path(shutil.copy(formats["vhdx-dynamic"], tmp_path))
    metadata = bytes.fromhex("3767a1ca36fa434db3b633f0aa44e76b")  # the file parameters' GUID, as it lies in the file
    content = vhdx.read_bytes()
    entry = content.index(metadata)
    table = content.rindex(b"metadata", 0, entry)
    offset = table + struct.unpack_from("<I", content, entry + 16)[0]
    patched(vhdx, offset + 4, struct.pack("<I", 2))
    assert "parent" in refused(vhdx, DiskFormat.VHDX)


def test_an_iso_that_begins_like_a_qcow2_is_refused_as_either(tmp_path: Path, formats: dict[str, Path]) -> None:
    path = images.iso(tmp_path / "both", blocks=1024)
    patched(path, 0, formats["qcow2"].read_bytes()[:512])
    for declared in (DiskFormat.ISO, DiskFormat.QCOW2):
        assert "at once" in refused(path, declared)
        assert "at once" in refused_early(path, declared)
    assert "declared raw" in refused(path, DiskFormat.RAW)


def test_an_iso_that_boots_as_a_disk_is_an_iso_and_not_a_raw_disk(tmp_path: Path) -> None:
    path = images.iso(tmp_path / "hybrid", hybrid=True)
    assert inspect(path, DiskFormat.ISO).form.disk_format is DiskFormat.ISO
    assert "disk_format=iso" in refused(path, DiskFormat.RAW)


def test_a_raw_disk_that_ends_in_a_vhd_footer_is_refused(formats: dict[str, Path]) -> None:
    assert "disk_format=vhd" in refused(formats["vhd-fixed"], DiskFormat.RAW)


def test_a_disk_of_absurd_size_is_refused(formats: dict[str, Path], tmp_path: Path) -> None:
    path = patched(Path(shutil.copy(formats["qcow2"], tmp_path)), 24, struct.pack(">Q", 1 << 60))
    assert "the most is" in refused(path, DiskFormat.QCOW2)


def test_a_link_in_place_of_the_file_is_not_followed(formats: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(formats["qcow2"])
    with pytest.raises(OSError, match="symbolic links"):
        inspect(tmp_path / "link", DiskFormat.QCOW2)


@pytest.mark.parametrize(
    "name", ["json:{}", "nbd:localhost:10809", "a,file.filename=b", "-f", "image:with colon", "%41"]
)
def test_a_file_name_cannot_make_qemu_open_anything_else(name: str, formats: dict[str, Path], tmp_path: Path) -> None:
    path = Path(shutil.copy(formats["qcow2"], tmp_path / name))
    assert inspect(path, DiskFormat.QCOW2).virtual_size_bytes == 32 * MIB
