"""Hosts as old clients list and show them."""

from datetime import UTC, datetime

import pytest

from tests.api.cloud import ApiCloud
from tests.api.compute.conftest import at
from tests.api.compute.estate import host, put, server

HOSTS = "/compute/v2.1/os-hosts"


@pytest.fixture
def hosts(cloud: ApiCloud) -> ApiCloud:
    put(
        cloud.database,
        host("kvm-1", used_vcpus=4, used_memory_mib=1024, used_disk_gib=24, reserved_memory_mib=512),
        host("kvm-2", zone="a"),
        server("one", cloud.project_id("demo"), host="kvm-1"),
        server("two", cloud.project_id("other"), host="kvm-1"),
    )
    with cloud.database.write() as store:
        store.control.start("here", uuid="00000000-0000-4000-8000-000000000001", now=datetime.now(UTC))
    return cloud


def test_hosts_are_listed_by_zone_and_service(hosts: ApiCloud) -> None:
    everything = hosts.admin.get(HOSTS).body["hosts"]
    assert everything == [
        {"host_name": "kvm-1", "service": "compute", "zone": "nova"},
        {"host_name": "kvm-2", "service": "compute", "zone": "a"},
        {"host_name": "here", "service": "conductor", "zone": "internal"},
        {"host_name": "here", "service": "scheduler", "zone": "internal"},
    ]
    assert [each["host_name"] for each in hosts.admin.get(HOSTS, zone="a").body["hosts"]] == ["kvm-2"]
    assert hosts.admin.get(HOSTS, zone="").body["hosts"] == everything
    assert hosts.admin.get(HOSTS, zone="nowhere").body == {"hosts": []}
    assert len(hosts.admin.get(HOSTS, service="compute").body["hosts"]) == 2


def test_a_host_shows_who_uses_what(hosts: ApiCloud) -> None:
    rows = {row["resource"]["project"]: row["resource"] for row in hosts.admin.get(f"{HOSTS}/kvm-1").body["host"]}
    assert rows.keys() == {"(total)", "(used_now)", "(used_max)", hosts.project_id("demo"), hosts.project_id("other")}
    assert (rows["(total)"]["cpu"], rows["(total)"]["memory_mb"], rows["(total)"]["disk_gb"]) == (8, 16_384, 100)
    assert (rows["(used_now)"]["cpu"], rows["(used_now)"]["memory_mb"]) == (4, 1536)
    assert (rows["(used_max)"]["memory_mb"], rows["(used_max)"]["disk_gb"]) == (1024, 24)
    assert rows[hosts.project_id("demo")]["cpu"] == 2


def test_a_host_is_disabled_and_enabled(hosts: ApiCloud) -> None:
    off = hosts.admin.put(f"{HOSTS}/kvm-1", {"status": "disable"})
    assert off.body == {"host": "kvm-1", "status": "disabled"}
    [service] = hosts.admin.get("/compute/v2.1/os-services", host="kvm-1").body["services"]
    assert service["status"] == "disabled"
    assert hosts.admin.put(f"{HOSTS}/kvm-1", {"status": "enable"}).body["status"] == "enabled"


def test_what_cannot_be_done_to_a_host_is_told(hosts: ApiCloud) -> None:
    assert hosts.admin.put(f"{HOSTS}/kvm-1", {}).status == 400
    assert hosts.admin.put(f"{HOSTS}/kvm-1", {"status": "tired"}).status == 400
    assert hosts.admin.put(f"{HOSTS}/kvm-1", {"status": "enable", "color": "red"}).status == 400
    assert hosts.admin.put(f"{HOSTS}/nowhere", {"status": "enable"}).status == 404
    assert hosts.admin.put(f"{HOSTS}/kvm-1", {"maintenance_mode": "enable"}).status == 501
    for verb in ("startup", "shutdown", "reboot"):
        assert hosts.admin.get(f"{HOSTS}/kvm-1/{verb}").status == 501
        assert hosts.admin.get(f"{HOSTS}/nowhere/{verb}").status == 404
        assert hosts.member.get(f"{HOSTS}/kvm-1/{verb}").status == 403
    assert hosts.member.get(HOSTS).status == 403


def test_hosts_leave_with_2_43(hosts: ApiCloud) -> None:
    assert at(hosts.admin, "2.42").get(HOSTS).status == 200
    assert at(hosts.admin, "2.43").get(HOSTS).status == 404
