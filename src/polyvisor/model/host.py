"""Hosts: a KVM machine, a vSphere cluster, a direct ESXi host or a simulated one, each one hypervisor to the cloud."""

from datetime import datetime
from enum import StrEnum

from polyvisor.model.network import NetworkType, SegmentRef
from polyvisor.model.record import Record, Told

EVERY_PHYSICAL_NETWORK = "*"
"""Among a host's `physical_networks`: whatever networks of the site there are, guests here can be on them."""


class HypervisorType(StrEnum):
    """The `hypervisor_type` a host reports, in Nova's words; an image's `img_hv_type` asks for one."""

    KVM = "kvm"
    QEMU = "qemu"
    VMWARE = "vmware"
    SIMULATED = "simulated"


class Reach(Record):
    """Which networks a host's guests can be on."""

    overlay: bool = False
    physical_networks: frozenset[str] = frozenset()

    def carries(self, segment: SegmentRef) -> bool:
        """Whether frames of this segment get to and from the host's guests."""
        if segment.network_type is NetworkType.GENEVE:
            return self.overlay
        return bool(self.physical_networks & {segment.physical_network, EVERY_PHYSICAL_NETWORK})


class Datastore(Told):
    """A place for disks that a host can reach. Sizes in bytes."""

    name: str
    kind: str
    """What it is in the hypervisor's own word: "dir", "nfs", "VMFS", "vsan"."""
    capacity_bytes: int
    free_bytes: int
    shared: bool = False
    """True when every member of the host reaches it."""
    accessible: bool = True
    id: str = ""
    """Written on the storage itself: whoever reads the same one reads the same files. Empty = nobody looked."""
    marks: frozenset[str] = frozenset()
    """Names of the hosts that have written theirs on it: one that was copied shows marks that others do not."""


class Member(Told):
    """One ESXi host below a cluster (for other kinds a host has no members)."""

    name: str
    vcpus: int
    memory_mib: int
    memory_used_mib: int
    in_maintenance: bool = False
    connected: bool = True
    version: str = ""


class Capacity(Told):
    """What a host has in all, before reservation and overcommit."""

    vcpus: int
    memory_mib: int
    disk_gib: int


class HostReport(Told):
    """What a driver says of one host: complete each time, never a difference."""

    name: str
    """Stable and unique in the cloud: the libvirt host name, "CLUSTER.VCENTER-NAME" for a cluster."""
    hypervisor_type: HypervisorType
    hypervisor_version: int
    """As libvirt counts: major * 1,000,000 + minor * 1,000 + micro."""
    architecture: str
    """`hw_architecture` in glance's words: "x86_64", "aarch64" ..."""
    capacity: Capacity
    largest_vcpus: int
    """The most vCPUs one guest may have here: the largest member's, for a cluster."""
    largest_memory_mib: int
    """The most memory one guest may have here, in MiB: the largest member's, for a cluster."""
    traits: frozenset[str] = frozenset()
    """os-traits names, such as "HW_CPU_X86_AVX2" or "CUSTOM_..."."""
    datastores: tuple[Datastore, ...] = ()
    members: tuple[Member, ...] = ()
    warnings: tuple[str, ...] = ()
    """Sentences on what is wrong with this host and what to do about it (O5)."""
    cached_images: frozenset[str] = frozenset()
    """Ids of the images whose bytes lie ready here."""
    cpu_info: str = ""
    """The processor's model in words."""
    address: str = ""
    """The address other hosts reach it by."""
    overlay: bool = False
    """Whether guests here can be on geneve networks."""
    physical_networks: frozenset[str] = frozenset()
    """Networks of the site that are mapped to a switch of this host; EVERY_PHYSICAL_NETWORK among them = all."""
    port_filter: str = "network"
    """Who makes security groups hold for guests here: "network" (the network backend), "host" (the host itself, once it
    is told of them), or "none"."""

    @property
    def reach(self) -> Reach:
        """Both together."""
        return Reach(overlay=self.overlay, physical_networks=self.physical_networks)


class HostState(StrEnum):
    """Whether the host answers."""

    UP = "up"
    DOWN = "down"


class Host(Told):
    """A host as the store has it: the report, the operator's settings, and what is claimed of it."""

    id: int
    """The `id` of os-hypervisors below microversion 2.53."""
    uuid: str
    """The `id` from 2.53 on, and the resource provider's uuid."""
    place: str
    """The name of the hypervisor connection that serves it: steps for it are leased by this name."""
    report: HostReport
    state: HostState
    state_reason: str = ""
    """Why it is down, in a sentence; empty when it is up."""
    enabled: bool = True
    disabled_reason: str = ""
    forced_down: bool = False
    """An administrator says that it is down, whatever it reports."""
    zone: str
    """Its availability zone: that of its aggregates, or the default zone."""
    vcpu_ratio: float
    memory_ratio: float
    disk_ratio: float
    """Overcommit: allocatable = (capacity - reserved) * ratio."""
    reserved_vcpus: int = 0
    reserved_memory_mib: int = 0
    reserved_disk_gib: int = 0
    used_vcpus: int = 0
    used_memory_mib: int = 0
    used_disk_gib: int = 0
    servers: int = 0
    """How many servers hold a claim here."""
    generation: int = 0
    """Grows with each claim and release; a claim made from an older one is checked again by the store."""
    created_at: datetime
    seen_at: datetime
    """When its agent last reported it."""

    @property
    def name(self) -> str:
        """The hypervisor's name (`hypervisor_hostname`, and `host` of its services)."""
        return self.report.name


def disks_shared(one: HostReport, other: HostReport) -> bool:
    """Whether each of two hosts reaches the files of the other's guests.

    Both must have seen the other's mark on the same storage: a copy of its files bears the id, and not the new marks.
    """
    return any(
        mine.id and mine.id == theirs.id and other.name in mine.marks and one.name in theirs.marks
        for mine in one.datastores
        for theirs in other.datastores
    )
