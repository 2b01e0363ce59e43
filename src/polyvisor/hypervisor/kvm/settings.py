"""The settings of one KVM host; each field's sentence is its entry in the configuration reference."""

from enum import StrEnum
from urllib.parse import urlsplit

from polyvisor.model.record import Record

DISK_BUSES = ("virtio", "scsi", "sata", "ide", "usb")
VIF_MODELS = ("virtio", "e1000", "e1000e", "rtl8139", "ne2k_pci", "pcnet", "vmxnet3")
VIDEO_MODELS = ("vga", "virtio", "qxl", "cirrus", "bochs", "ramfb", "none")
_CACHE_MODES = ("", "none", "writeback", "writethrough", "directsync", "unsafe")
_MOST_PORTS = 28


class VirtType(StrEnum):
    """How guests are run (Nova's `[libvirt] virt_type`)."""

    AUTO = "auto"
    KVM = "kvm"
    QEMU = "qemu"


class CpuMode(StrEnum):
    """Which processor guests see (Nova's `[libvirt] cpu_mode`)."""

    AUTO = "auto"
    HOST_MODEL = "host-model"
    HOST_PASSTHROUGH = "host-passthrough"
    MAXIMUM = "maximum"
    CUSTOM = "custom"


class KvmSettings(Record):
    """One `[[hypervisor]]` of kind `kvm`."""

    uri: str = "qemu:///system"
    """libvirt's connection URI. The libvirtd must run on this machine: its guests' files are made here."""
    virt_type: VirtType = VirtType.AUTO
    """`kvm`, `qemu` (emulation by TCG, slow), or `auto`: KVM where a small trial guest lives under it, QEMU where it
    does not."""
    instances_path: str = ""
    """Directory of the guests' disks and logs. Empty = `instances` in the state directory."""
    image_cache_path: str = ""
    """Directory of the images that guests' disks are based on. Empty = `image-cache` in the state directory."""
    cpu_mode: CpuMode = CpuMode.AUTO
    """Processor of the guests; `auto` is `host-model` under KVM and `maximum` under QEMU."""
    cpu_model: str = ""
    """With `cpu_mode = "custom"`: libvirt's name of the model, such as `Skylake-Server`."""
    machine_type: str = "q35"
    """Machine of guests whose image has no `hw_machine_type`: `q35`, `pc`, or a version of them that QEMU offers."""
    disk_bus: str = "virtio"
    """Bus of the disks of guests whose image has no `hw_disk_bus`: `virtio`, `scsi`, `sata`, `ide` or `usb`."""
    disk_cache: str = ""
    """QEMU's cache mode for disks. Empty = `none` where the file system takes direct I/O, else `writeback`."""
    video_model: str = "vga"
    """Graphics card of guests whose image has no `hw_video_model`."""
    integration_bridge: str = "br-int"
    """Open vSwitch bridge that guests' network cards are plugged into: the one that ovn-controller programs."""
    openvswitch_database: str = ""
    """Where Open vSwitch's database answers, such as `unix:/run/openvswitch/db.sock`. Empty = ovs-vsctl's default."""
    hotplug_ports: int = 12
    """PCIe slots kept free in each guest for volumes and ports that are attached while it runs (0 to 28)."""
    vnc_listen: str = "127.0.0.1"
    """Address at which guests' VNC consoles listen. Each guest has a password of its own."""
    address: str = ""
    """Address by which other machines reach this host, such as its VNC consoles. Empty = `vnc_listen`."""
    low_disk_gib: int = 5
    """Below this much free space under `instances_path`, the host carries a warning."""
    timeout_seconds: float = 60
    """How long one call to libvirt may take before the host counts as not answering."""
    start_timeout_seconds: float = 180
    """How long starting one guest may take; the first start after an upgrade of QEMU is slow."""
    trial_seconds: float = 20
    """With `virt_type = "auto"`: how long the trial guest has to show life."""

    def __post_init__(self) -> None:
        uri = urlsplit(self.uri)
        if uri.scheme not in ("qemu", "qemu+unix") or uri.hostname:
            raise ValueError(
                f"`uri` {self.uri!r} is not that of a libvirtd on this machine; use qemu:///system, and for "
                "another machine run Polyvisor there."
            )
        if (self.cpu_mode is CpuMode.CUSTOM) != bool(self.cpu_model):
            raise ValueError('`cpu_model` goes with `cpu_mode = "custom"`, and only with it: set both, or neither.')
        if not 0 <= self.hotplug_ports <= _MOST_PORTS:
            raise ValueError(f"`hotplug_ports` must be from 0 to {_MOST_PORTS}.")
        for name, allowed in (("disk_bus", DISK_BUSES), ("video_model", VIDEO_MODELS), ("disk_cache", _CACHE_MODES)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"`{name}` must be one of {', '.join(value or 'empty' for value in allowed)}.")
