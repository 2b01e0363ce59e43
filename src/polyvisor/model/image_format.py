"""Disk and container formats in the Image API's words, and which of them each kind of hypervisor takes as it is."""

from collections.abc import Mapping
from enum import StrEnum

from polyvisor.model.host import HypervisorType
from polyvisor.model.record import Record


class DiskFormat(StrEnum):
    """The `disk_format` values that are accepted."""

    RAW = "raw"
    QCOW2 = "qcow2"
    VMDK = "vmdk"
    VHD = "vhd"
    VHDX = "vhdx"
    VDI = "vdi"
    ISO = "iso"
    AKI = "aki"
    ARI = "ari"
    AMI = "ami"


class ContainerFormat(StrEnum):
    """The `container_format` values that are accepted."""

    BARE = "bare"
    OVA = "ova"
    AKI = "aki"
    ARI = "ari"
    AMI = "ami"


MONOLITHIC_SPARSE = "monolithicSparse"
STREAM_OPTIMIZED = "streamOptimized"
MONOLITHIC_FLAT = "monolithicFlat"
"""A VMDK whose bytes are the extent alone (`NAME-flat.vmdk`), so that to a reader they are raw."""

SUBFORMAT_OF_DISKTYPE = {
    "sparse": MONOLITHIC_SPARSE,
    "streamOptimized": STREAM_OPTIMIZED,
    "preallocated": MONOLITHIC_FLAT,
    "thin": MONOLITHIC_FLAT,
    "eagerZeroedThick": MONOLITHIC_FLAT,
}
"""What the image property `vmware_disktype` says of the bytes."""

FLAT_DISKTYPES = frozenset(word for word, subformat in SUBFORMAT_OF_DISKTYPE.items() if subformat == MONOLITHIC_FLAT)


class ImageForm(Record):
    """What an image's bytes are."""

    disk_format: DiskFormat
    subformat: str | None = None
    """VMDK: monolithicSparse, streamOptimized or monolithicFlat; VHD: fixed or dynamic; None where there is but one
    kind, or where it is for the bytes to say."""
    container_format: ContainerFormat = ContainerFormat.BARE

    @property
    def name(self) -> str:
        """A word for file names and logs: "qcow2", "vmdk-streamOptimized", "ova"."""
        if self.container_format is ContainerFormat.OVA:
            return "ova"
        return f"{self.disk_format}-{self.subformat}" if self.subformat else str(self.disk_format)


RAW = ImageForm(disk_format=DiskFormat.RAW)
QCOW2 = ImageForm(disk_format=DiskFormat.QCOW2)
ISO = ImageForm(disk_format=DiskFormat.ISO)
VMDK_STREAM_OPTIMIZED = ImageForm(disk_format=DiskFormat.VMDK, subformat=STREAM_OPTIMIZED)
VMDK_MONOLITHIC_SPARSE = ImageForm(disk_format=DiskFormat.VMDK, subformat=MONOLITHIC_SPARSE)

_LIBVIRT = frozenset({DiskFormat.QCOW2, DiskFormat.RAW, DiskFormat.ISO, DiskFormat.AKI, DiskFormat.ARI, DiskFormat.AMI})

_TAKEN_AS_THEY_ARE: Mapping[HypervisorType, frozenset[DiskFormat]] = {
    HypervisorType.KVM: _LIBVIRT,
    HypervisorType.QEMU: _LIBVIRT,
    HypervisorType.VMWARE: frozenset({DiskFormat.ISO}),
    HypervisorType.SIMULATED: frozenset(DiskFormat),
}

_CONVERTED_TO: Mapping[HypervisorType, ImageForm] = {
    HypervisorType.KVM: QCOW2,
    HypervisorType.QEMU: QCOW2,
    HypervisorType.VMWARE: VMDK_STREAM_OPTIMIZED,
    HypervisorType.SIMULATED: QCOW2,
}

_NOT_A_DISK = frozenset({DiskFormat.AKI, DiskFormat.ARI})
"""A kernel or a ramdisk has no blocks to convert."""


def what_a_hypervisor_takes(hypervisor_type: HypervisorType) -> ImageForm:
    """The form that any disk image is converted to for this kind of hypervisor."""
    return _CONVERTED_TO[hypervisor_type]


def form_for(hypervisor_type: HypervisorType, stored: ImageForm) -> ImageForm | None:
    """The form in which this kind of hypervisor runs an image: `stored` itself where it takes that as it is, else what
    the image is converted to; None where it can do nothing with it (a bare kernel on vSphere)."""
    bare = stored.container_format is not ContainerFormat.OVA
    if bare and stored.disk_format in _TAKEN_AS_THEY_ARE[hypervisor_type]:
        return stored
    wanted = _CONVERTED_TO[hypervisor_type]
    if stored == wanted:
        return stored
    return None if stored.disk_format in _NOT_A_DISK else wanted


def form_of(
    disk_format: str, container_format: str, properties: Mapping[str, str], subformat: str | None = None
) -> ImageForm:
    """The form of a stored image, from its record. A VMDK's subformat is what inspection found; where that is not
    known, what the property `vmware_disktype` says."""
    disk = DiskFormat(disk_format)
    if disk is DiskFormat.VMDK:
        subformat = subformat or SUBFORMAT_OF_DISKTYPE.get(properties.get("vmware_disktype", ""))
    else:
        subformat = None
    return ImageForm(disk_format=disk, subformat=subformat, container_format=ContainerFormat(container_format))


def why_not_together(disk_format: DiskFormat, container_format: ContainerFormat) -> str | None:
    """Why these two formats contradict each other, in a sentence, or None where they go together."""
    amazon = {DiskFormat.AKI, DiskFormat.ARI, DiskFormat.AMI}
    if container_format in (ContainerFormat.AKI, ContainerFormat.ARI, ContainerFormat.AMI) or disk_format in amazon:
        if disk_format.value != container_format.value:
            return (
                f"disk_format {disk_format} and container_format {container_format} contradict each other: "
                "for aki, ari and ami both are the same word."
            )
    elif container_format is ContainerFormat.OVA and disk_format is not DiskFormat.VMDK:
        return f"An OVA holds a VMDK: with container_format ova set disk_format to vmdk, not {disk_format}."
    return None
