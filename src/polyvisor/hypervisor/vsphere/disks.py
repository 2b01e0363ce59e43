"""Virtual disks and their controllers, from what the image's properties ask for."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pyVmomi import vim

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.hypervisor.vsphere.datastore import Store

_FIRST_IDE_KEY = 200
"""The key of the first of the two IDE controllers that every VM has."""
_SCSI_KEY, _DISK_KEY = -100, -200
"""New devices have negative keys, which vSphere replaces."""
SCSI_OWN_UNIT = 7
"""The unit of a SCSI controller itself."""


class Provisioning(StrEnum):
    """How a disk is laid out on its datastore, in VirtualDiskManager's VirtualDiskType words."""

    THIN = "thin"
    THICK = "preallocated"
    EAGER_ZEROED = "eagerZeroedThick"


_PROVISIONING = {
    "thin": Provisioning.THIN,
    "thick": Provisioning.THICK,
    "preallocated": Provisioning.THICK,
    "eagerzeroedthick": Provisioning.EAGER_ZEROED,
}
_ADAPTERS = {
    "lsilogic": vim.vm.device.VirtualLsiLogicController,
    "lsilogicsas": vim.vm.device.VirtualLsiLogicSASController,
    "buslogic": vim.vm.device.VirtualBusLogicController,
    "paravirtual": vim.vm.device.ParaVirtualSCSIController,
}
_OF_SCSI_MODEL = {
    "vmpvscsi": "paraVirtual",
    "lsilogic": "lsiLogic",
    "lsisas1068": "lsiLogicsas",
    "buslogic": "busLogic",
}
"""`hw_scsi_model`, which an image made for any hypervisor may carry instead of `vmware_adaptertype`."""


def provisioning_of(properties: Mapping[str, str], default: str) -> Provisioning:
    """From the image's `vmware_disktype`. "sparse" and "streamOptimized" say how the image's bytes are packed, not
    how the disk is to lie on a datastore: then, and where nothing is said, it is the settings' `disk_provisioning`."""
    return _PROVISIONING.get(properties.get("vmware_disktype", "").lower()) or _PROVISIONING[default.lower()]


def adapter_of(properties: Mapping[str, str]) -> str:
    """The disk adapter: the image's `vmware_adaptertype`, or what `hw_disk_bus` and `hw_scsi_model` say.

    Where nothing is said, paraVirtual, VMware's choice for every guest that has its driver, as Linux does; but Windows
    setup has none, so that Windows gets lsiLogicsas, which all of them boot from. Raises HypervisorError.
    """
    asked = properties.get("vmware_adaptertype", "")
    if asked:
        if asked.lower() not in {*_ADAPTERS, "ide"}:
            raise HypervisorError(
                f"The image's vmware_adaptertype {asked!r} is none of lsiLogic, lsiLogicsas, busLogic, paraVirtual "
                "and ide; correct it."
            )
        return asked.lower()
    if properties.get("hw_disk_bus", "").lower() == "ide":
        return "ide"
    model = _OF_SCSI_MODEL.get(properties.get("hw_scsi_model", "").lower())
    return (model or ("lsiLogicsas" if is_windows(properties) else "paraVirtual")).lower()


def is_windows(properties: Mapping[str, str]) -> bool:
    """Whether the image says that it holds Windows."""
    return properties.get("os_type", "").lower() == "windows" or properties.get("vmware_ostype", "").lower().startswith(
        "win"
    )


def scsi_or_ide(adapter: str) -> Any:
    """The controller for disks; for "ide" the first of the two that a VM has anyway, which is not to be added."""
    if adapter == "ide":
        return vim.vm.device.VirtualIDEController(key=_FIRST_IDE_KEY, busNumber=0)
    return _ADAPTERS[adapter](key=_SCSI_KEY, busNumber=0, sharedBus="noSharing", scsiCtlrUnitNumber=SCSI_OWN_UNIT)


def slots(adapter: str) -> list[tuple[int, int]]:
    """(controller key, unit) for disks, in boot order. On IDE, the first unit of the second channel is the CD-ROM's."""
    if adapter == "ide":
        return [(_FIRST_IDE_KEY, 0), (_FIRST_IDE_KEY, 1), (_FIRST_IDE_KEY + 1, 1)]
    return [(_SCSI_KEY, unit) for unit in range(16) if unit != SCSI_OWN_UNIT]


def new_disk(
    store: Store, file: str, capacity_bytes: int, provisioning: Provisioning, *, controller: int, unit: int
) -> Any:
    """A disk device; `file` = path on the datastore, or "" for one that vSphere names."""
    return vim.vm.device.VirtualDisk(
        key=_DISK_KEY - unit - 10 * max(controller - _FIRST_IDE_KEY, 0),
        controllerKey=controller,
        unitNumber=unit,
        capacityInKB=-(-capacity_bytes // 1024),
        capacityInBytes=-(-capacity_bytes // 1024) * 1024,
        backing=vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
            fileName=store.path(file),
            diskMode="persistent",
            thinProvisioned=provisioning is Provisioning.THIN,
            eagerlyScrub=provisioning is Provisioning.EAGER_ZEROED,
        ),
    )


def copy_spec(adapter: str, capacity_bytes: int, provisioning: Provisioning) -> Any:
    """What a direct ESXi host is told of a disk's copy: without it, it makes a preallocated one for BusLogic."""
    return vim.VirtualDiskManager.FileBackedVirtualDiskSpec(
        diskType=str(provisioning),
        adapterType={"ide": "ide", "buslogic": "busLogic"}.get(adapter, "lsiLogic"),
        capacityKb=-(-capacity_bytes // 1024),
    )
