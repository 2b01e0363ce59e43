"""An image's own properties: any name, a string as the value, and known words where a word decides where it can run."""

from typing import Any

from polyvisor.api.image.image_fields import DISKTYPE, MAX_TEXT, shown
from polyvisor.model.errors import Invalid

MAX_VALUE = 65_535

_HYPERVISORS = ("kvm", "qemu", "vmware", "lxc", "uml", "xen", "hyperv", "ironic", "parallels", "simulated")
_DISK_BUSES = ("fdc", "ide", "sata", "scsi", "usb", "virtio", "uml", "xen", "lxc", "none")
_VIF_MODELS = ("e1000", "e1000e", "ne2k_pci", "netfront", "pcnet", "rtl8139", "spapr-vlan", "virtio", "igb",
    "vmxnet", "vmxnet2", "vmxnet3", "sriov", "lan9118",
    "VirtualE1000", "VirtualE1000e", "VirtualPCNet32", "VirtualSriovEthernetCard", "VirtualVmxnet", "VirtualVmxnet2",
    "VirtualVmxnet3")  # fmt: skip
_ARCHITECTURES = ("alpha", "armv6", "armv7l", "armv7b", "aarch64", "cris", "i686", "ia64", "lm32", "loongarch64",
    "m68k", "microblaze", "microblazeel", "mips", "mipsel", "mips64", "mips64el", "openrisc", "parisc", "parisc64",
    "ppc", "ppcle", "ppc64", "ppc64le", "ppcemb", "riscv32", "riscv64", "s390", "s390x", "sh4", "sh4eb", "sparc",
    "sparc64", "unicore32", "x86_64", "xtensa", "xtensaeb",
    "amd64", "x86", "i386", "arm64")  # fmt: skip

WORDS: dict[str, tuple[str, ...]] = {
    "hypervisor_type": _HYPERVISORS,
    "img_hv_type": _HYPERVISORS,
    "hw_architecture": _ARCHITECTURES,
    "architecture": _ARCHITECTURES,
    "hw_firmware_type": ("bios", "uefi"),
    "hw_disk_bus": _DISK_BUSES,
    "hw_cdrom_bus": _DISK_BUSES,
    "hw_vif_model": _VIF_MODELS,
    "vmware_adaptertype": ("lsiLogic", "lsiLogicsas", "busLogic", "ide", "paraVirtual"),
    "vmware_disktype": ("sparse", "preallocated", "streamOptimized", "thin", "eagerZeroedThick"),
    "img_config_drive": ("mandatory", "optional"),
    "os_secure_boot": ("required", "disabled", "optional"),
}
"""Properties whose value is one of OpenStack's words. A wrong one would only come to light when a server fails to
boot. Case does not count: the words of OpenStack's metadata definitions differ in it from those of its code."""

_LOWER = {name: frozenset(word.lower() for word in words) for name, words in WORDS.items()}
# This one names what the bytes are, and an upload is compared with it as it is written.
_EXACT = DISKTYPE


def check_property(name: str, value: Any) -> str:
    """The value of a property. Raises Invalid, naming the property and what is expected."""
    if not 1 <= len(name) <= MAX_TEXT:
        raise Invalid(f"The property name '{name[:64]}' is invalid: 1 to {MAX_TEXT} characters are expected.")
    if not isinstance(value, str):
        raise Invalid(f"The property '{name}' is invalid: a string is expected, not {shown(value)}.")
    if len(value) > MAX_VALUE:
        raise Invalid(f"The property '{name}' is invalid: it is longer than {MAX_VALUE} characters.")
    known = WORDS.get(name)
    if known and value not in known and (name == _EXACT or value.lower() not in _LOWER[name]):
        raise Invalid(f"The property '{name}' is invalid: one of {', '.join(known)} is expected, not {shown(value)}.")
    return value
