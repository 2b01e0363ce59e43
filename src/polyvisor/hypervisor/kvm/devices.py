"""The devices of a guest's definition: disks, drives, console, graphics and the virtio helpers. Pure."""

from typing import TYPE_CHECKING

from polyvisor.hypervisor.kvm import nics
from polyvisor.hypervisor.kvm.machine import Machine
from polyvisor.hypervisor.kvm.xml import Element, element

if TYPE_CHECKING:
    from polyvisor.hypervisor.kvm.domain_xml import Definition

_PREFIXES = {"virtio": "vd", "scsi": "sd", "sata": "sd", "usb": "sd", "ide": "hd"}
_BALLOON_PERIOD_SECONDS = 10


class Targets:
    """Hands out the device names of each bus in order: vda, vdb; sda ... The guest may see other names."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def take(self, bus: str) -> str:
        """The next name on this bus."""
        prefix = _PREFIXES[bus]
        number = self._next.get(prefix, 0)
        self._next[prefix] = number + 1
        return f"{prefix}{'abcdefghijklmnopqrstuvwxyz'[number]}"


def build(machine: Machine, definition: "Definition") -> Element:
    """The `<devices>` element."""
    made = element("devices", None, *_disks(machine, definition))
    buses = {disk.get("bus") for disk in made.iterfind("disk/target")}
    made.extend(_controllers(machine, definition, buses))
    made.extend(_nics(machine, definition))
    made.extend(_consoles(machine, definition))
    made.extend(_graphics(machine, definition))
    if machine.random:
        made.append(element("rng", None, element("backend", "/dev/urandom", model="random"), model="virtio"))
    made.append(element("memballoon", None, element("stats", period=_BALLOON_PERIOD_SECONDS), model="virtio"))
    return made


def _disks(machine: Machine, definition: "Definition") -> list[Element]:
    files, targets = definition.files, Targets()
    disks = []
    if files.root:
        disks.append(_disk(definition, files.root, "qcow2", targets.take(machine.disk_bus), boot_order=1))
    if (
        files.cdrom
    ):  # after the disk: the installer boots while the disk is blank, and what it installed boots from then on
        disks.append(_cdrom(files.cdrom, targets.take(machine.cdrom_bus), machine.cdrom_bus, boot_order=2))
    further = [path for path in (files.ephemeral, files.swap) if path]
    disks += [_disk(definition, path, "raw", targets.take(machine.disk_bus)) for path in further]
    if files.config_drive:
        disks.append(_cdrom(files.config_drive, targets.take(machine.cdrom_bus), machine.cdrom_bus))
    return disks


def _disk(
    definition: "Definition", path: str, image_format: str, target: str, boot_order: int | None = None
) -> Element:
    bus, cache = definition.machine.disk_bus, definition.disk_cache
    io = "native" if cache == "none" else None
    return element(
        "disk",
        None,
        element("driver", name="qemu", type=image_format, cache=cache, io=io, discard="unmap"),
        element("source", file=path),
        _backing(definition) if image_format == "qcow2" else None,
        element("target", dev=target, bus=bus),
        element("boot", order=boot_order) if boot_order else None,
        type="file",
        device="disk",
    )


def _backing(definition: "Definition") -> Element:
    """The chain in full: nobody probes a user's bytes for its end, and confinement lets QEMU read just this file."""
    files = definition.files
    if not files.base:
        return element("backingStore")
    return element(
        "backingStore",
        None,
        element("format", type=files.base_format),
        element("source", file=files.base),
        element("backingStore"),
        type="file",
    )


def _cdrom(path: str, target: str, bus: str, boot_order: int | None = None) -> Element:
    # On virtio there are no CD-ROM drives; a disk that cannot be written carries the same bytes.
    device = "disk" if bus == "virtio" else "cdrom"
    return element(
        "disk",
        None,
        element("driver", name="qemu", type="raw"),
        element("source", file=path),
        element("target", dev=target, bus=bus),
        element("readonly"),
        element("boot", order=boot_order) if boot_order else None,
        type="file",
        device=device,
    )


def _nics(machine: Machine, definition: "Definition") -> list[Element]:
    bridge, userspace = definition.settings.integration_bridge, definition.userspace_switch
    return [nics.build(nic, machine.vif_model, bridge, userspace=userspace) for nic in definition.spec.nics]


def _controllers(machine: Machine, definition: "Definition", buses: set[str | None]) -> list[Element]:
    controllers = []
    if machine.is_q35:
        controllers.append(element("controller", type="pci", index=0, model="pcie-root"))
        # A root port takes one device. Those of the definition get theirs from libvirt; these stay free.
        controllers += [
            element("controller", type="pci", model="pcie-root-port") for _ in range(_ports(machine, definition, buses))
        ]
    if "scsi" in buses:
        controllers.append(element("controller", type="scsi", index=0, model="virtio-scsi"))
    controllers.append(element("controller", type="usb", index=0, model="qemu-xhci"))
    return controllers


def _ports(machine: Machine, definition: "Definition", buses: set[str | None]) -> int:
    """How many root ports: one for each virtio device of the definition, and the free ones."""
    files = definition.files
    disks = sum(1 for path in (files.root, files.ephemeral, files.swap) if path) if machine.disk_bus == "virtio" else 0
    drives = sum(1 for path in (files.cdrom, files.config_drive) if path) if machine.cdrom_bus == "virtio" else 0
    xhci_serial_balloon = 3
    video = 1 if machine.video_model == "virtio" else 0
    return (
        definition.settings.hotplug_ports
        + disks
        + drives
        + len(definition.spec.nics)
        + xhci_serial_balloon
        + video
        + int(machine.random)
        + int("scsi" in buses)
    )


def _consoles(machine: Machine, definition: "Definition") -> list[Element]:
    """A serial port whose output virtlogd writes to the log (and rotates), and the guest agent's channel."""
    log = element("log", file=definition.files.console_log, append="on")
    made = [element("serial", None, log, element("target", port=0), type="pty")]
    if machine.agent:
        made.append(
            element("channel", None, element("target", type="virtio", name="org.qemu.guest_agent.0"), type="unix")
        )
    return made


def _graphics(machine: Machine, definition: "Definition") -> list[Element]:
    if machine.video_model == "none":
        return [element("video", None, element("model", type="none"))]
    listen = element("listen", type="address", address=definition.settings.vnc_listen)
    vnc = element(
        "graphics",
        None,
        listen,
        type="vnc",
        port=-1,
        autoport="yes",
        passwd=definition.vnc_password,
        sharePolicy="ignore",
    )
    # A tablet tells absolute positions, without which a browser's pointer and the guest's drift apart.
    return [
        element("input", type="tablet", bus="usb"),
        vnc,
        element("video", None, element("model", type=machine.video_model)),
    ]
