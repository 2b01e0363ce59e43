"""VDI (VirtualBox, header version 1.1): dynamic or static, never differencing."""

import struct

from polyvisor.image.errors import ImageRefused
from polyvisor.image.formats.check import MAXIMUM_VIRTUAL_BYTES, Facts
from polyvisor.image.window import Window

_KIND_AT = 0x4C
_DATA_AT = 0x158
_SIZES_AT = 0x170
_PARENT_AT = 0x1B8
_HEADER_BYTES = 512
_WHOLE_KINDS = (1, 2)


class Vdi:
    """The check of a VDI."""

    def head(self, head: bytes) -> None:
        """Check the header."""
        if len(head) < _HEADER_BYTES:
            raise ImageRefused("The VDI ends within its header: it is truncated; upload it again.")
        (kind,) = struct.unpack_from("<I", head, _KIND_AT)
        if kind not in _WHOLE_KINDS or head[_PARENT_AT : _PARENT_AT + 16].strip(b"\0"):
            raise ImageRefused(
                "The VDI is a differencing disk with a parent, so it is not whole; clone it and upload the clone."
            )
        (size,) = struct.unpack_from("<Q", head, _SIZES_AT)
        if size > MAXIMUM_VIRTUAL_BYTES:
            raise ImageRefused(f"The VDI says its disk has {size} bytes; the most is {MAXIMUM_VIRTUAL_BYTES}.")

    def whole(self, image: Window) -> Facts:
        """Check that all blocks in use lie within the file."""
        head = image.read_at(0, _HEADER_BYTES)
        (data_at,) = struct.unpack_from("<I", head, _DATA_AT)
        block_bytes, extra_bytes, _, in_use = struct.unpack_from("<IIII", head, _SIZES_AT + 8)
        if data_at + in_use * (block_bytes + extra_bytes) > image.size:
            raise ImageRefused("The VDI's blocks lie beyond its end: the image is truncated; upload it again.")
        return Facts()
