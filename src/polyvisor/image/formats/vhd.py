"""VHD (Microsoft's Virtual Hard Disk Image Format Specification 1.0): fixed and dynamic, never differencing."""

import struct

from polyvisor.image.errors import ImageRefused
from polyvisor.image.formats.check import MAXIMUM_VIRTUAL_BYTES, Facts
from polyvisor.image.window import Window

_FOOTER = struct.Struct(">8sIIQI4sI4sQQIII")
_FOOTER_BYTES = 512
_SPARSE = struct.Struct(">8sQQIII")
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4
_UNUSED = 0xFFFFFFFF
_TRUNCATED = "The VHD does not end in its footer: it is truncated, or no VHD at all; upload it again."


class Vhd:
    """The check of a VHD."""

    def head(self, head: bytes) -> None:
        """Check the copy of the footer that a dynamic VHD begins with; a fixed one begins with its disk's own bytes."""
        if head.startswith(b"conectix"):
            _check_footer(head[:_FOOTER_BYTES])

    def whole(self, image: Window) -> Facts:
        """Check footer and block table."""
        footer = image.tail(_FOOTER_BYTES)
        if len(footer) < _FOOTER_BYTES or not footer.startswith(b"conectix"):
            raise ImageRefused(_TRUNCATED)
        kind, table_at, size = _check_footer(footer)
        if kind == _FIXED:
            if image.size - _FOOTER_BYTES < size:
                raise ImageRefused(
                    f"The VHD says its disk has {size} bytes, and fewer came: it is truncated; upload it again."
                )
            return Facts(subformat="fixed")
        if image.read_at(0, _FOOTER_BYTES)[:64] != footer[:64]:
            raise ImageRefused("The VHD's footer contradicts its copy at the start: the image is damaged.")
        _check_blocks(image, table_at)
        return Facts(subformat="dynamic")


def _check_footer(footer: bytes) -> tuple[int, int, int]:
    """Check a footer; returns disk type, where the sparse header is, and the disk's size in bytes."""
    if len(footer) < _FOOTER_BYTES:
        raise ImageRefused(_TRUNCATED)
    _, _, _, at, _, _, _, _, _, size, _, kind, checksum = _FOOTER.unpack_from(footer)
    if ~(sum(footer) - sum(footer[64:68])) & 0xFFFFFFFF != checksum:
        raise ImageRefused("The VHD footer's checksum is wrong: the image is damaged.")
    if kind == _DIFFERENCING:
        raise ImageRefused(
            "The VHD is a differencing disk with a parent, so it is not whole; merge it and upload the result."
        )
    if kind not in (_FIXED, _DYNAMIC):
        raise ImageRefused(f"The VHD is of type {kind}, which is not known; use a fixed or dynamic one.")
    if size > MAXIMUM_VIRTUAL_BYTES:
        raise ImageRefused(f"The VHD says its disk has {size} bytes; the most is {MAXIMUM_VIRTUAL_BYTES}.")
    return kind, at, size


def _check_blocks(image: Window, header_at: int) -> None:
    header = image.read_at(header_at, _SPARSE.size)
    if len(header) < _SPARSE.size or not header.startswith(b"cxsparse"):
        raise ImageRefused("The VHD has no dynamic header where its footer says: the image is damaged.")
    _, _, table_at, _, entries, block_bytes = _SPARSE.unpack(header)
    table = image.inside(table_at, entries * 4)
    if table.size < entries * 4 or not block_bytes or block_bytes % 512:
        raise ImageRefused("The VHD's block table is incomplete: the image is truncated or damaged.")
    furthest = max((int(sectors[sectors != _UNUSED].max(initial=0)) for sectors in table.numbers(">u4")), default=0)
    bitmap_bytes = (block_bytes // 512 // 8 + 511) // 512 * 512
    if furthest and furthest * 512 + bitmap_bytes + block_bytes > image.size:
        raise ImageRefused("The VHD's blocks lie beyond its end: the image is truncated; upload it again.")
