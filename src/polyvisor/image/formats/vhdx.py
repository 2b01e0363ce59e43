"""VHDX (Microsoft's MS-VHDX): whole, without a parent, every block within the file."""

import struct
import uuid

from polyvisor.image.errors import ImageRefused
from polyvisor.image.formats.check import MAXIMUM_VIRTUAL_BYTES, Facts
from polyvisor.image.window import Window

_REGION_TABLES_AT = (192 << 10, 256 << 10)
_TABLE_BYTES = 64 << 10
_BAT = uuid.UUID("2DC27766-F623-4200-9D64-115E9BFD4A08")
_METADATA = uuid.UUID("8B7CA206-4790-4B9A-B8FE-575F050F886E")
_FILE_PARAMETERS = uuid.UUID("CAA16737-FA36-4D43-B3B6-33F0AA44E76B")
_DISK_SIZE = uuid.UUID("2FA54224-CD1B-4876-B211-5DBED83BF4B8")
_LOGICAL_SECTOR = uuid.UUID("8141BF1D-A96F-4709-BA47-F233A8FAAB5F")
_HAS_PARENT = 1 << 1
_FULLY_PRESENT = 6
_DAMAGED = "The VHDX's tables are not in order: the image is truncated or damaged; upload it again."


class Vhdx:
    """The check of a VHDX."""

    def head(self, head: bytes) -> None:
        """Nothing beyond the signature: its tables may lie anywhere."""

    def whole(self, image: Window) -> Facts:
        """Check regions, metadata and the block table."""
        regions = _regions(image)
        metadata = image.inside(*regions[_METADATA])
        items = _items(metadata)
        block_bytes, flags = struct.unpack_from("<II", items[_FILE_PARAMETERS].ljust(8, b"\0"))
        size = int.from_bytes(items[_DISK_SIZE][:8], "little")
        sector_bytes = int.from_bytes(items[_LOGICAL_SECTOR][:4], "little")
        if flags & _HAS_PARENT:
            raise ImageRefused(
                "The VHDX is a differencing disk with a parent, so it is not whole; merge it and upload the result."
            )
        if size > MAXIMUM_VIRTUAL_BYTES:
            raise ImageRefused(f"The VHDX says its disk has {size} bytes; the most is {MAXIMUM_VIRTUAL_BYTES}.")
        if not 1 << 20 <= block_bytes <= 256 << 20 or sector_bytes not in (512, 4096):
            raise ImageRefused(_DAMAGED)
        _check_blocks(image, image.inside(*regions[_BAT]), block_bytes)
        return Facts()


def _regions(image: Window) -> dict[uuid.UUID, tuple[int, int]]:
    for at in _REGION_TABLES_AT:
        table = image.read_at(at, _TABLE_BYTES)
        if len(table) < _TABLE_BYTES or not table.startswith(b"regi"):
            continue
        (count,) = struct.unpack_from("<I", table, 8)
        found = {}
        for number in range(min(count, 2047)):
            kind, offset, length, required = struct.unpack_from("<16sQII", table, 16 + 32 * number)
            identity = uuid.UUID(bytes_le=kind)
            if required and identity not in (_BAT, _METADATA):
                raise ImageRefused(
                    "The VHDX needs a region that is not known here; write it anew with 'qemu-img convert -O vhdx'."
                )
            found[identity] = (offset, length)
        if _BAT in found and _METADATA in found:
            return found
    raise ImageRefused(_DAMAGED)


def _items(metadata: Window) -> dict[uuid.UUID, bytes]:
    table = metadata.read_at(0, _TABLE_BYTES)
    if len(table) < _TABLE_BYTES or not table.startswith(b"metadata"):
        raise ImageRefused(_DAMAGED)
    (count,) = struct.unpack_from("<H", table, 10)
    found = {}
    for number in range(min(count, 2047)):
        kind, offset, length = struct.unpack_from("<16sII", table, 32 + 32 * number)
        found[uuid.UUID(bytes_le=kind)] = metadata.read_at(offset, min(length, 64))
    if not {_FILE_PARAMETERS, _DISK_SIZE, _LOGICAL_SECTOR} <= found.keys():
        raise ImageRefused(_DAMAGED)
    return found


def _check_blocks(image: Window, table: Window, block_bytes: int) -> None:
    # An entry is a state in its low three bits and, from bit 20 on, an offset in MiB. Entries for sector bitmaps
    # share the value of "fully present" and are 1 MiB long; without a parent there are none in use.
    present = (entries[entries & 7 == _FULLY_PRESENT] >> 20 for entries in table.numbers("<u8"))
    furthest = max((int(offsets.max(initial=0)) for offsets in present), default=0)
    if furthest and (furthest << 20) + block_bytes > image.size:
        raise ImageRefused("The VHDX's blocks lie beyond its end: the image is truncated; upload it again.")
