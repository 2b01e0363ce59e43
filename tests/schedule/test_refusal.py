"""How a refusal reads."""

import pytest

from polyvisor.model.errors import NoHost
from polyvisor.model.host import HostState, HypervisorType, Member
from polyvisor.model.place import PlaceRequest
from polyvisor.schedule.place import place, refusals
from polyvisor.schedule.settings import ScheduleSettings
from polyvisor.schedule.table import HostTable
from tests.schedule.cloud import aggregate, host_view, image, request

KVM_ONLY = image(properties={"img_hv_type": "kvm"})


def refusal_of(table: HostTable, asked: PlaceRequest, settings: ScheduleSettings | None = None) -> NoHost:
    with pytest.raises(NoHost) as refusal:
        place(table, asked, settings or ScheduleSettings())
    return refusal.value


def a_full_cloud() -> tuple[HostTable, PlaceRequest]:
    """Six hosts and a server that fits none of them; docs/reference/scheduling.md shows what is said of it."""
    full = [host_view(f"kvm-{number}", used_memory_mib=32768) for number in range(3)]
    clusters = [host_view(f"cluster-{number}", hypervisor_type=HypervisorType.VMWARE) for number in range(2)]
    down = host_view("kvm-9", state=HostState.DOWN, state_reason="libvirt at kvm-9 does not answer.")
    return HostTable([*full, *clusters, down]), request(image=KVM_ONLY)


def test_the_user_reads_one_sentence_with_groups_and_advice_and_no_host_name() -> None:
    refusal = refusal_of(*a_full_cloud())
    assert refusal.sentence == (
        "No host can run this server: 3 hosts are full (memory), 2 run vmware while the image asks for kvm, 1 is down. "
        "Ask for a smaller flavor, or use an image without img_hv_type, which runs on any hypervisor."
    )
    assert refusal.refusals["kvm-0"] == "has 0 of 32768 MiB of memory free, and the server needs 1024"
    assert refusal.refusals["cluster-1"] == "runs vmware while the image asks for kvm"
    assert refusal.refusals["kvm-9"] == "is down (libvirt at kvm-9 does not answer)"


def test_the_administrator_reads_every_reason_of_a_host() -> None:
    view = host_view(
        "c1", hypervisor_type=HypervisorType.VMWARE, enabled=False, disabled_reason="new disks", zone="east"
    )
    refusal = refusal_of(HostTable([view]), request(zone="west", vcpus=99, image=KVM_ONLY))
    assert refusal.refusals["c1"] == (
        "is disabled (new disks); is in zone east, not in west; runs vmware while the image asks for kvm; "
        "is too small for 99 vCPUs, of which one guest may have 16 here; "
        "has 64 of 64 vCPUs free, and the server needs 99"
    )


def test_a_guest_larger_than_the_largest_member_is_told_that_only_the_sum_would_do() -> None:
    members = tuple(Member(name=f"esx{number}", vcpus=8, memory_mib=16384, memory_used_mib=0) for number in range(4))
    view = host_view("cluster", members=members, vcpus=32, memory_mib=65536, largest_vcpus=8, largest_memory_mib=16384)
    refusal = refusal_of(HostTable([view]), request(memory_mib=32768))
    assert refusal.sentence == (
        "No host can run this server: 1 host has no single member large enough. Ask for a smaller flavor."
    )
    assert refusal.refusals["cluster"] == (
        "has no single member large enough for 32768 MiB of memory, of which one guest may have 16384 here: "
        "it fits the cluster's sum alone"
    )


def test_a_host_that_is_named_is_the_one_that_the_sentence_is_about() -> None:
    table = HostTable([host_view("kvm-1", used_vcpus=64), host_view("kvm-2")])
    assert refusal_of(table, request(host="kvm-1")).sentence == (
        "Host kvm-1 cannot run this server: it has 0 of 64 vCPUs free, and the server needs 1. "
        "Ask for another host, or name none."
    )
    assert "There is no host named kvm-7." in refusal_of(table, request(host="kvm-7")).sentence


def test_a_cloud_without_hosts_says_so() -> None:
    refusal = refusal_of(HostTable(), request())
    assert "the cloud has no hypervisor yet" in refusal.sentence
    assert refusal.refusals == {}


def test_more_than_four_kinds_of_reason_are_summed_up() -> None:
    views = [
        host_view("a", state=HostState.DOWN),
        host_view("b", enabled=False),
        host_view("c", hypervisor_type=HypervisorType.VMWARE),
        host_view("d", architecture="aarch64"),
        host_view("e", used_vcpus=64),
        host_view("f", used_memory_mib=32768),
    ]
    asked = request(image=image(properties={"img_hv_type": "kvm", "hw_architecture": "x86_64"}))
    sentence = refusal_of(HostTable(views), asked).sentence
    assert sentence.count("1 ") == 4
    assert "2 will not do for other reasons" in sentence


def test_an_aggregate_kept_for_others_is_named_to_the_administrator_only() -> None:
    aggregates = [
        aggregate(1, {"filter_tenant_id": "green"}, "kvm-1"),
        aggregate(2, {"trait:CUSTOM_GOLD": "required"}, "kvm-2"),
        aggregate(3, {"os_distro": "debian"}, "kvm-3"),
    ]
    table = HostTable([host_view(f"kvm-{number}") for number in (1, 2, 3)], aggregates)
    isolating = ScheduleSettings(image_property_isolation=True)
    refusal = refusal_of(table, request(image=image(properties={"os_distro": "fedora"})), isolating)
    assert "agg" not in refusal.sentence
    assert refusal.refusals == {
        "kvm-1": "is kept for other projects by filter_tenant_id of aggregate agg1",
        "kvm-2": "is kept by aggregate agg2 for servers that require CUSTOM_GOLD",
        "kvm-3": "is kept by aggregate agg3 for images with os_distro debian, while this one has fedora",
    }


def test_a_disk_that_no_datastore_holds_alone_is_refused_though_there_is_room_in_all() -> None:
    table = HostTable([host_view("kvm-1", disk_gib=200, free_gib=40), host_view("kvm-2", datastores=())])
    refusal = refusal_of(table, request(disk_gib=50, memory_mib=1 << 14, host="kvm-1"))
    assert refusal.refusals["kvm-1"] == "has 40 GiB free on its emptiest datastore, and the server's disk needs 50"
    assert place(table, request(disk_gib=50)).host == "kvm-2"


def test_reasons_can_be_asked_for_while_some_host_fits() -> None:
    table = HostTable([host_view("kvm-1"), host_view("kvm-2", enabled=False)])
    assert refusals(table, request()) == {"kvm-2": "is disabled"}
