"""Hypervisors as administrators see them."""

import json
from typing import Any

import pytest

from polyvisor.model.host import Datastore, HostState, Member
from polyvisor.model.server import TaskState
from tests.api.cloud import ApiCloud
from tests.api.compute.conftest import at
from tests.api.compute.estate import host, put, server

HYPERVISORS = "/compute/v2.1/os-hypervisors"
CLUSTER = {
    "members": (
        Member(name="esx-1", vcpus=4, memory_mib=8192, memory_used_mib=100, version="8.0.3"),
        Member(name="esx-2", vcpus=4, memory_mib=8192, memory_used_mib=0, connected=False),
    ),
    "datastores": (
        Datastore(name="ssd", kind="VMFS", capacity_bytes=100 << 30, free_bytes=60 << 30, shared=True),
        Datastore(name="lost", kind="NFS", capacity_bytes=100 << 30, free_bytes=9 << 30, accessible=False),
    ),
    "warnings": ("DRS is not fully automated: set it so.",),
}


@pytest.fixture
def hosts(cloud: ApiCloud) -> ApiCloud:
    busy = server("busy", cloud.project_id("demo"), host="kvm-1", task_state=TaskState.REBOOTING)
    gone = server("gone", cloud.project_id("demo"), host="kvm-1", deleted_at=busy.created_at)
    put(
        cloud.database,
        host("kvm-1", used_vcpus=2, used_memory_mib=512, used_disk_gib=12, reserved_memory_mib=512, servers=2),
        host("kvm-2", enabled=False, disabled_reason="new disks"),
        host("cluster.vc", report=CLUSTER),
        busy,
        gone,
        server("calm", cloud.project_id("demo"), host="kvm-1"),
    )
    return cloud


def _one(cloud: ApiCloud, name: str, version: str, **query: Any) -> dict[str, Any]:
    listed = at(cloud.admin, version).get(HYPERVISORS).body["hypervisors"]
    [found] = [each["id"] for each in listed if each["hypervisor_hostname"] == name]
    shown: dict[str, Any] = at(cloud.admin, version).get(f"{HYPERVISORS}/{found}", **query).body["hypervisor"]
    return shown


def test_a_hypervisor_shows_what_it_has_and_what_is_used(hosts: ApiCloud) -> None:
    shown = _one(hosts, "kvm-1", "2.1")
    assert shown.pop("service").keys() == {"host", "id", "disabled_reason"}
    assert json.loads(shown.pop("cpu_info")) == {"arch": "x86_64", "model": "A fast one"}
    assert isinstance(shown.pop("id"), int)
    assert shown == {
        "hypervisor_hostname": "kvm-1",
        "state": "up",
        "status": "enabled",
        "host_ip": "192.0.2.7",
        "hypervisor_type": "kvm",
        "hypervisor_version": 9_000_000,
        "vcpus": 8,
        "vcpus_used": 2,
        "memory_mb": 16_384,
        "memory_mb_used": 1024,
        "free_ram_mb": 15_360,
        "local_gb": 100,
        "local_gb_used": 12,
        "free_disk_gb": 88,
        "disk_available_least": None,
        "running_vms": 2,
        "current_workload": 1,
    }


def test_what_is_wrong_with_a_cluster_is_shown_at_every_microversion(hosts: ApiCloud) -> None:
    for version in ("2.28", "2.53", "2.88"):
        info = _one(hosts, "cluster.vc", version)["cpu_info"]
        assert info["warnings"] == ["DRS is not fully automated: set it so."]
        assert [member["name"] for member in info["members"]] == ["esx-1", "esx-2"]
        assert info["members"][1]["state"] == "down"
        assert info["datastores"][0] == {
            "name": "ssd", "type": "VMFS", "capacity_gb": 100.0, "free_gb": 60.0, "shared": True, "accessible": True,
        }  # fmt: skip
    assert _one(hosts, "cluster.vc", "2.1")["disk_available_least"] == 60


def test_a_host_that_is_down_says_why(hosts: ApiCloud) -> None:
    put(hosts.database, host("kvm-9", state=HostState.DOWN, state_reason="It does not answer."))
    shown = _one(hosts, "kvm-9", "2.53")
    assert shown["state"] == "down"
    assert shown["cpu_info"]["warnings"] == ["It does not answer."]
    assert shown["service"]["disabled_reason"] == "It does not answer."
    disabled = _one(hosts, "kvm-2", "2.53")
    assert (disabled["status"], disabled["service"]["disabled_reason"]) == ("disabled", "new disks")


def test_ids_are_uuids_from_2_53_on(hosts: ApiCloud) -> None:
    number, uuid = _one(hosts, "kvm-1", "2.52")["id"], _one(hosts, "kvm-1", "2.53")["id"]
    assert len(uuid) == 36
    assert at(hosts.admin, "2.53").get(f"{HYPERVISORS}/{number}").status == 400
    assert at(hosts.admin, "2.52").get(f"{HYPERVISORS}/{uuid}").status == 404
    assert at(hosts.admin, "2.53").get(f"{HYPERVISORS}/{uuid[:-4]}0000").status == 404
    assert at(hosts.admin, "2.53").get(f"{HYPERVISORS}/none").status == 404
    assert at(hosts.admin, "2.52").get(f"{HYPERVISORS}/{'9' * 30}").status == 404
    assert at(hosts.admin, "2.33").get(HYPERVISORS, marker="9" * 30).status == 400


def test_from_2_88_on_placement_tells_amounts(hosts: ApiCloud) -> None:
    shown = _one(hosts, "kvm-1", "2.88")
    assert "vcpus" not in shown
    assert shown["uptime"] is None
    admin = at(hosts.admin, "2.88")
    assert admin.get(f"{HYPERVISORS}/statistics").status == 404
    assert admin.get(f"{HYPERVISORS}/{shown['id']}/uptime").status == 404
    assert at(hosts.admin, "2.87").get(f"{HYPERVISORS}/{shown['id']}/uptime").status == 501


def test_statistics_sum_up_the_hosts_in_use(hosts: ApiCloud) -> None:
    sums = hosts.admin.get(f"{HYPERVISORS}/statistics").body["hypervisor_statistics"]
    assert (sums["count"], sums["vcpus"], sums["vcpus_used"], sums["current_workload"]) == (2, 16, 2, 1)
    assert sums["disk_available_least"] == 60


def test_hypervisors_are_found_by_a_part_of_their_name(hosts: ApiCloud) -> None:
    found = hosts.admin.get(f"{HYPERVISORS}/kvm/search").body["hypervisors"]
    assert [each["hypervisor_hostname"] for each in found] == ["kvm-1", "kvm-2"]
    assert hosts.admin.get(f"{HYPERVISORS}/%25/search").status == 404
    admin = at(hosts.admin, "2.53")
    found = admin.get(HYPERVISORS, hypervisor_hostname_pattern="cluster").body["hypervisors"]
    assert [each["hypervisor_hostname"] for each in found] == ["cluster.vc"]
    assert admin.get(f"{HYPERVISORS}/detail", hypervisor_hostname_pattern="nothing").status == 404
    assert admin.get(HYPERVISORS, hypervisor_hostname_pattern="kvm", limit=1).status == 400
    assert admin.get(f"{HYPERVISORS}/kvm/search").status == 404


def test_servers_are_shown_with_their_hypervisor(hosts: ApiCloud) -> None:
    with_servers = hosts.admin.get(f"{HYPERVISORS}/kvm-1/servers").body["hypervisors"][0]["servers"]
    assert [each["name"] for each in with_servers] == ["busy", "calm"]
    for version, on_empty in (("2.53", None), ("2.75", [])):
        listed = at(hosts.admin, version).get(f"{HYPERVISORS}/detail", with_servers="true").body["hypervisors"]
        by_name = {each["hypervisor_hostname"]: each.get("servers") for each in listed}
        assert [each["name"] for each in by_name["kvm-1"]] == ["busy", "calm"]
        assert by_name["kvm-2"] == on_empty
        assert _one(hosts, "kvm-1", version, with_servers="true")["servers"] == with_servers


def test_lists_come_in_pages_from_2_33_on(hosts: ApiCloud) -> None:
    for version in ("2.33", "2.53"):
        admin = at(hosts.admin, version)
        page = admin.get(HYPERVISORS, limit=2)
        assert len(page.body["hypervisors"]) == 2
        following = admin.get(page.body["hypervisors_links"][0]["href"].partition("cloud.test")[2])
        assert [each["hypervisor_hostname"] for each in following.body["hypervisors"]] == ["cluster.vc"]
        assert admin.get(HYPERVISORS, marker="nowhere").status == 400


def test_a_list_costs_the_same_however_long(hosts: ApiCloud) -> None:
    at(hosts.admin, "2.53").get(HYPERVISORS)  # the caller is looked up once
    before = at(hosts.admin, "2.53").get(f"{HYPERVISORS}/detail", with_servers="true").statements
    put(hosts.database, *(host(f"more-{number}") for number in range(20)))
    after = at(hosts.admin, "2.53").get(f"{HYPERVISORS}/detail", with_servers="true")
    assert len(after.body["hypervisors"]) == 23
    assert after.statements == before


def test_only_administrators_see_hypervisors(hosts: ApiCloud) -> None:
    for path in ("", "/detail", "/1", "/statistics", "/kvm/search", "/kvm/servers"):
        assert hosts.member.get(f"{HYPERVISORS}{path}").status == 403
