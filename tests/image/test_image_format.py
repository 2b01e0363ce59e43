"""Which form of an image each kind of hypervisor gets."""

import pytest

from polyvisor.model.host import HypervisorType
from polyvisor.model.image_format import (
    ISO,
    QCOW2,
    RAW,
    VMDK_MONOLITHIC_SPARSE,
    VMDK_STREAM_OPTIMIZED,
    ContainerFormat,
    DiskFormat,
    ImageForm,
    form_for,
    form_of,
    what_a_hypervisor_takes,
    why_not_together,
)

OVA = ImageForm(disk_format=DiskFormat.VMDK, container_format=ContainerFormat.OVA)


@pytest.mark.parametrize(
    ("hypervisor", "stored", "wanted"),
    [
        ("kvm", QCOW2, QCOW2),
        ("kvm", RAW, RAW),
        ("qemu", VMDK_STREAM_OPTIMIZED, QCOW2),
        ("kvm", OVA, QCOW2),
        ("vmware", QCOW2, VMDK_STREAM_OPTIMIZED),
        ("vmware", VMDK_STREAM_OPTIMIZED, VMDK_STREAM_OPTIMIZED),
        ("vmware", VMDK_MONOLITHIC_SPARSE, VMDK_STREAM_OPTIMIZED),
        ("vmware", OVA, VMDK_STREAM_OPTIMIZED),
        ("vmware", RAW, VMDK_STREAM_OPTIMIZED),
        ("vmware", ISO, ISO),
        ("kvm", ISO, ISO),
        ("simulated", OVA, QCOW2),
        ("simulated", VMDK_STREAM_OPTIMIZED, VMDK_STREAM_OPTIMIZED),
    ],
)
def test_a_hypervisor_gets_what_it_takes(hypervisor: str, stored: ImageForm, wanted: ImageForm) -> None:
    assert form_for(HypervisorType(hypervisor), stored) == wanted


@pytest.mark.parametrize("disk_format", [DiskFormat.AKI, DiskFormat.ARI])
def test_a_bare_kernel_is_nothing_for_vsphere(disk_format: DiskFormat) -> None:
    stored = ImageForm(disk_format=disk_format, container_format=ContainerFormat(disk_format))
    assert form_for(HypervisorType.VMWARE, stored) is None
    assert form_for(HypervisorType.KVM, stored) == stored


@pytest.mark.parametrize("hypervisor", list(HypervisorType))
@pytest.mark.parametrize("disk_format", sorted(set(DiskFormat) - {DiskFormat.AKI, DiskFormat.ARI}))
def test_every_disk_image_runs_on_every_kind(hypervisor: HypervisorType, disk_format: DiskFormat) -> None:
    wanted = form_for(hypervisor, ImageForm(disk_format=disk_format))
    assert wanted is not None
    assert wanted.disk_format in {disk_format, what_a_hypervisor_takes(hypervisor).disk_format}


@pytest.mark.parametrize(
    ("disktype", "subformat"),
    [
        ("sparse", "monolithicSparse"),
        ("preallocated", "monolithicFlat"),
        ("streamOptimized", "streamOptimized"),
        ("?", None),
    ],
)
def test_the_form_of_a_stored_vmdk_is_what_its_properties_say(disktype: str, subformat: str | None) -> None:
    assert form_of("vmdk", "bare", {"vmware_disktype": disktype}).subformat == subformat
    assert form_of("qcow2", "bare", {"vmware_disktype": disktype}) == QCOW2
    found = form_of("vmdk", "bare", {"vmware_disktype": disktype}, "streamOptimized")
    assert found == VMDK_STREAM_OPTIMIZED, "what inspection found counts more than a property that anybody may change"


def test_formats_that_go_together() -> None:
    assert why_not_together(DiskFormat.VMDK, ContainerFormat.OVA) is None
    assert why_not_together(DiskFormat.AMI, ContainerFormat.AMI) is None
    assert "VMDK" in (why_not_together(DiskFormat.QCOW2, ContainerFormat.OVA) or "")
    assert "same word" in (why_not_together(DiskFormat.AMI, ContainerFormat.BARE) or "")
