"""VMDK as one file (VMware's Virtual Disk Format 1.1): monolithicSparse, streamOptimized, or the flat extent alone."""

import re
import struct

from polyvisor.image.errors import ImageRefused
from polyvisor.image.formats.check import MAXIMUM_VIRTUAL_BYTES, Facts
from polyvisor.image.formats.detect import detect, safety
from polyvisor.image.formats.plain import Raw
from polyvisor.image.window import Window
from polyvisor.model.image_format import MONOLITHIC_FLAT, MONOLITHIC_SPARSE, STREAM_OPTIMIZED
from polyvisor.model.record import Record

SECTOR_BYTES = 512
_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")
_GRAINS_AT_END = 0xFFFFFFFFFFFFFFFF
_COMPRESSED = 1 << 16
_FOOTER_BYTES = 3 * SECTOR_BYTES
_LONGEST_DESCRIPTOR = (1 << 20) - 1

_EXTENT = re.compile(r'^(RW|RDONLY|NOACCESS)\s+(\d+)\s+([A-Z0-9]+)(?:\s+"([^"]*)")?(?:\s+(\d+))?\s*$', re.IGNORECASE)
_SINGLE_FILE = {MONOLITHIC_SPARSE.lower(): MONOLITHIC_SPARSE, STREAM_OPTIMIZED.lower(): STREAM_OPTIMIZED}
_FLAT_TYPES = frozenset({"monolithicflat", "vmfs"})

_ADAPTERS = {"lsilogic": "lsiLogic", "buslogic": "busLogic", "lsisas1068": "lsiLogicsas", "pvscsi": "paraVirtual"}
"""`ddb.adapterType` to `vmware_adaptertype`. Not "ide": that is what qemu-img writes when nobody chose."""

_HOW = "export the disk as one file (streamOptimized, or 'qemu-img convert -O vmdk') and upload that"
_DAMAGED = "The VMDK header is not in order: the image is damaged."


class Extent(Record):
    """One line of a descriptor's extent list."""

    sectors: int
    kind: str
    """SPARSE, FLAT, VMFS ..., in capitals."""
    file_name: str
    offset_sectors: int


class Descriptor(Record):
    """A descriptor's text, taken apart."""

    create_type: str
    """In lower case."""
    extents: tuple[Extent, ...]
    adapter_type: str


def parse_descriptor(text: bytes) -> Descriptor:
    """Take a descriptor apart; refuse one with a parent disk, or with lines that nobody knows."""
    try:
        lines = text.split(b"\0", 1)[0].decode("ascii").splitlines()
    except UnicodeDecodeError:
        raise ImageRefused("The VMDK descriptor is not plain text: the image is damaged.") from None
    # QEMU looks for this word anywhere, in comments as well.
    if b"parentfilenamehint" in text.lower():
        raise ImageRefused(
            "The VMDK has a parent disk, so it is not whole; consolidate its snapshots and export it again."
        )
    fields: dict[str, str] = {}
    extents = []
    for line in map(str.strip, lines):
        if not line or line.startswith("#"):
            continue
        if found := _EXTENT.match(line):
            _, sectors, kind, name, offset = found.groups()
            extents.append(
                Extent(sectors=int(sectors), kind=kind.upper(), file_name=name or "", offset_sectors=int(offset or 0))
            )
            continue
        name, equals, value = line.partition("=")
        if not equals or " " in name.strip():
            raise ImageRefused(f"The VMDK descriptor has a line that is not understood; {_HOW}.")
        fields.setdefault(name.strip().lower(), value.strip().strip('"'))
    if fields.get("parentcid", "ffffffff").lower() != "ffffffff":
        raise ImageRefused(
            "The VMDK has a parent disk, so it is not whole; consolidate its snapshots and export it again."
        )
    if "changetrackpath" in fields:
        raise ImageRefused(f"The VMDK descriptor names a change-tracking file beside it; {_HOW}.")
    return Descriptor(
        create_type=fields.get("createtype", "").lower(),
        extents=tuple(extents),
        adapter_type=fields.get("ddb.adaptertype", "").lower(),
    )


class Vmdk:
    """The check of a sparse VMDK."""

    def head(self, head: bytes) -> None:
        """Check header and embedded descriptor."""
        self._read(head)
        # What has a footer can only be checked with it.
        if not self._footer and (failed := safety("vmdk", head)):
            raise ImageRefused(f"The VMDK fails the checks {', '.join(sorted(failed))}; {_HOW}.")

    def whole(self, image: Window) -> Facts:
        """Check the footer of a streamOptimized VMDK, which overrides the header."""
        descriptor = self._read(image.read_at(0, _LONGEST_DESCRIPTOR + SECTOR_BYTES))
        if self._footer:
            self._check_footer(image)
        subformat = _SINGLE_FILE[descriptor.create_type]
        properties = {"vmware_disktype": STREAM_OPTIMIZED if subformat == STREAM_OPTIMIZED else "sparse"}
        if adapter := _ADAPTERS.get(descriptor.adapter_type):
            properties["vmware_adaptertype"] = adapter
        return Facts(subformat=subformat, properties=properties)

    def _read(self, head: bytes) -> Descriptor:
        if not head.startswith(b"KDMV"):
            raise _alone(head)
        if len(head) < _HEADER.size:
            raise ImageRefused("The VMDK ends within its header: it is truncated; upload it again.")
        _, version, flags, sectors, _, at, length, _, _, directory, _, _, line_ends, packing = _HEADER.unpack_from(head)
        if version not in (1, 2, 3) or packing not in (0, 1):
            raise ImageRefused(f"The VMDK is of a version or compression that is not known; {_HOW}.")
        if line_ends != b"\n \r\n":
            raise ImageRefused("The VMDK was damaged by a transfer in text mode; transfer it in binary mode.")
        # A capacity of 0 makes QEMU believe the descriptor, and open whatever it names.
        if not 0 < sectors * SECTOR_BYTES <= MAXIMUM_VIRTUAL_BYTES:
            raise ImageRefused(f"The VMDK header gives the disk {sectors} sectors, which cannot be; {_HOW}.")
        if at != 1 or not 0 < length * SECTOR_BYTES <= _LONGEST_DESCRIPTOR:
            raise ImageRefused(f"The VMDK has no descriptor where it belongs, in its second sector; {_HOW}.")
        text = head[SECTOR_BYTES : SECTOR_BYTES * (1 + length)]
        if len(text) < length * SECTOR_BYTES:
            raise ImageRefused("The VMDK ends within its descriptor: it is truncated; upload it again.")
        self._footer = directory == _GRAINS_AT_END
        self._header = (version, flags, sectors, at, length)
        descriptor = parse_descriptor(text)
        _check_single(descriptor, sectors, compressed=bool(flags & _COMPRESSED))
        return descriptor

    def _check_footer(self, image: Window) -> None:
        if image.size < SECTOR_BYTES + _FOOTER_BYTES or safety(
            "vmdk", image.read_at(0, 1 << 20), image.tail(_FOOTER_BYTES)
        ):
            raise ImageRefused("The streamOptimized VMDK does not end in a footer: it is truncated; upload it again.")
        footer = _HEADER.unpack_from(image.tail(_FOOTER_BYTES), SECTOR_BYTES)
        if (footer[1], footer[2], footer[3], footer[5], footer[6]) != self._header:
            raise ImageRefused("The VMDK's footer contradicts its header: the image is damaged.")


class FlatVmdk(Raw):
    """The check of a flat extent, which is raw bytes under another name."""

    subject = "The vmware_disktype given says that these are the bytes of a flat extent (NAME-flat.vmdk)"

    def head(self, head: bytes) -> None:
        """Check that the bytes are no VMDK with a structure of its own, nor anything else that is no disk."""
        if "vmdk" in detect(head):
            raise ImageRefused(
                f"{self.subject}, but they are a sparse VMDK or a descriptor; set vmware_disktype to "
                "sparse or streamOptimized, or upload the -flat.vmdk."
            )
        super().head(head)

    def whole(self, image: Window) -> Facts:
        """As raw."""
        super().whole(image)
        return Facts(subformat=MONOLITHIC_FLAT)


def flat_extent(descriptor: Descriptor) -> Extent | None:
    """The one extent of a monolithicFlat or VMFS disk; None when the descriptor is of another kind."""
    if descriptor.create_type not in _FLAT_TYPES or len(descriptor.extents) != 1:
        return None
    extent = descriptor.extents[0]
    return extent if extent.kind in ("FLAT", "VMFS") else None


def _check_single(descriptor: Descriptor, sectors: int, *, compressed: bool) -> None:
    if descriptor.create_type not in _SINGLE_FILE:
        raise ImageRefused(f"The VMDK is of a kind that spans files; {_HOW}.")
    if (descriptor.create_type == STREAM_OPTIMIZED.lower()) != compressed:
        raise ImageRefused("The VMDK's descriptor contradicts its header about compression: the image is damaged.")
    if len(descriptor.extents) != 1 or descriptor.extents[0].kind != "SPARSE":
        raise ImageRefused(f"The VMDK descriptor names extents outside the file; {_HOW}.")
    extent = descriptor.extents[0]
    if re.search(r"[/\\:]", extent.file_name) or extent.file_name in ("", ".", ".."):
        raise ImageRefused(f"The VMDK descriptor names another path; {_HOW}.")
    if extent.sectors != sectors:
        raise ImageRefused("The VMDK's descriptor contradicts its header about the disk's size: the image is damaged.")


def _alone(head: bytes) -> ImageRefused:
    """Say what a VMDK is that has no sparse header."""
    if "vmdk" not in detect(head):
        return ImageRefused(_DAMAGED)
    kind = parse_descriptor(head[:_LONGEST_DESCRIPTOR]).create_type
    if kind in _FLAT_TYPES:
        return ImageRefused(
            "This is a VMDK descriptor whose data lies in another file; upload the -flat.vmdk with the property "
            "vmware_disktype=preallocated, or put both into an OVA."
        )
    return ImageRefused(f"This is a VMDK descriptor whose data lies in other files; {_HOW}.")
