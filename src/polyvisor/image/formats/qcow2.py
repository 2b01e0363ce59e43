"""QCOW2, versions 2 and 3 (QEMU's docs/interop/qcow2.txt): self-contained, unencrypted, of known features."""

import struct

from polyvisor.image.errors import ImageRefused
from polyvisor.image.formats.check import MAXIMUM_VIRTUAL_BYTES, Facts
from polyvisor.image.formats.detect import safety
from polyvisor.image.window import Window

_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
_HEADER_3 = struct.Struct(">QQQII")

_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_KNOWN = _DIRTY | _COMPRESSION | _EXTENDED_L2
_RAW_EXTERNAL = 1 << 1

_LARGEST_CLUSTER_BITS = 21
_LARGEST_TABLE_BYTES = 32 << 20
_OFFSET_MASK = 0x00FFFFFFFFFFFE00
_COMPRESSED_CLUSTER = 1 << 62
_DATA_FILE_NAME = 0x44415441
_ENCRYPTION_HEADER = 0x0537BE77

_BACKING = "The qcow2 image has a backing file, so it is not whole; flatten it with 'qemu-img convert -O qcow2' first."
_EXTERNAL = "The qcow2 image keeps its data in an external file; bring it into one with 'qemu-img convert -O qcow2'."
_ENCRYPTED = "The qcow2 image is encrypted, and there is no key to read it with; upload it decrypted."
_TRUNCATED = "The qcow2 image ends within its header: it is truncated; upload it again."


class Qcow2:
    """The check of a qcow2 image."""

    def head(self, head: bytes) -> None:
        """Check the header and its extensions."""
        if len(head) < _HEADER.size:
            raise ImageRefused(_TRUNCATED)
        _, version, backing, _, cluster_bits, size, encryption, *_ = _HEADER.unpack_from(head)
        if version not in (2, 3):
            raise ImageRefused(f"The image is qcow version {version}; convert it with 'qemu-img convert -O qcow2'.")
        if backing:
            raise ImageRefused(_BACKING)
        if encryption:
            raise ImageRefused(_ENCRYPTED)
        if not 9 <= cluster_bits <= _LARGEST_CLUSTER_BITS:
            raise ImageRefused("The qcow2 image has an impossible cluster size: it is damaged.")
        if size > MAXIMUM_VIRTUAL_BYTES:
            raise ImageRefused(f"The qcow2 image says its disk has {size} bytes; the most is {MAXIMUM_VIRTUAL_BYTES}.")
        extensions_at = _HEADER.size
        if version == 3:
            extensions_at = _check_features(head)
        _check_extensions(head[: 1 << cluster_bits], extensions_at)
        self._check_again(head)

    def _check_again(self, head: bytes) -> None:
        # Extended L2 entries (QEMU 5.2) are beyond what oslo.utils counts as known; _check_features has the last word.
        failed = safety("qcow2", head.ljust(512, b"\0")) - {"unknown_features"}
        if "backing_file" in failed:
            raise ImageRefused(_BACKING)
        if "data_file" in failed:
            raise ImageRefused(_EXTERNAL)
        if failed:
            raise ImageRefused("The qcow2 header is not in order: the image is damaged.")

    def whole(self, image: Window) -> Facts:
        """Check the whole of the first cluster, which extensions may fill, and the last one. What lies between is for
        qemu-img, which does not mind a last cluster that is incomplete."""
        first = image.read_at(0, 1 << _LARGEST_CLUSTER_BITS)
        self.head(first)
        if _data_is_cut_off(image, first):
            raise ImageRefused("The qcow2 image ends within its data: it is truncated; upload it again.")
        return Facts()


def _data_is_cut_off(image: Window, first: bytes) -> bool:
    """Whether a cluster of data begins in the file and ends beyond it. A table may, as in every new image: what is
    missing counts as zeros."""
    _, version, _, _, cluster_bits, _, _, entries, table_at, *_ = _HEADER.unpack_from(first)
    if image.size % (1 << cluster_bits) == 0:
        return False
    cluster_bytes = 1 << cluster_bits
    extended = version == 3 and bool(_HEADER_3.unpack_from(first, _HEADER.size)[0] & _EXTENDED_L2)
    level_2 = {
        int(offset)
        for level_1 in image.inside(table_at, min(entries * 8, _LARGEST_TABLE_BYTES)).numbers(">u8")
        for offset in level_1 & _OFFSET_MASK
        if offset
    }
    for at in sorted(level_2):
        for table in image.inside(at, cluster_bytes).numbers(">u8"):
            clusters = table[:: 2 if extended else 1]
            packed = clusters & _COMPRESSED_CLUSTER != 0
            if ((clusters[~packed] & _OFFSET_MASK) == image.size // cluster_bytes * cluster_bytes).any():
                return True
            # A compressed cluster: where it begins, and above that how many more sectors it reaches into.
            words, offset_bits = clusters[packed] & (_COMPRESSED_CLUSTER - 1), 62 - (cluster_bits - 8)
            last_sector = (words & ((1 << offset_bits) - 1)) // 512 + (words >> offset_bits)
            if (last_sector * 512 >= image.size).any():
                return True
    return False


def _check_features(head: bytes) -> int:
    """Check version 3's feature bits; returns where the header's extensions begin."""
    if len(head) < _HEADER.size + _HEADER_3.size:
        raise ImageRefused(_TRUNCATED)
    incompatible, _, autoclear, _, header_bytes = _HEADER_3.unpack_from(head, _HEADER.size)
    if incompatible & _DATA_FILE or autoclear & _RAW_EXTERNAL:
        raise ImageRefused(_EXTERNAL)
    if incompatible & _CORRUPT:
        raise ImageRefused(
            "The qcow2 image is marked corrupt; repair it with 'qemu-img check -r all' and upload it again."
        )
    if incompatible & ~_KNOWN:
        bits = ", ".join(str(bit) for bit in range(64) if incompatible & ~_KNOWN & (1 << bit))
        raise ImageRefused(
            f"The qcow2 image needs features that are not known here (incompatible bit {bits}); write it anew with "
            "'qemu-img convert -O qcow2'."
        )
    return max(int(header_bytes), _HEADER.size + _HEADER_3.size)


def _check_extensions(header: bytes, position: int) -> None:
    while position + 8 <= len(header):
        kind, length = struct.unpack_from(">II", header, position)
        if kind == 0:
            return
        if kind == _DATA_FILE_NAME:
            raise ImageRefused(_EXTERNAL)
        if kind == _ENCRYPTION_HEADER:
            raise ImageRefused(_ENCRYPTED)
        position += 8 + (length + 7) // 8 * 8
