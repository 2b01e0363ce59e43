"""The report on one KVM host: what it has, what it can do, and what is wrong with it."""

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import structlog

from polyvisor.hypervisor import storage_mark
from polyvisor.hypervisor.kvm import capabilities
from polyvisor.hypervisor.kvm.access import closed_to, let_through
from polyvisor.hypervisor.kvm.capabilities import DomainCapabilities, HostCapabilities
from polyvisor.hypervisor.kvm.connection import Connection
from polyvisor.hypervisor.kvm.settings import CpuMode, KvmSettings
from polyvisor.hypervisor.kvm.switch import Switch
from polyvisor.hypervisor.kvm.traits import traits
from polyvisor.hypervisor.kvm.trial import Finding, Trial
from polyvisor.model.host import Capacity, Datastore, HostReport, HypervisorType
from polyvisor.model.record import Record

log = structlog.get_logger()

DATASTORE = "instances"
"""The name of a KVM host's only datastore."""
_GIB = 1 << 30


class Facts(Record):
    """What holds as long as libvirtd is not started anew."""

    name: str
    host: HostCapabilities
    offered: DomainCapabilities
    finding: Finding
    features: frozenset[str]
    version: int

    @property
    def kind(self) -> HypervisorType:
        """What the host reports itself to be."""
        return HypervisorType(self.finding.virt_type)


class HostReader:
    """Reads one host; what cannot change under an open connection is read once for it."""

    def __init__(
        self,
        connection: Connection,
        settings: KvmSettings,
        trial: Trial,
        directories: Sequence[Path],
        switch: Switch,
    ) -> None:
        """`directories`: those that QEMU reads from; the guests' own first."""
        self._connection = connection
        self._settings = settings
        self._trial = trial
        self._directories = directories
        self._switch = switch
        self._lock = threading.Lock()
        self._known: tuple[int, Facts] | None = None

    def facts(self) -> Facts:
        """Name, capabilities and virtualization type. Raises Unreachable, HypervisorError."""
        with self._lock:
            self._connection.ensure()
            generation = self._connection.generation
            if self._known is None or self._known[0] != generation:
                facts = self._read()
                if not facts.finding.certain:
                    return facts
                self._known = (generation, facts)
            return self._known[1]

    def _read(self) -> Facts:
        name, host, version = self._connection.run(
            lambda link: (link.getHostname(), capabilities.read_host(link), link.getVersion())
        )
        for directory in self._directories:
            for opened in let_through(directory, host.qemu_user):
                log.info("QEMU's user may pass through now", place=self._connection.place, directory=str(opened))
        finding = self._trial.find(host)
        virt_type, settings = finding.virt_type, self._settings

        def offered(link: Any) -> DomainCapabilities:
            return capabilities.read_domain(link, host.architecture, settings.machine_type, virt_type)

        domain = self._connection.run(offered)
        model = settings.cpu_model if settings.cpu_mode is CpuMode.CUSTOM else ""
        features = self._connection.run(
            lambda link: capabilities.cpu_features(link, domain, host.architecture, virt_type, model)
        )
        return Facts(name=name, host=host, offered=domain, finding=finding, features=features, version=version)

    def report(self, cached_images: frozenset[str]) -> HostReport:
        """The report, with memory, processors and disk as they are now."""
        facts = self.facts()
        memory_mib, vcpus = self._connection.run(_memory_and_processors)
        disk = storage_mark.marked(_disk(self._directories[0]), self._directories[0], facts.name)
        reach = self._switch.reach()
        return HostReport(
            name=facts.name,
            hypervisor_type=facts.kind,
            hypervisor_version=facts.version,
            architecture=facts.host.architecture,
            capacity=Capacity(vcpus=vcpus, memory_mib=memory_mib, disk_gib=disk.capacity_bytes // _GIB),
            largest_vcpus=min(vcpus, facts.offered.largest_vcpus),
            largest_memory_mib=memory_mib,
            traits=traits(
                facts.host.architecture, facts.offered, facts.features, hyperthreading=facts.host.threads_per_core > 1
            ),
            datastores=(disk,),
            warnings=tuple(_warnings(facts, disk, self._settings, self._directories)),
            cached_images=cached_images,
            cpu_info=" ".join(word for word in (facts.host.cpu_vendor, facts.host.cpu_model) if word),
            address=self._settings.address,
            overlay=reach.overlay,
            physical_networks=reach.physical_networks,
        )


def _memory_and_processors(link: Any) -> tuple[int, int]:
    """All of the host's memory in MiB, and its processors. (getInfo's memory is wrong on some virtual machines.)"""
    import libvirt

    memory_kib = link.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)["total"]
    return memory_kib // 1024, link.getCPUMap()[0]


def _disk(instances: Path) -> Datastore:
    size = os.statvfs(instances)
    return Datastore(
        name=DATASTORE,
        kind="dir",
        capacity_bytes=size.f_blocks * size.f_frsize,
        free_bytes=size.f_bavail * size.f_frsize,
        shared=False,
    )


def _warnings(facts: Facts, disk: Datastore, settings: KvmSettings, directories: Sequence[Path]) -> Iterator[str]:
    if facts.finding.reason:
        yield facts.finding.reason
    if not facts.offered.uefi:
        yield (
            "There is no UEFI firmware for guests, so images with hw_firmware_type=uefi cannot start here; "
            "install the package ovmf."
        )
    if disk.free_bytes < settings.low_disk_gib * _GIB:
        free = f"{disk.free_bytes / _GIB:.1f} GiB"
        yield f"Only {free} are free under {directories[0]}; free some, or move instances_path to a larger disk."
    steps = [step for directory in directories for step in closed_to(directory, facts.host.qemu_user)]
    for closed in dict.fromkeys(steps):
        yield (
            f"QEMU runs as another user and cannot pass through {closed}, so guests cannot start; "
            f"let others pass (chmod o+x {closed})."
        )
