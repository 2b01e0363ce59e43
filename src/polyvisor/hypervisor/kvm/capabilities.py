"""What a libvirtd and its QEMU offer, read from their capabilities documents."""

from typing import Any

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.hypervisor.kvm.xml import Element, dump, element, parse
from polyvisor.model.record import Record


class HostCapabilities(Record):
    """virConnectGetCapabilities (libvirt's formatcaps)."""

    architecture: str
    virt_types: frozenset[str]
    """Domain types that libvirt offers for this architecture: "qemu", "kvm". Offered is not yet working."""
    qemu_user: tuple[int, int] | None
    """(uid, gid) that QEMU runs as; None where libvirt does not tell."""
    threads_per_core: int
    cpu_model: str
    cpu_vendor: str


class DomainCapabilities(Record):
    """virConnectGetDomainCapabilities (libvirt's formatdomaincaps) for one machine and virtualization type."""

    machine: str
    emulator: str
    largest_vcpus: int
    uefi: bool
    secure_boot: bool
    cpu_modes: frozenset[str]
    host_model: str
    """The `<cpu>` document of `host-model`; "" where it is not supported."""
    disk_buses: frozenset[str]
    video_models: frozenset[str]


def read_host(link: Any) -> HostCapabilities:
    """The host's capabilities, over an open libvirt connection."""
    return parse_host(link.getCapabilities())


def parse_host(text: str) -> HostCapabilities:
    """The host's capabilities from libvirt's document."""
    root = parse(text)
    architecture = root.findtext("host/cpu/arch") or ""
    guest = next((guest for guest in root.iterfind("guest/arch") if guest.get("name") == architecture), None)
    topology = root.find("host/cpu/topology")
    return HostCapabilities(
        architecture=architecture,
        virt_types=frozenset(domain.get("type", "") for domain in guest.iterfind("domain"))
        if guest is not None
        else frozenset(),
        qemu_user=_qemu_user(root),
        threads_per_core=int(topology.get("threads", "1")) if topology is not None else 1,
        cpu_model=root.findtext("host/cpu/model") or "",
        cpu_vendor=root.findtext("host/cpu/vendor") or "",
    )


def _qemu_user(root: Element) -> tuple[int, int] | None:
    for model in root.iterfind("host/secmodel"):
        if model.findtext("model") == "dac":
            user, _, group = (model.findtext("baselabel") or "").replace("+", "").partition(":")
            if user.isdigit() and group.isdigit():
                return int(user), int(group)
    return None


def read_domain(link: Any, architecture: str, machine: str, virt_type: str) -> DomainCapabilities:
    """What guests of this machine and virtualization type can have. A machine QEMU does not know is a
    HypervisorError."""
    import libvirt

    try:
        return parse_domain(link.getDomainCapabilities(None, architecture, machine, virt_type))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_INVALID_ARG:
            raise HypervisorError(
                f"QEMU of this host offers no machine {machine!r} for {virt_type}; set hw_machine_type to q35 or pc."
            ) from None
        raise


def parse_domain(text: str) -> DomainCapabilities:
    """What guests can have, from libvirt's document."""
    root = parse(text)
    vcpu = root.find("vcpu")
    host_model = root.find("cpu/mode[@name='host-model']")
    return DomainCapabilities(
        machine=root.findtext("machine") or "",
        emulator=root.findtext("path") or "",
        largest_vcpus=int(vcpu.get("max", "1")) if vcpu is not None else 1,
        uefi="efi" in _enum(root, "os", "firmware"),
        secure_boot="yes" in _enum(root, "os/loader", "secure"),
        cpu_modes=frozenset(mode.get("name", "") for mode in root.iterfind("cpu/mode[@supported='yes']")),
        host_model=_as_cpu(host_model) if host_model is not None and host_model.get("supported") == "yes" else "",
        disk_buses=_enum(root, "devices/disk", "bus"),
        video_models=_enum(root, "devices/video", "modelType"),
    )


def _enum(root: Element, path: str, name: str) -> frozenset[str]:
    return frozenset(value.text or "" for value in root.iterfind(f"{path}/enum[@name='{name}']/value"))


def _as_cpu(mode: Element) -> str:
    """The `host-model` entry as the `<cpu>` document that libvirt's baseline call takes."""
    cpu = Element("cpu", {"mode": "custom", "match": "exact"})
    cpu.extend(child for child in mode if child.tag in ("model", "vendor", "feature"))
    return dump(cpu)


def cpu_features(
    link: Any, offered: DomainCapabilities, architecture: str, virt_type: str, model: str = ""
) -> frozenset[str]:
    """The processor features (libvirt's names) that guests see: of a named model, else of `host-model`; none where
    libvirt cannot tell."""
    import libvirt

    cpu = (
        dump(element("cpu", None, element("model", model), mode="custom", match="exact"))
        if model
        else offered.host_model
    )
    if not cpu:
        return frozenset()
    flags = libvirt.VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES
    try:
        text = link.baselineHypervisorCPU(offered.emulator, architecture, offered.machine, virt_type, [cpu], flags)
    except libvirt.libvirtError as error:
        if error.get_error_code() in (
            libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
            libvirt.VIR_ERR_NO_SUPPORT,
            libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
        ):
            return frozenset()
        raise
    return frozenset(
        feature.get("name", "") for feature in parse(text).iterfind("feature") if feature.get("policy") != "disable"
    )
