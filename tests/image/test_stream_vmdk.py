"""A streamOptimized VMDK of ours is as VMware specifies it: it reads as a stream, by its markers, and as a file."""

import os
import struct
import threading
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyvisor.image.errors import ImageRefused
from polyvisor.image.formats.check import HEAD_BYTES
from polyvisor.image.inspect import inspect
from polyvisor.image.stream_vmdk import GRAIN_BYTES, stream_vmdk
from polyvisor.image.window import Window
from polyvisor.model.image_format import DiskFormat
from tests.image import images
from tests.image.images import MIB, same_disk

SECTOR = 512
GRAIN, TABLE, DIRECTORY, FOOTER = range(4)
HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")


def written(source: Path, target: Path) -> Path:
    """The VMDK of a raw disk."""
    descriptor = os.open(source, os.O_RDONLY)
    try:
        with target.open("wb") as file:
            for chunk, _ in stream_vmdk(Window.of_file(descriptor), adapter="lsilogic", hardware_version=13):
                file.write(chunk)
    finally:
        os.close(descriptor)
    return target


class Stream:
    """A VMDK read from its beginning to its end, as a host takes it from the wire: markers tell what comes."""

    def __init__(self, data: bytes) -> None:
        self.header = HEADER.unpack_from(data)
        self.disk: dict[int, bytes] = {}
        self.tables: dict[int, tuple[int, ...]] = {}
        self.grain_at: dict[int, int] = {}
        self.directory: tuple[int, ...] = ()
        position = self.header[10] * SECTOR
        while True:
            value, size, kind = struct.unpack_from("<QII", data, position)
            if size:
                self.grain_at[value] = position // SECTOR
                self.disk[value] = zlib.decompress(data[position + 12 : position + 12 + size])
                position += -(-(12 + size) // SECTOR) * SECTOR
                continue
            position += SECTOR
            content = data[position : position + value * SECTOR]
            if kind == TABLE:
                self.tables[position // SECTOR] = struct.unpack(f"<{len(content) // 4}I", content)
            elif kind == DIRECTORY:
                self.directory_at = position // SECTOR
                self.directory = struct.unpack(f"<{len(content) // 4}I", content)
            elif kind == FOOTER:
                self.footer = HEADER.unpack_from(content)
            else:
                break
            position += value * SECTOR
        self.ended_at = position


def test_the_stream_can_be_read_by_its_markers_alone(raw: Path, tmp_path: Path) -> None:
    data = written(raw, tmp_path / "out").read_bytes()
    stream = Stream(data)
    assert stream.ended_at == len(data)
    disk = bytearray(raw.stat().st_size)
    for sector, grain in stream.disk.items():
        disk[sector * SECTOR : sector * SECTOR + len(grain)] = grain
    assert disk == raw.read_bytes()
    assert list(stream.disk) == sorted(stream.disk)
    assert all(len(grain) == GRAIN_BYTES and any(grain) for grain in stream.disk.values())


def test_header_footer_directory_and_tables_agree(tmp_path: Path) -> None:
    layout = {0: MIB, 31 * MIB: 2 * MIB, 100 * MIB: 3, 127 * MIB: MIB}
    source = images.raw_disk(tmp_path / "source", 128 * MIB, data=layout)
    stream = Stream(written(source, tmp_path / "out").read_bytes())
    at_end = 0xFFFFFFFFFFFFFFFF
    assert stream.header[:3] == (b"KDMV", 3, 0x30001)
    assert stream.header[3:10] == (128 * MIB // SECTOR, 128, 1, 20, 512, 0, at_end)
    assert stream.footer == (*stream.header[:9], stream.directory_at, *stream.header[10:])
    found = {
        (number * 512 + entry) * 128: at
        for number, table in enumerate(stream.directory)
        if table
        for entry, at in enumerate(stream.tables[table])
        if at
    }
    assert found == stream.grain_at
    assert [bool(table) for table in stream.directory[:4]] == [True, True, False, True]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.integers(1, 80 * MIB),
    layout=st.dictionaries(st.integers(0, 80 * MIB), st.integers(1, 300_000), max_size=6),
)
def test_any_disk_reads_back_the_same(
    size: int, layout: dict[int, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    source = images.raw_disk(folder / "source", 512, data=layout)
    os.truncate(source, size)
    target = written(source, folder / "out")
    assert same_disk(source, "raw", target, "vmdk")
    found = inspect(target, DiskFormat.VMDK)
    assert found.form.subformat == "streamOptimized"
    assert 0 <= found.virtual_size_bytes - size < GRAIN_BYTES
    source.unlink()
    target.unlink()


def test_the_same_disk_gives_the_same_bytes(raw: Path, tmp_path: Path) -> None:
    assert written(raw, tmp_path / "one").read_bytes() == written(raw, tmp_path / "two").read_bytes()


def test_a_terabyte_of_nothing_is_a_few_pages(tmp_path: Path) -> None:
    with (tmp_path / "source").open("wb") as file:
        file.truncate(1 << 40)
    target = written(tmp_path / "source", tmp_path / "out")
    # The directory has an entry for each 32 MiB.
    assert target.stat().st_size < 65536 + (1 << 40) // (32 * MIB) * 4 + 5 * SECTOR
    assert inspect(target, DiskFormat.VMDK).virtual_size_bytes == 1 << 40


def test_a_disk_that_its_tables_could_not_address_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "source").open("wb") as file:
        file.truncate(3 << 40)
    with pytest.raises(ValueError, match="too large"):
        written(tmp_path / "source", tmp_path / "out")


def test_a_truncated_stream_is_refused(raw: Path, tmp_path: Path) -> None:
    for lost in (512, 1536, 100_000):
        path = written(raw, tmp_path / "out")
        os.truncate(path, path.stat().st_size - lost)
        with pytest.raises(ImageRefused, match="truncated"):
            inspect(path, DiskFormat.VMDK)


@pytest.mark.parametrize(
    ("at", "data"),
    [
        (-1024 + 12, bytes(8)),  # a capacity of 0 makes QEMU believe the descriptor
        (-1024 + 12, struct.pack("<Q", 1)),
        (-1024 + 28, struct.pack("<Q", 100)),  # another descriptor
        (-1024 + 56, b"\xff" * 8),  # another footer
        (-1536 + 12, struct.pack("<I", 2)),
        (-512, b"x"),
    ],
)
def test_a_footer_that_contradicts_the_header_is_refused(at: int, data: bytes, raw: Path, tmp_path: Path) -> None:
    path = written(raw, tmp_path / "out")
    images.patched(path, path.stat().st_size + at, data)
    with pytest.raises(ImageRefused, match=r"footer|truncated"):
        inspect(path, DiskFormat.VMDK)


def test_stopping_in_the_middle_stops_the_threads(tmp_path: Path) -> None:
    source = images.raw_disk(tmp_path / "source", 64 * MIB, data={0: 64 * MIB})
    descriptor = os.open(source, os.O_RDONLY)
    try:
        stream = stream_vmdk(Window.of_file(descriptor), adapter="ide", hardware_version=10)
        assert len(next(stream)[0]) < HEAD_BYTES
        next(stream)
        stream.close()
    finally:
        os.close(descriptor)
    assert [thread for thread in threading.enumerate() if thread.name.startswith("stream-vmdk")] == []
