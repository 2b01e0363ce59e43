"""Small clouds to choose hosts from: builders, Hypothesis strategies, and what fits where by the plain rules."""

from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from hypothesis import strategies as st
from msgspec import structs

from polyvisor.model.errors import NoHost
from polyvisor.model.host import Capacity, Datastore, Host, HostReport, HostState, HypervisorType, Member
from polyvisor.model.image import ImageRef
from polyvisor.model.network import NetworkType, SegmentRef
from polyvisor.model.place import (
    AggregateView,
    HostView,
    NetworkNeed,
    PlaceRequest,
    Plan,
    allocatable,
    overcommit,
)
from polyvisor.schedule.place import DEFAULTS, place
from polyvisor.schedule.settings import ScheduleSettings
from polyvisor.schedule.table import HostTable

NOW = datetime(2026, 1, 2, tzinfo=UTC)
GIB = 1 << 30


def host_view(name: str, **changes: Any) -> HostView:
    """A host that is up, with 16 vCPUs, 32 GiB of memory and 100 GiB of disk; `changes` are of Host or HostReport."""
    capacity = Capacity(
        vcpus=changes.pop("vcpus", 16),
        memory_mib=changes.pop("memory_mib", 32768),
        disk_gib=changes.pop("disk_gib", 100),
    )
    free_gib = changes.pop("free_gib", capacity.disk_gib)
    store = Datastore(name="ds1", kind="dir", capacity_bytes=capacity.disk_gib * GIB, free_bytes=free_gib * GIB)
    datastores = changes.pop("datastores", (store,))
    report = HostReport(
        name=name,
        hypervisor_type=HypervisorType.KVM,
        hypervisor_version=9000000,
        architecture="x86_64",
        capacity=capacity,
        largest_vcpus=capacity.vcpus,
        largest_memory_mib=capacity.memory_mib,
        datastores=datastores,
    )
    of_report = {field: changes.pop(field) for field in HostReport.__struct_fields__ if field in changes}
    host = Host(
        id=1,
        uuid=str(uuid5(NAMESPACE_DNS, name)),
        place=f"at-{name}",
        report=structs.replace(report, **of_report),
        state=HostState.UP,
        zone="nova",
        vcpu_ratio=4.0,
        memory_ratio=1.0,
        disk_ratio=1.0,
        created_at=NOW,
        seen_at=NOW,
    )
    return HostView(host=structs.replace(host, **changes), datastores=datastores)


def image(**changes: Any) -> ImageRef:
    """A qcow2 image of 1 GiB."""
    plain = ImageRef(
        id="image-1",
        disk_format="qcow2",
        container_format="bare",
        size_bytes=1 << 20,
        virtual_size_bytes=GIB,
        sha512="00",
    )
    return structs.replace(plain, **changes)


def request(**changes: Any) -> PlaceRequest:
    """One vCPU, 1 GiB of memory, 5 GiB of disk, no image."""
    plain = PlaceRequest(server_id="server-1", project_id="blue", vcpus=1, memory_mib=1024, disk_gib=5)
    return structs.replace(plain, **changes)


def aggregate(number: int, metadata: dict[str, str], *hosts: str) -> AggregateView:
    """An aggregate of these hosts."""
    return AggregateView(id=number, name=f"agg{number}", metadata=metadata, hosts=frozenset(hosts))


# What Hypothesis tries: few different words, so that hosts and requests meet

NAMES = [f"host-{number}" for number in range(8)]
TRAITS = ["HW_CPU_X86_AVX2", "STORAGE_DISK_SSD", "CUSTOM_GOLD"]
_few = st.sampled_from
_traits = st.frozensets(_few(TRAITS), max_size=2)


@st.composite
def host_views(draw: st.DrawFn, name: str) -> HostView:
    """A host in any condition."""
    vcpus, memory_mib, disk_gib = draw(_few([1, 4, 16])), draw(_few([1024, 4096, 65536])), draw(_few([0, 10, 100]))
    stores = draw(
        st.lists(
            st.builds(
                Datastore,
                name=_few(["a", "b"]),
                kind=st.just("dir"),
                capacity_bytes=st.just(100 * GIB),
                free_bytes=_few([0, GIB, 6 * GIB, 100 * GIB]),
                accessible=_few([True, True, False]),
            ),
            max_size=2,
        )
    )
    members: tuple[Member, ...] = ()
    if draw(st.booleans()):
        members = (Member(name="esx1", vcpus=vcpus // 2, memory_mib=memory_mib // 2, memory_used_mib=0),)
    view = host_view(
        name,
        vcpus=vcpus,
        memory_mib=memory_mib,
        disk_gib=disk_gib,
        datastores=tuple(stores),
        hypervisor_type=draw(_few(list(HypervisorType))),
        hypervisor_version=draw(_few([7002000, 9000000])),
        architecture=draw(_few(["x86_64", "aarch64"])),
        largest_vcpus=vcpus // 2 if members else vcpus,
        largest_memory_mib=memory_mib // 2 if members else memory_mib,
        members=members,
        traits=draw(_traits),
        overlay=draw(_few([True, True, False])),
        physical_networks=draw(_few([frozenset(), frozenset({"site"}), frozenset({"dmz", "site"}), frozenset({"*"})])),
        cached_images=draw(st.frozensets(_few(["image-1", "image-2"]))),
        state=draw(_few([HostState.UP, HostState.UP, HostState.DOWN])),
        enabled=draw(_few([True, True, False])),
        zone=draw(_few(["nova", "east"])),
        vcpu_ratio=draw(_few([0.5, 1.0, 4.0])),
        memory_ratio=draw(_few([1.0, 1.5])),
        disk_ratio=draw(_few([1.0, 2.0])),
        reserved_memory_mib=draw(_few([0, 512])),
        used_vcpus=draw(_few([0, 1, 20])),
        used_memory_mib=draw(_few([0, 1024, 70000])),
        used_disk_gib=draw(_few([0, 10])),
        servers=draw(_few([0, 3])),
        generation=draw(_few([0, 7])),
    )
    return structs.replace(view, datastores=() if draw(_few([False, False, True])) else view.datastores)


@st.composite
def clouds(draw: st.DrawFn, least: int = 0) -> list[HostView]:
    """Some hosts, with different names."""
    names = draw(st.lists(_few(NAMES), unique=True, min_size=least, max_size=len(NAMES)))
    return [draw(host_views(name)) for name in names]


_metadata = st.fixed_dictionaries(
    {},
    optional={
        "cpu_allocation_ratio": _few(["1.0", "2", "none"]),
        "ram_allocation_ratio": _few(["0.5", "2.0"]),
        "disk_allocation_ratio": _few(["3.0", "-1"]),
        "filter_tenant_id": _few(["blue", "blue, green", "green"]),
        "filter_tenant_id2": _few(["blue"]),
        "ssd": _few(["true", "false", "true,maybe"]),
        "cores": _few(["4", "many"]),
        "trait:CUSTOM_GOLD": _few(["required", "forbidden"]),
        "os_distro": _few(["debian", "debian,fedora"]),
    },
)
aggregate_lists = st.lists(
    st.builds(
        AggregateView,
        id=st.integers(1, 4),
        name=_few(["fast", "slow"]),
        metadata=_metadata,
        hosts=st.frozensets(_few(NAMES)),
    ),
    unique_by=lambda one: one.id,
    max_size=4,
)
_extra_specs = st.fixed_dictionaries(
    {},
    optional={
        "trait:HW_CPU_X86_AVX2": _few(["required", "forbidden"]),
        "trait:CUSTOM_GOLD": _few(["required"]),
        "aggregate_instance_extra_specs:ssd": _few(["true", "<or> true <or> maybe", "s!= true", "<in> ru"]),
        "aggregate_instance_extra_specs:cores": _few([">= 2", "= 8", "== 4"]),
        "capabilities:hypervisor_type": _few(["kvm", "<or> qemu <or> vmware"]),
        "capabilities:free_ram_mb": _few([">= 1024", "s== 1024", "<in> 0"]),
        "capabilities:num_instances": _few(["<= 2"]),
        "capabilities:nonsense": _few(["1"]),
        "hw:cpu_policy": _few(["shared"]),
    },
)
_properties = st.fixed_dictionaries(
    {},
    optional={
        "img_hv_type": _few(["kvm", "qemu", "VMware"]),
        "hypervisor_type": _few(["qemu"]),
        "hw_architecture": _few(["x86_64", "amd64", "i386", "aarch64"]),
        "trait:STORAGE_DISK_SSD": _few(["required"]),
        "os_distro": _few(["debian", "fedora"]),
    },
)
_images = st.builds(
    image,
    id=_few(["image-1", "image-3"]),
    disk_format=_few(["qcow2", "raw", "vmdk", "iso"]),
    virtual_size_bytes=_few([GIB, 10 * GIB]),
    properties=_properties,
) | st.builds(image, disk_format=st.just("aki"), container_format=st.just("aki"), properties=_properties)
GENEVE = SegmentRef(network_type=NetworkType.GENEVE, segmentation_id=7)
VLAN = SegmentRef(network_type=NetworkType.VLAN, physical_network="site", segmentation_id=100)
FLAT = SegmentRef(network_type=NetworkType.FLAT, physical_network="dmz")
_networks = st.lists(
    st.builds(
        NetworkNeed, name=_few(["private", "public"]), segments=_few([(GENEVE,), (VLAN,), (FLAT,), (GENEVE, VLAN), ()])
    ),
    max_size=2,
).map(tuple)
requests = st.builds(
    PlaceRequest,
    server_id=_few(["server-1", "server-2", "server-3"]),
    project_id=_few(["blue", "green", "red"]),
    vcpus=_few([0, 1, 4, 16]),
    memory_mib=_few([0, 512, 2048, 32768]),
    disk_gib=_few([0, 5, 50]),
    image=st.none() | _images,
    extra_specs=st.just({}) | _extra_specs,
    zone=_few([None, None, "nova", "east", "moon"]),
    host=_few([None, None, None, *NAMES[:2]]),
    avoid=st.just(frozenset()) | st.frozensets(_few(NAMES), max_size=2),
    networks=st.just(()) | _networks,
    passed_over=st.just({}) | st.dictionaries(_few(NAMES), st.just("is the host that it leaves"), max_size=2),
)
easy_requests = st.builds(
    PlaceRequest,
    server_id=_few(["server-1", "server-2", "server-3"]),
    project_id=st.just("blue"),
    vcpus=_few([1, 2]),
    memory_mib=_few([256, 512, 2048]),
    disk_gib=_few([0, 1, 5]),
)


def room(view: HostView, aggregates: list[AggregateView]) -> tuple[int, int, int]:
    """vCPUs, MiB and GiB that may be claimed of a host in all."""
    host, capacity = view.host, view.host.report.capacity
    metadata = [one.metadata for one in aggregates if host.name in one.hosts]
    return (
        allocatable(capacity.vcpus, host.reserved_vcpus, overcommit(host.vcpu_ratio, metadata, "cpu_allocation_ratio")),
        allocatable(
            capacity.memory_mib,
            host.reserved_memory_mib,
            overcommit(host.memory_ratio, metadata, "ram_allocation_ratio"),
        ),
        allocatable(
            capacity.disk_gib, host.reserved_disk_gib, overcommit(host.disk_ratio, metadata, "disk_allocation_ratio")
        ),
    )


def answer(
    table: HostTable, asked: PlaceRequest, settings: ScheduleSettings = DEFAULTS, seed: int | None = None
) -> Plan | tuple[str, dict[str, str]]:
    """The plan, or the refusal as values that can be compared."""
    try:
        return place(table, asked, settings, seed=seed)
    except NoHost as refusal:
        return refusal.sentence, refusal.refusals
