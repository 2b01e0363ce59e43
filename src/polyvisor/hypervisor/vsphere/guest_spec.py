"""A guest as vSphere takes it: the VirtualMachineConfigSpec for a server."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pyVmomi import vim

from polyvisor.hypervisor.driver import GuestSpec, HypervisorError
from polyvisor.hypervisor.vsphere import devices, disks
from polyvisor.hypervisor.vsphere.datastore import Store
from polyvisor.hypervisor.vsphere.guestinfo import guestinfo
from polyvisor.hypervisor.vsphere.marks import VIF_MODEL_KEY, mark_of_server, options
from polyvisor.hypervisor.vsphere.names import vm_folder, vm_name
from polyvisor.model.record import Record

GIB, MIB = 1 << 30, 1 << 20
CONSOLE_LOG = "console.log"
CONFIG_DRIVE = "config-drive.iso"
ROOT_DISK = "root.vmdk"
BOOT_DISC = "boot.iso"
_SHARES = ("low", "normal", "high", "custom")


class GuestFiles(Record):
    """What already lies in the guest's folder, to be attached as it is."""

    root_bytes: int = 0
    """The size of the root disk that was copied there; 0 = none."""
    boot_disc: bool = False
    config_drive: bool = False


def config_spec(
    spec: GuestSpec,
    cloud_id: str,
    store: Store,
    files: GuestFiles,
    default_provisioning: str,
    backings: Sequence[Any] = (),
) -> Any:
    """All of a new guest in one specification, so that it is there as a whole or not at all. Raises HypervisorError.

    `backings`: what its network cards are plugged into, in their order.
    """
    properties = spec.image.properties if spec.image else {}
    adapter = disks.adapter_of(properties)
    devices.nic_type(properties)
    folder = vm_folder(spec.server_id)
    serial_answer = {"answer.msg.serial.file.open": "Append"}  # else each later power-on waits for a person to answer
    made = vim.vm.ConfigSpec(
        name=vm_name(spec.name, spec.server_id),
        instanceUuid=spec.server_id,
        uuid=spec.server_id,
        guestId=guest_id(properties),
        annotation=f"Server {spec.name} ({spec.server_id}) of project {spec.project_name}, made by Polyvisor.",
        numCPUs=spec.vcpus,
        numCoresPerSocket=_cores_per_socket(spec, properties),
        memoryMB=spec.memory_mib,
        cpuAllocation=_allocation(spec.extra_specs, "cpu"),
        memoryAllocation=_allocation(spec.extra_specs, "memory"),
        files=vim.vm.FileInfo(vmPathName=store.path(f"{folder}/{folder}.vmx")),
        flags=vim.vm.FlagInfo(diskUuidEnabled=True),
        extraConfig=options(
            {
                **mark_of_server(cloud_id, spec.server_id, spec.name),
                **_vif_model(properties),
                **guestinfo(spec),
                **serial_answer,
            }
        ),
        deviceChange=_devices(spec, store, files, adapter, default_provisioning) + _cards(spec, backings),
        version=spec.extra_specs.get("vmware:hw_version"),
    )
    _set_firmware(made, properties)
    return made


def _devices(spec: GuestSpec, store: Store, files: GuestFiles, adapter: str, default_provisioning: str) -> list[Any]:
    folder = vm_folder(spec.server_id)
    properties = spec.image.properties if spec.image else {}
    provisioning = disks.provisioning_of(properties, default_provisioning)
    found = [] if adapter == "ide" else [_added(disks.scsi_or_ide(adapter))]
    free = iter(
        disks.slots(adapter)[1:]
        if adapter == "ide" and files.boot_disc and files.config_drive
        else disks.slots(adapter)
    )
    if files.root_bytes:
        controller, unit = next(free)
        root = disks.new_disk(
            store, f"{folder}/{ROOT_DISK}", files.root_bytes, provisioning, controller=controller, unit=unit
        )
        found.append(_added(root))
    for file, size_bytes in _blank_disks(spec, files):
        controller, unit = next(free)
        disk = disks.new_disk(store, f"{folder}/{file}", size_bytes, provisioning, controller=controller, unit=unit)
        found.append(_added(disk, create=True))
    discs = [BOOT_DISC] * files.boot_disc + [CONFIG_DRIVE] * files.config_drive
    for make, file in zip((devices.cdrom, devices.second_cdrom), discs, strict=False):
        found.append(_added(make(store.path(f"{folder}/{file}"))))
    found.append(_added(devices.serial_port(store.path(f"{folder}/{CONSOLE_LOG}"))))
    return found


def _cards(spec: GuestSpec, backings: Sequence[Any]) -> list[Any]:
    properties = spec.image.properties if spec.image else {}
    return [
        _added(devices.nic(properties, number, nic.mac_address, backing, port_id=nic.port_id))
        for number, (nic, backing) in enumerate(zip(spec.nics, backings, strict=False))
    ]


def _vif_model(properties: Mapping[str, str]) -> dict[str, str]:
    model = properties.get("hw_vif_model", "")
    return {VIF_MODEL_KEY: model} if model else {}


def _blank_disks(spec: GuestSpec, files: GuestFiles) -> list[tuple[str, int]]:
    """(file, bytes) of the disks that begin empty. A root disk is among them for a guest that boots from a disc."""
    return [
        (file, size_bytes)
        for file, size_bytes in (
            (ROOT_DISK, 0 if files.root_bytes else spec.root_gib * GIB),
            ("ephemeral.vmdk", spec.ephemeral_gib * GIB),
            ("swap.vmdk", spec.swap_mib * MIB),
        )
        if size_bytes
    ]


def _added(device: Any, *, create: bool = False) -> Any:
    return vim.vm.device.VirtualDeviceSpec(operation="add", fileOperation="create" if create else None, device=device)


def guest_id(properties: Mapping[str, str]) -> str:
    """vSphere's guest OS identifier: the image's `vmware_ostype`, or a general one for its `os_type`. Raises
    HypervisorError."""
    asked = properties.get("vmware_ostype", "")
    if not asked:
        general = {"windows": "windows2019srv_64Guest", "linux": "otherLinux64Guest"}
        return general.get(properties.get("os_type", "").lower(), "otherGuest64")
    known = {str(value): str(value) for value in vim.vm.GuestOsDescriptor.GuestOsIdentifier.values}
    if asked in known:
        return asked
    similar = difflib.get_close_matches(asked, known, n=3)
    hint = f" Did you mean {' or '.join(similar)}?" if similar else ""
    raise HypervisorError(f"The image's vmware_ostype {asked!r} is no guest OS identifier of vSphere.{hint}")


def _set_firmware(made: Any, properties: Mapping[str, str]) -> None:
    secure = properties.get("os_secure_boot", "").lower() in ("required", "true")
    efi = properties.get("hw_firmware_type", "").lower() == "uefi"
    if secure and not efi:
        raise HypervisorError(
            "The image asks for secure boot, which needs UEFI: set its property hw_firmware_type to uefi."
        )
    made.firmware = "efi" if efi else "bios"
    if secure:
        made.bootOptions = vim.vm.BootOptions(efiSecureBootEnabled=True)


def _cores_per_socket(spec: GuestSpec, properties: Mapping[str, str]) -> int | None:
    """From hw:cpu_cores or hw_cpu_cores, else left to vSphere."""
    asked = spec.extra_specs.get("hw:cpu_cores") or properties.get("hw_cpu_cores")
    if not asked:
        return None
    cores = _number("hw:cpu_cores", asked)
    if cores < 1 or spec.vcpus % cores:
        raise HypervisorError(
            f"{spec.vcpus} vCPUs cannot be divided into sockets of {asked} cores; correct hw:cpu_cores."
        )
    return cores


def _allocation(extra_specs: Mapping[str, str], kind: str) -> Any:
    """Limits, reservations and shares from the extra specs quota:KIND_limit, _reservation, _shares_level,
    _shares_share.

    CPU in MHz, memory in MiB, as vSphere counts and as Nova's driver for it takes them.
    """
    asked = {
        name: extra_specs.get(f"quota:{kind}_{name}")
        for name in ("limit", "reservation", "shares_level", "shares_share")
    }
    if not any(asked.values()):
        return None
    numbers = {
        name: _number(f"quota:{kind}_{name}", text) for name, text in asked.items() if text and name != "shares_level"
    }
    made = vim.ResourceAllocationInfo(limit=numbers.get("limit"), reservation=numbers.get("reservation"))
    level = asked["shares_level"]
    if level:
        if level not in _SHARES:
            raise HypervisorError(
                f"quota:{kind}_shares_level {level!r} is none of {', '.join(_SHARES)}; correct the flavor."
            )
        made.shares = vim.SharesInfo(level=level, shares=numbers.get("shares_share", 0))
    return made


def _number(name: str, text: str) -> int:
    if not text.strip().lstrip("-").isdigit():
        raise HypervisorError(f"{name} {text!r} is no whole number; correct the flavor.")
    return int(text)
