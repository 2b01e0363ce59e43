"""Inspection (I2): an image is what it was declared to be, whole, and names nothing outside itself, or it is
refused."""

import os
from pathlib import Path

from polyvisor.image import qemu_img
from polyvisor.image.errors import ImageRefused
from polyvisor.image.formats.check import HEAD_BYTES, MAXIMUM_VIRTUAL_BYTES, Check
from polyvisor.image.formats.detect import COMPRESSED, detect
from polyvisor.image.formats.ova import Ova
from polyvisor.image.formats.plain import Bare, Iso, Raw
from polyvisor.image.formats.qcow2 import Qcow2
from polyvisor.image.formats.vdi import Vdi
from polyvisor.image.formats.vhd import Vhd
from polyvisor.image.formats.vhdx import Vhdx
from polyvisor.image.formats.vmdk import FlatVmdk, Vmdk
from polyvisor.image.window import Window
from polyvisor.model.image_format import FLAT_DISKTYPES, ContainerFormat, DiskFormat, ImageForm, why_not_together
from polyvisor.model.record import Record

FIRST_LOOK_BYTES = 64 << 10
"""By here every signature has been seen: the last is ISO 9660's, at 32 KiB."""

_PARTITIONED = frozenset({"gpt"})
_PACKED = COMPRESSED | _PARTITIONED
_MAY_SHOW: dict[DiskFormat, frozenset[str]] = {
    DiskFormat.RAW: _PACKED,
    DiskFormat.AMI: _PACKED,
    DiskFormat.AKI: _PACKED,
    DiskFormat.ARI: _PACKED,
    DiskFormat.QCOW2: frozenset({"qcow2"}),
    DiskFormat.VMDK: frozenset({"vmdk"}),
    DiskFormat.VHDX: frozenset({"vhdx"}),
    DiskFormat.VDI: frozenset({"vdi"}),
    # A hybrid ISO boots as a disk as well.
    DiskFormat.ISO: _PARTITIONED | {"iso"},
    # A fixed VHD begins with the disk's own bytes, whatever they are.
    DiskFormat.VHD: _PARTITIONED | {"vhd", "iso"},
}
"""Which signatures go with a declared format. What is packed is refused for RAW and AMI in a sentence of its own."""

_MUST_SHOW = frozenset({DiskFormat.QCOW2, DiskFormat.VMDK, DiskFormat.VHDX, DiskFormat.VDI, DiskFormat.ISO})
"""Those that show the signature of their own name."""

_HAS_TABLES = frozenset({DiskFormat.QCOW2, DiskFormat.VMDK, DiskFormat.VDI})
"""What `qemu-img check` can check."""

_REAL_NAMES = {
    "tar": "an OVA or another tar archive",
    "vmdk3": "an ESX 2 VMDK",
    "sesparse": "a seSparse VMDK",
}


class Inspection(Record):
    """What an image's bytes turned out to be."""

    form: ImageForm
    virtual_size_bytes: int
    """The disk as a guest sees it."""
    file_size_bytes: int
    min_disk_gib: int
    """The virtual size rounded up: no server's disk can be smaller."""
    memory_mib: int = 0
    """The memory that an OVA's machine had; 0 where nothing says."""
    properties: dict[str, str] = {}
    """Image properties that the bytes suggest. `vmware_disktype`, where it is there, is the truth; the others give way
    to what the user has set."""


class StreamInspector:
    """Looks at an upload as it comes, so that a lie costs its first MiB and not the whole body."""

    def __init__(
        self,
        declared: DiskFormat,
        container: ContainerFormat = ContainerFormat.BARE,
        *,
        vmware_disktype: str | None = None,
    ) -> None:
        """Raises ImageRefused when the declared formats contradict each other."""
        self._declared = declared
        self._container = container
        self._check = _check_for(declared, container, vmware_disktype)
        self._head = bytearray()
        self._received_bytes = 0
        self._looks_at = [FIRST_LOOK_BYTES, HEAD_BYTES]

    def write(self, chunk: bytes) -> None:
        """Take the next bytes. Raises ImageRefused."""
        self._received_bytes += len(chunk)
        if not self._looks_at:
            return
        self._head += chunk[: HEAD_BYTES - len(self._head)]
        while self._looks_at and len(self._head) >= self._looks_at[0]:
            # A VMDK's descriptor may be a MiB long, and must be read whole.
            self._look(deep=len(self._looks_at) == 1 or self._declared is not DiskFormat.VMDK)
            self._looks_at.pop(0)

    def finish(self) -> None:
        """The upload has ended. Raises ImageRefused for an empty one, and whatever a short one was not yet checked
        for."""
        _check_not_empty(self._received_bytes)
        if self._looks_at:
            self._look(deep=True)
            self._looks_at.clear()

    def _look(self, *, deep: bool) -> None:
        head = bytes(self._head)
        _check_signatures(self._declared, self._container, self._check, head)
        if deep:
            self._check.head(head)


def inspect(
    path: Path,
    declared: DiskFormat,
    container: ContainerFormat = ContainerFormat.BARE,
    *,
    vmware_disktype: str | None = None,
) -> Inspection:
    """Check a finished file. Raises ImageRefused, whose sentence is for the user. Takes as long as reading the image's
    tables; an OVA with a manifest is read whole."""
    check = _check_for(declared, container, vmware_disktype)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        image = Window.of_file(descriptor)
        _check_not_empty(image.size)
        head = image.read_at(0, HEAD_BYTES)
        _check_signatures(declared, container, check, head)
        check.head(head)
        facts = check.whole(image)
        form = ImageForm(disk_format=declared, subformat=facts.subformat, container_format=container)
        virtual_size_bytes = _virtual_size(path, form, facts.disk, image.size)
        return Inspection(
            form=form,
            virtual_size_bytes=virtual_size_bytes,
            file_size_bytes=image.size,
            min_disk_gib=-(-virtual_size_bytes >> 30),
            memory_mib=facts.memory_mib,
            properties=facts.properties,
        )
    finally:
        os.close(descriptor)


def _check_for(declared: DiskFormat, container: ContainerFormat, vmware_disktype: str | None) -> Check:
    if reason := why_not_together(declared, container):
        raise ImageRefused(reason)
    if container is ContainerFormat.OVA:
        return Ova()
    if declared is DiskFormat.VMDK and vmware_disktype in FLAT_DISKTYPES:
        return FlatVmdk()
    checks: dict[DiskFormat, type[Check]] = {
        DiskFormat.RAW: Raw,
        DiskFormat.AMI: Raw,
        DiskFormat.AKI: Bare,
        DiskFormat.ARI: Bare,
        DiskFormat.ISO: Iso,
        DiskFormat.QCOW2: Qcow2,
        DiskFormat.VMDK: Vmdk,
        DiskFormat.VHD: Vhd,
        DiskFormat.VHDX: Vhdx,
        DiskFormat.VDI: Vdi,
    }
    return checks[declared]()


def _check_not_empty(size_bytes: int) -> None:
    if size_bytes == 0:
        raise ImageRefused("The upload is empty; upload the image's bytes.")


def _check_signatures(declared: DiskFormat, container: ContainerFormat, check: Check, head: bytes) -> None:
    """Refuse bytes that show another format's signature than the declared one's, or another one beside it."""
    found = detect(head)
    if "luks" in found:
        raise ImageRefused(
            "The image is encrypted with LUKS, and there is no key to read it with; upload it decrypted."
        )
    if "qed" in found or found & {"ploop", "ploop2"}:
        raise ImageRefused(
            "The image is in a format that is not supported; convert it with 'qemu-img convert -O qcow2'."
        )
    if container is ContainerFormat.OVA:
        allowed, must_show = frozenset({"tar"}), "tar"
    elif isinstance(check, FlatVmdk):
        # A sparse VMDK it refuses itself, and says what to do.
        allowed, must_show = _PACKED | {"vmdk"}, ""
    else:
        allowed, must_show = _MAY_SHOW[declared], str(declared) if declared in _MUST_SHOW else ""
    said = "an OVA" if container is ContainerFormat.OVA else str(declared)
    if must_show and must_show in found and found - allowed:
        others = ", ".join(sorted(found - {must_show}))
        raise ImageRefused(
            f"The image reads as {said} and as {others} at once, which is how images deceive; it is not accepted."
        )
    if (must_show and must_show not in found) or found - allowed:
        raise ImageRefused(_what_it_is(said, found))


def _what_it_is(said: str, found: frozenset[str]) -> str:
    real = sorted(_REAL_NAMES.get(name, name) for name in found - _PARTITIONED) or ["raw"]
    if said == "vmdk" and real == ["raw"]:
        return (
            "The image was declared vmdk, but its bytes are raw; create it again with disk_format=raw, or, where this "
            "is the -flat.vmdk of a disk, with the property vmware_disktype=preallocated."
        )
    known = [name for name in real if name in set(DiskFormat)]
    advice = (
        f"create it again with disk_format={known[0]}" if len(known) == len(real) == 1 else "check what was uploaded"
    )
    return f"The image was declared {said}, but its bytes are {' and '.join(real)}; {advice}."


def _virtual_size(path: Path, form: ImageForm, disk: Window | None, file_size_bytes: int) -> int:
    """The disk's size, by QEMU's own reading where it has a format, which at the same time finds what is damaged."""
    driver = qemu_img.driver_of(form)
    if driver == "raw":
        return disk.size if disk else file_size_bytes
    node = qemu_img.node(path, driver, disk)
    try:
        told = qemu_img.info(node)
        if form.disk_format in _HAS_TABLES:
            qemu_img.check(node)
    except qemu_img.QemuImgFailed as failed:
        raise ImageRefused(
            f"The {form.disk_format} image is truncated or damaged: {failed.reason}; upload it again."
        ) from None
    inner = told.get("format-specific", {}).get("data", {})
    outside = ("backing-filename", "full-backing-filename", "data-file")
    if told.get("format") != driver or told.get("encrypted") or any(told.get(key) or inner.get(key) for key in outside):
        raise ImageRefused(
            f"The {form.disk_format} image is not whole in itself; convert it into one file and upload that."
        )
    size = int(told["virtual-size"])
    if not 0 < size <= MAXIMUM_VIRTUAL_BYTES:
        raise ImageRefused(f"The {form.disk_format} image says its disk has {size} bytes, which cannot be.")
    return size
