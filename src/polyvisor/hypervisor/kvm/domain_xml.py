"""A guest's definition, as libvirt's domain XML (formatdomain). Pure: the same guest gives the same text."""

from pathlib import Path

from polyvisor.hypervisor.driver import GuestSpec
from polyvisor.hypervisor.kvm import devices
from polyvisor.hypervisor.kvm.machine import Machine
from polyvisor.hypervisor.kvm.settings import CpuMode, KvmSettings
from polyvisor.hypervisor.kvm.xml import Element, clean, dump, element
from polyvisor.model.record import Record

NAMESPACE = "urn:polyvisor:libvirt:1"
"""Of the metadata element that marks a guest as made by a cloud, whose id it carries."""
NAME_PREFIX = "pv-"


class GuestFiles(Record):
    """Where a guest's files lie; all absolute, "" where it has none."""

    root: str = ""
    """The root disk, qcow2."""
    base: str = ""
    """The cached image below it."""
    base_format: str = ""
    """QEMU's name of that image's format."""
    ephemeral: str = ""
    swap: str = ""
    """Raw, like `ephemeral`."""
    cdrom: str = ""
    """The image itself, where it is an ISO to boot from."""
    config_drive: str = ""
    console_log: str
    nvram: str
    """UEFI's variables; the file exists once the guest has been started with UEFI."""


class Definition(Record):
    """All that a definition is made from."""

    spec: GuestSpec
    machine: Machine
    files: GuestFiles
    cloud_id: str
    virt_type: str
    """"kvm" or "qemu"."""
    architecture: str
    settings: KvmSettings
    disk_cache: str
    """QEMU's cache mode."""
    vnc_password: str
    userspace_switch: bool = False
    """Whether its cards' bridge forwards in ovs-vswitchd itself."""


def domain_name(server_id: str) -> str:
    """The name of the guest in libvirt: its id, so that equal server names cannot collide."""
    return f"{NAME_PREFIX}{server_id}"


def build(definition: Definition) -> str:
    """The `<domain>` document."""
    spec, machine = definition.spec, definition.machine
    domain = element(
        "domain",
        None,
        element("name", domain_name(spec.server_id)),
        element("uuid", spec.server_id),
        element("title", " ".join(clean(spec.name).split()) or spec.server_id),
        _metadata(definition),
        element("memory", str(spec.memory_mib), unit="MiB"),
        element("vcpu", str(spec.vcpus)),
        _os(definition),
        _system(definition.spec),
        _features(definition),
        cpu(definition.settings, definition.virt_type, spec.vcpus),
        _clock(definition),
        element("on_poweroff", "destroy"),
        element("on_reboot", "restart"),
        element("on_crash", "destroy"),
        devices.build(machine, definition),
        type=definition.virt_type,
    )
    return dump(domain)


def _metadata(definition: Definition) -> Element:
    spec = definition.spec
    server = element(
        "polyvisor:server",
        None,
        element("polyvisor:name", spec.name),
        element("polyvisor:project", spec.project_name, id=spec.project_id),
        element("polyvisor:image", None, id=spec.image.id) if spec.image else None,
        cloud=definition.cloud_id,
        id=spec.server_id,
    )
    server.set("xmlns:polyvisor", NAMESPACE)
    return element("metadata", None, server)


def _os(definition: Definition) -> Element:
    machine = definition.machine
    kind = element("type", "hvm", arch=definition.architecture, machine=machine.type)
    shown = element("smbios", None, mode="sysinfo")
    if not machine.uefi:
        return element("os", None, kind, shown)
    wanted = "yes" if machine.secure_boot else "no"
    firmware = element(
        "firmware",
        None,
        element("feature", enabled=wanted, name="enrolled-keys"),
        element("feature", enabled=wanted, name="secure-boot"),
    )
    # libvirt finds the firmware and its template of variables itself; the guest's own variables lie with its disks.
    loader = element("loader", None, secure="yes") if machine.secure_boot else None
    nvram = element("nvram", definition.files.nvram)
    return element("os", None, kind, shown, firmware, loader, nvram, firmware="efi")


def _system(spec: GuestSpec) -> Element:
    """What the guest reads of its machine (SMBIOS). Its software looks for the metadata service, and takes it for
    OpenStack's, where the product has this name."""
    told = {
        "manufacturer": "OpenStack Foundation",
        "product": "OpenStack Nova",
        "serial": spec.server_id,
        "uuid": spec.server_id,
        "family": "Virtual Machine",
    }
    entries = [element("entry", value, name=name) for name, value in told.items()]
    return element("sysinfo", None, element("system", None, *entries), type="smbios")


def _features(definition: Definition) -> Element:
    machine = definition.machine
    features = element("features", None, element("acpi"), element("apic"))
    if machine.windows and definition.virt_type == "kvm":
        features.append(_hyperv())
    if machine.secure_boot:
        features.append(element("smm", state="on"))
    return features


def _hyperv() -> Element:
    """What makes Windows idle and keep time well under KVM; TCG has none of it."""
    names = ("relaxed", "vapic", "vpindex", "runtime", "synic", "stimer", "reset", "frequencies")
    hyperv = element("hyperv", None, *(element(name, state="on") for name in names), mode="custom")
    hyperv.append(element("spinlocks", state="on", retries=8191))
    return hyperv


def cpu(settings: KvmSettings, virt_type: str, vcpus: int) -> Element:
    """The `<cpu>` that guests of a host get."""
    mode = settings.cpu_mode
    if mode is CpuMode.AUTO:
        mode = CpuMode.HOST_MODEL if virt_type == "kvm" else CpuMode.MAXIMUM
    # One socket with all cores: Windows counts sockets against its licence, and leaves the rest unused.
    topology = element("topology", sockets=1, dies=1, cores=vcpus, threads=1)
    if mode is CpuMode.CUSTOM:
        model = element("model", settings.cpu_model, fallback="forbid")
        return element("cpu", None, model, topology, mode="custom", match="exact")
    return element("cpu", None, topology, mode=str(mode))


def _clock(definition: Definition) -> Element:
    windows = definition.machine.windows
    clock = element(
        "clock",
        None,
        element("timer", name="pit", tickpolicy="delay"),
        element("timer", name="rtc", tickpolicy="catchup"),
        element("timer", name="hpet", present="no"),
        offset="localtime" if windows else "utc",
    )
    if windows and definition.virt_type == "kvm":
        clock.append(element("timer", name="hypervclock", present="yes"))
    return clock


def paths(files: GuestFiles) -> list[Path]:
    """The files that must be there before the guest can start."""
    needed = (files.root, files.base, files.ephemeral, files.swap, files.cdrom, files.config_drive)
    return [Path(path) for path in needed if path]
