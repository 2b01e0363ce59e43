"""Which machine a guest gets: the host's defaults, and what its image's properties ask for instead. Pure."""

from collections.abc import Mapping

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.hypervisor.kvm.settings import DISK_BUSES, VIDEO_MODELS, VIF_MODELS, KvmSettings
from polyvisor.model.record import Record

CDROM_BUSES = ("sata", "scsi", "ide", "usb", "virtio")
_VSPHERES = {
    "virtuale1000": "e1000",
    "virtuale1000e": "e1000e",
    "virtualpcnet32": "pcnet",
    "virtualvmxnet3": "vmxnet3",
}
_YES = ("yes", "true", "1", "on")
_NO = ("no", "false", "0", "off")


class Machine(Record):
    """The choices behind a guest's definition."""

    type: str
    """libvirt's machine: "q35", "pc", or a version of them."""
    disk_bus: str
    cdrom_bus: str
    video_model: str
    vif_model: str = "virtio"
    """Of its network cards."""
    uefi: bool = False
    secure_boot: bool = False
    random: bool = True
    """A virtio random number generator."""
    agent: bool = True
    """A channel for the QEMU guest agent."""
    windows: bool = False
    """Hyper-V enlightenments under KVM, and the clock in local time."""

    @property
    def is_q35(self) -> bool:
        """Whether the machine has PCIe."""
        return "q35" in self.type


def choose(
    properties: Mapping[str, str],
    extra_specs: Mapping[str, str],
    settings: KvmSettings,
    *,
    removable_boot: bool = False,
) -> Machine:
    """The machine for an image's properties (Glance's `hw_*` and `os_*`) and a flavor's extra specs.

    `removable_boot`: it boots from the image as a CD-ROM. Raises HypervisorError, naming the property, for a value
    that KVM
    guests cannot have.
    """
    uefi = _one_of(properties, "hw_firmware_type", ("bios", "uefi"), "bios") == "uefi"
    secure = _one_of(properties, "os_secure_boot", ("required", "optional", "disabled"), "disabled")
    windows = properties.get("os_type", "").lower() == "windows" or properties.get("os_distro", "").lower().startswith(
        "windows"
    )
    disk_bus = _one_of(properties, "hw_disk_bus", DISK_BUSES, settings.disk_bus)
    cdrom_bus = _one_of(properties, "hw_cdrom_bus", CDROM_BUSES, "")
    machine_type = properties.get("hw_machine_type") or settings.machine_type
    if "ide" in (disk_bus, cdrom_bus) and "hw_machine_type" not in properties:
        machine_type = "pc"  # q35 has no IDE
    machine = Machine(
        type=machine_type,
        disk_bus=disk_bus,
        cdrom_bus=cdrom_bus or _cdrom_bus(disk_bus, machine_type, by_virtio=not (windows or removable_boot)),
        video_model=_one_of(properties, "hw_video_model", (*VIDEO_MODELS, "gop"), settings.video_model).replace(
            "gop", "virtio"
        ),
        vif_model=_vif_model(properties),
        uefi=uefi,
        secure_boot=secure == "required" or (secure == "optional" and uefi),
        random=_allows_random(properties, extra_specs),
        agent=_flag(properties, "hw_qemu_guest_agent", default=True),
        windows=windows,
    )
    _check(machine, properties)
    return machine


def _cdrom_bus(disk_bus: str, machine_type: str, *, by_virtio: bool) -> str:
    """Where the config drive goes when the image does not say.

    A guest that boots from virtio has virtio's SCSI too, whereas kernels made for clouds (Debian's for one) leave out
    AHCI and
    would not see a SATA drive. Windows, and installers on a CD-ROM, come without virtio drivers.
    """
    if by_virtio and disk_bus in ("virtio", "scsi"):
        return "scsi"
    return "sata" if "q35" in machine_type else "ide"


def _vif_model(properties: Mapping[str, str]) -> str:
    """What the image asks for; vSphere's names of cards that QEMU has as well are understood."""
    asked = properties.get("hw_vif_model", "").lower()
    return _one_of({"hw_vif_model": _VSPHERES.get(asked, asked)} if asked else {}, "hw_vif_model", VIF_MODELS, "virtio")


def _allows_random(properties: Mapping[str, str], extra_specs: Mapping[str, str]) -> bool:
    _one_of(properties, "hw_rng_model", ("virtio", "none"), "virtio")
    return properties.get("hw_rng_model") != "none" and _flag(extra_specs, "hw_rng:allowed", default=True)


def _check(machine: Machine, properties: Mapping[str, str]) -> None:
    if machine.is_q35 and "ide" in (machine.disk_bus, machine.cdrom_bus):
        raise HypervisorError(
            f"The machine {machine.type} has no IDE bus; set the image's hw_disk_bus and hw_cdrom_bus to sata, or "
            f"its hw_machine_type to pc."
        )
    if machine.secure_boot and not machine.uefi:
        raise HypervisorError("The image's os_secure_boot needs hw_firmware_type=uefi; set both, or neither.")
    if machine.secure_boot and not machine.is_q35:
        raise HypervisorError(
            f"Secure boot needs the machine q35; the image's hw_machine_type is {properties.get('hw_machine_type')!r}."
        )


def _one_of(properties: Mapping[str, str], name: str, allowed: tuple[str, ...], default: str) -> str:
    value = properties.get(name, default)
    if value in allowed or value == default:
        return value
    raise HypervisorError(
        f"The image's {name} is {value!r}, which KVM guests cannot have; set it to one of {', '.join(allowed)}."
    )


def _flag(properties: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = properties.get(name, "").lower()
    if value in _YES or value in _NO:
        return value in _YES
    if not value:
        return default
    raise HypervisorError(f"{name} is {value!r}; set it to yes or no.")
