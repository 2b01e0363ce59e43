"""Formats without a structure of their own: raw disks, file systems (ami), kernels (aki), ramdisks (ari), ISO 9660."""

from polyvisor.image.errors import ImageRefused
from polyvisor.image.formats.check import Facts
from polyvisor.image.formats.detect import COMPRESSED, detect
from polyvisor.image.window import Window

_ISO_BLOCK_BYTES = 2048
_ISO_DESCRIPTORS_AT = 16 * _ISO_BLOCK_BYTES


class Raw:
    """A disk, byte for byte. An MBR or GPT is what a disk begins with; its entries are the guest's own affair."""

    subject = "The image was declared raw"

    def head(self, head: bytes) -> None:
        """Refuse what a general-purpose packer made, or an archive: no disk begins like that."""
        packed = detect(head) & COMPRESSED
        if packed:
            raise ImageRefused(
                f"{self.subject}, but its bytes are packed with {', '.join(packed)}; unpack it and upload the result."
            )

    def whole(self, image: Window) -> Facts:
        """Refuse a fixed VHD, which is a raw disk with a footer."""
        if image.tail(512).startswith(b"conectix"):
            raise ImageRefused(f"{self.subject}, but it ends in a VHD footer; create it again with disk_format=vhd.")
        return Facts()


class Bare:
    """A kernel or a ramdisk: any bytes that are not a disk."""

    def head(self, head: bytes) -> None:
        """Nothing beyond what the declared format rules out."""

    def whole(self, image: Window) -> Facts:
        """Nothing to check."""
        return Facts()


class Iso:
    """ISO 9660, bootable as a disk as well (a hybrid with an MBR or GPT) or not."""

    def head(self, head: bytes) -> None:
        """Nothing beyond the signature, and that no other format's stands beside it."""

    def whole(self, image: Window) -> Facts:
        """Check that the volume lies within the file."""
        primary = image.read_at(_ISO_DESCRIPTORS_AT, _ISO_BLOCK_BYTES)
        if len(primary) == _ISO_BLOCK_BYTES and primary[0] == 1:
            blocks = int.from_bytes(primary[80:84], "little")
            block_bytes = int.from_bytes(primary[128:130], "little")
            if blocks * block_bytes > image.size:
                raise ImageRefused(
                    f"The ISO says it has {blocks * block_bytes} bytes, and {image.size} came; upload it again, whole."
                )
        return Facts()
