"""Writes streamOptimized VMDKs (VMware's Virtual Disk Format 1.1) in one pass and on all processors.

qemu-img writes them on one processor and without footer; what comes from here is what VMware's own tools write: grains
with markers, each table after its grains, the directory and the footer at the end. The same disk gives the same bytes.
"""

import os
import struct
import zlib
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from polyvisor.image.sparse import data_ranges
from polyvisor.image.window import CHUNK_BYTES, Window

SECTOR_BYTES = 512
GRAIN_SECTORS = 128
GRAIN_BYTES = GRAIN_SECTORS * SECTOR_BYTES
TABLE_ENTRIES = 512
TABLE_SECTORS = TABLE_ENTRIES * 4 // SECTOR_BYTES
DESCRIPTOR_SECTORS = 20
HEADER_SECTORS = 128
"""Header, descriptor and padding: the first grain is aligned as every reader likes it."""

_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH433x")
_GRAIN_MARKER = struct.Struct("<QI")
_MARKER = struct.Struct("<QII496x")
_END, _TABLE, _DIRECTORY, _FOOTER = range(4)
_AT_END = 0xFFFFFFFFFFFFFFFF
_FLAGS = 1 | 1 << 16 | 1 << 17
"""Line ends can be checked; grains are compressed; there are markers."""

_LEVEL = 1
"""zlib's fastest: three times as fast as its default, for a file that is a tenth larger."""

_MOST_THREADS = 8
_ZEROS = bytes(GRAIN_BYTES)

_DESCRIPTOR = """# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=ffffffff
createType="streamOptimized"

# Extent description
RW {sectors} SPARSE "disk.vmdk"

# The Disk Data Base
#DDB

ddb.adapterType = "{adapter}"
ddb.geometry.cylinders = "{cylinders}"
ddb.geometry.heads = "255"
ddb.geometry.sectors = "63"
ddb.virtualHWVersion = "{hardware_version}"
"""

Grain = tuple[int, bytes]
"""A grain's number and its compressed bytes."""


def stream_vmdk(disk: Window, *, adapter: str, hardware_version: int) -> Generator[tuple[bytes, float], None, None]:
    """The VMDK of a raw disk: chunks to be written in order, each with how far into the disk it is, from 0 to 1. Holes
    and zeros are left out. A size that is no multiple of 64 KiB is rounded up, as the format demands. Raises ValueError
    for a disk whose VMDK could grow beyond the 2 TiB that its tables can address."""
    grains = -(-disk.size // GRAIN_BYTES)
    # What does not compress takes a sector more than it has, and tables come on top.
    if grains > (1 << 32) // (GRAIN_SECTORS + 2):
        raise ValueError(f"a disk of {disk.size} bytes is too large for a streamOptimized VMDK")
    writer = _Writer(grains)
    yield writer.header(adapter, hardware_version), 0.0
    for number, packed in _compressed(disk):
        yield writer.grain(number, packed), number / grains
    yield writer.end(), 1.0


class _Writer:
    """Keeps the tables, and knows at which sector the next byte goes."""

    def __init__(self, grains: int) -> None:
        self._capacity = grains * GRAIN_SECTORS
        self._sector = 0
        self._directory = [0] * -(-grains // TABLE_ENTRIES)
        self._table = [0] * TABLE_ENTRIES
        self._table_number = 0

    def header(self, adapter: str, hardware_version: int) -> bytes:
        """Header and descriptor."""
        text = _DESCRIPTOR.format(
            sectors=self._capacity,
            adapter=adapter,
            cylinders=min(65535, self._capacity // (255 * 63)),
            hardware_version=hardware_version,
        )
        head = self._header(_AT_END) + text.encode().ljust(DESCRIPTOR_SECTORS * SECTOR_BYTES, b"\0")
        return self._placed(head.ljust(HEADER_SECTORS * SECTOR_BYTES, b"\0"))

    def grain(self, number: int, packed: bytes) -> bytes:
        """A grain, after the table of those before it where that is full."""
        before = self._table_end() if number // TABLE_ENTRIES != self._table_number else b""
        self._table_number = number // TABLE_ENTRIES
        self._table[number % TABLE_ENTRIES] = self._sector
        return before + self._placed(_GRAIN_MARKER.pack(number * GRAIN_SECTORS, len(packed)) + packed)

    def end(self) -> bytes:
        """The last table, the directory, the footer, and the end of the stream."""
        last = self._table_end()
        size = -(-len(self._directory) * 4 // SECTOR_BYTES)
        marker = self._placed(_MARKER.pack(size, 0, _DIRECTORY))
        at = self._sector
        directory = self._placed(struct.pack(f"<{len(self._directory)}I", *self._directory))
        footer = _MARKER.pack(1, 0, _FOOTER) + self._header(at) + _MARKER.pack(0, 0, _END)
        return last + marker + directory + footer

    def _table_end(self) -> bytes:
        if not any(self._table):
            return b""
        marker = self._placed(_MARKER.pack(TABLE_SECTORS, 0, _TABLE))
        self._directory[self._table_number] = self._sector
        table = self._placed(struct.pack(f"<{TABLE_ENTRIES}I", *self._table))
        self._table = [0] * TABLE_ENTRIES
        return marker + table

    def _placed(self, data: bytes) -> bytes:
        """Fill up to whole sectors, and count them."""
        data += bytes(-len(data) % SECTOR_BYTES)
        self._sector += len(data) // SECTOR_BYTES
        return data

    def _header(self, directory_at: int) -> bytes:
        return _HEADER.pack(
            b"KDMV",
            3,
            _FLAGS,
            self._capacity,
            GRAIN_SECTORS,
            1,
            DESCRIPTOR_SECTORS,
            TABLE_ENTRIES,
            0,
            directory_at,
            HEADER_SECTORS,
            0,
            b"\n \r\n",
            1,
        )


def _compressed(disk: Window) -> Iterator[Grain]:
    """The grains that are not zero, in order, compressed by several threads (zlib lets go of the interpreter's
    lock)."""
    threads = min(_MOST_THREADS, len(os.sched_getaffinity(0)))
    pending: deque[Future[list[Grain]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="stream-vmdk") as pool:
        try:
            for begin, end in _pieces(disk):
                pending.append(pool.submit(_compress, disk, begin, end))
                if len(pending) > 2 * threads:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def _compress(disk: Window, begin: int, end: int) -> list[Grain]:
    data = disk.read_at(begin, end - begin)
    found = []
    for offset in range(0, len(data), GRAIN_BYTES):
        grain = data[offset : offset + GRAIN_BYTES].ljust(GRAIN_BYTES, b"\0")
        if grain != _ZEROS:
            found.append(((begin + offset) // GRAIN_BYTES, zlib.compress(grain, _LEVEL)))
    return found


def _pieces(disk: Window) -> Iterator[tuple[int, int]]:
    """What is no hole, widened to whole grains, in pieces of at most a MiB: (begin, end), in order, none twice."""
    done = 0
    for begin, end in data_ranges(disk):
        position = max(done, begin // GRAIN_BYTES * GRAIN_BYTES)
        done = max(done, -(-end // GRAIN_BYTES) * GRAIN_BYTES)
        while position < done:
            yield position, min(position + CHUNK_BYTES, done)
            position = min(position + CHUNK_BYTES, done)
