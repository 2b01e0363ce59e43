"""A cluster as one hypervisor: its capacity, its ESXi hosts and datastores, and what is wrong with it."""

from collections.abc import Callable, Collection
from typing import Any

from pyVmomi import vim

from polyvisor.hypervisor.vsphere.checks import ClusterFacts, warnings
from polyvisor.hypervisor.vsphere.datastore import GIB, Store, datastores
from polyvisor.hypervisor.vsphere.files import Files
from polyvisor.hypervisor.vsphere.inventory import Cluster
from polyvisor.hypervisor.vsphere.properties import Properties, read, sweep
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.hypervisor.vsphere.switches import Switches
from polyvisor.model.host import Capacity, HostReport, HypervisorType, Member
from polyvisor.model.record import Record

MIB = 1 << 20
_HOST = [
    "name", "runtime.connectionState", "runtime.inMaintenanceMode", "summary.hardware.numCpuThreads",
    "summary.hardware.memorySize", "summary.hardware.cpuModel", "summary.quickStats.overallMemoryUsage",
    "summary.config.product.version", "summary.config.vmotionEnabled",
]  # fmt: skip
# Nova's traits for what a compute host takes: os-traits names.
_TRAITS = frozenset(
    {"COMPUTE_IMAGE_TYPE_VMDK", "COMPUTE_IMAGE_TYPE_ISO", "COMPUTE_IMAGE_TYPE_QCOW2", "COMPUTE_IMAGE_TYPE_RAW"}
)


class EsxiHost(Record):
    """A member with what placing a guest needs of it."""

    reference: Any
    record: Member
    vmotion: bool
    cpu_model: str

    @property
    def usable(self) -> bool:
        """Whether it counts: connected, and not in maintenance mode."""
        return self.record.connected and not self.record.in_maintenance


def esxi_hosts(session: Session, cluster: Cluster) -> list[EsxiHost]:
    """The ESXi hosts of a cluster, by name."""
    found = sweep(session, cluster.reference, {vim.HostSystem: _HOST})[vim.HostSystem]
    return sorted((_esxi_host(reference, props) for reference, props in found), key=lambda host: host.record.name)


def _esxi_host(reference: Any, props: Properties) -> EsxiHost:
    return EsxiHost(
        reference=reference,
        record=Member(
            name=props.get("name", ""),
            vcpus=props.get("summary.hardware.numCpuThreads", 0),
            memory_mib=props.get("summary.hardware.memorySize", 0) // MIB,
            memory_used_mib=props.get("summary.quickStats.overallMemoryUsage", 0),
            in_maintenance=bool(props.get("runtime.inMaintenanceMode")),
            connected=props.get("runtime.connectionState") == "connected",
            version=props.get("summary.config.product.version", ""),
        ),
        vmotion=bool(props.get("summary.config.vmotionEnabled")),
        cpu_model=props.get("summary.hardware.cpuModel", ""),
    )


def usable_stores(session: Session, cluster: Cluster) -> tuple[list[EsxiHost], list[Store]]:
    """The members that count and the datastores that the settings allow, read afresh."""
    usable = [host for host in esxi_hosts(session, cluster) if host.usable]
    return usable, datastores(session, cluster, [host.reference for host in usable])


def report(
    session: Session,
    cluster: Cluster,
    foreign_memory_mib: int,
    cached: Callable[[Files], Collection[str]],
    switches: Switches,
) -> HostReport:
    """All that the cloud is told of one cluster.

    Its memory is that of the usable members, less what HA's admission control keeps for a failed host, less what
    running guests have that this cloud did not make: none of that can be given to servers. `foreign_memory_mib`: the
    latter.
    """
    members = esxi_hosts(session, cluster)
    usable = [host for host in members if host.usable]
    stores = datastores(session, cluster, [host.reference for host in usable])
    config = {} if cluster.standalone else _config(session, cluster)
    spare_vcpus, spare_memory = failover_reserve(config.get("das"), [host.record for host in usable])
    about = session.content.about
    carried = switches.carried(cluster, [(host.reference._moId, host.record.name) for host in usable])
    return HostReport(
        name=cluster.name,
        hypervisor_type=HypervisorType.VMWARE,
        hypervisor_version=version_number(about.version),
        architecture="x86_64",
        capacity=Capacity(
            vcpus=max(sum(host.record.vcpus for host in usable) - spare_vcpus, 0),
            memory_mib=max(sum(host.record.memory_mib for host in usable) - spare_memory - foreign_memory_mib, 0),
            disk_gib=sum(store.record.capacity_bytes for store in stores if store.record.accessible) // GIB,
        ),
        largest_vcpus=max((host.record.vcpus for host in usable), default=0),
        largest_memory_mib=max((host.record.memory_mib for host in usable), default=0),
        traits=_TRAITS,
        datastores=tuple(store.record for store in stores),
        members=tuple(host.record for host in members),
        warnings=warnings(_facts(session, cluster, members, stores, config.get("drs"))) + carried.warnings,
        physical_networks=carried.physical_networks,
        port_filter="none" if session.settings.security_groups == "off" else "host",
        cached_images=frozenset[str]().union(
            *(cached(Files(session, cluster, store)) for store in stores if store.record.accessible)
        ),
        cpu_info=", ".join(sorted({host.cpu_model for host in usable if host.cpu_model})),
        address=session.host,
    )


def _config(session: Session, cluster: Cluster) -> dict[str, Any]:
    props = read(session, cluster.reference, ["configurationEx"])
    config = (props or {}).get("configurationEx")
    return {"drs": getattr(config, "drsConfig", None), "das": getattr(config, "dasConfig", None)}


def _facts(session: Session, cluster: Cluster, members: list[EsxiHost], stores: list[Store], drs: Any) -> ClusterFacts:
    return ClusterFacts(
        title=cluster.title,
        standalone=cluster.standalone,
        drs_enabled=bool(getattr(drs, "enabled", False)),
        drs_behavior=str(getattr(drs, "defaultVmBehavior", "") or ""),
        members=tuple(host.record for host in members),
        without_vmotion=tuple(host.record.name for host in members if host.usable and not host.vmotion),
        datastores=tuple(store.record for store in stores),
        datastore_regex=session.settings.datastore_regex,
    )


def failover_reserve(das: Any, usable: list[Member]) -> tuple[int, int]:
    """The vCPUs and the MiB of memory that HA's admission control keeps free for guests of failed hosts.

    `das`: vSphere's ClusterDasConfigInfo. Sources: its `admissionControlEnabled` and `admissionControlPolicy`.
    """
    if das is None or not das.enabled or not das.admissionControlEnabled:
        return 0, 0
    policy = das.admissionControlPolicy
    if isinstance(policy, vim.cluster.FailoverResourcesAdmissionControlPolicy):
        vcpus = sum(member.vcpus for member in usable) * (policy.cpuFailoverResourcesPercent or 0) // 100
        return vcpus, sum(member.memory_mib for member in usable) * (policy.memoryFailoverResourcesPercent or 0) // 100
    count = 0
    if isinstance(policy, vim.cluster.FailoverLevelAdmissionControlPolicy):
        count = policy.failoverLevel or 0
    elif isinstance(policy, vim.cluster.FailoverHostAdmissionControlPolicy):
        count = len(policy.failoverHosts or ())
    largest = sorted(usable, key=lambda member: member.memory_mib, reverse=True)[:count]
    return sum(member.vcpus for member in largest), sum(member.memory_mib for member in largest)


def version_number(version: str) -> int:
    """ "8.0.3" as libvirt counts: 8000003."""
    major, minor, micro = ([int(part) for part in version.split(".") if part.isdigit()] + [0, 0, 0])[:3]
    return major * 1_000_000 + minor * 1_000 + micro
