"""The estates that the test vCenter can be, and what moves in them by itself."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from pyVmomi import vim

from testbed.vcenter import TestVcenter
from tests.testbed.vcenter_client import Client, connected, controller, disk, machine_spec, until

pytestmark = pytest.mark.xdist_group("test-vcenter-estate")


@pytest.fixture(scope="module")
def vcenter() -> Iterator[TestVcenter]:
    with TestVcenter(clusters=2, hosts=3, port_groups=2, host_cpus=8, host_memory_mib=16384) as running:
        yield running


@pytest.fixture
def client(vcenter: TestVcenter) -> Iterator[Client]:
    with connected(vcenter) as connection:
        yield connection
        for machine in list(connection.datacenter.vmFolder.childEntity):
            connection.remove(machine)
        for host in connection.compute.host:
            connection.admin("POST", "host-return", params={"host": host.name})


def running(client: Client, name: str = "mover") -> Any:
    machine = client.create(name, controller(), disk(size_kib=1024))
    client.wait(machine.PowerOnVM_Task())
    return machine


def test_the_estate_is_what_the_options_say(client: Client) -> None:
    clusters = client.datacenter.hostFolder.childEntity
    assert [len(one.host) for one in clusters] == [3, 3]
    for cluster in clusters:
        settings = cluster.configurationEx
        assert (settings.drsConfig.enabled, str(settings.drsConfig.defaultVmBehavior)) == (True, "fullyAutomated")
        assert settings.dasConfig.enabled
        assert (cluster.summary.totalMemory, cluster.summary.effectiveMemory) == (3 * 16384 << 20, 3 * 16384)
        assert cluster.summary.numCpuThreads == 24
        for host in cluster.host:
            assert (host.summary.hardware.memorySize, host.summary.hardware.numCpuThreads) == (16384 << 20, 8)
            assert host.summary.config.vmotionEnabled
            assert host.config.virtualNicManagerInfo.netConfig
    [store] = client.datacenter.datastore
    assert (store.summary.type, store.summary.multipleHostAccess, len(store.host)) == ("VMFS", True, 6)
    groups = [one.name for one in client.datacenter.network if isinstance(one, vim.dvs.DistributedVirtualPortgroup)]
    assert {"DC0_DVPG0", "DC0_DVPG1"} < set(groups)


@pytest.mark.parametrize("behaviour", ["off", "manual", "partiallyAutomated"])
def test_drs_can_be_less_than_fully_automated(behaviour: str) -> None:
    with TestVcenter(drs=behaviour, ha=False, vmotion=False) as vcenter, connected(vcenter) as client:
        settings = client.compute.configurationEx
        assert settings.drsConfig.enabled is (behaviour != "off")
        assert behaviour in ("off", str(settings.drsConfig.defaultVmBehavior))
        assert not settings.dasConfig.enabled
        assert not any(host.summary.config.vmotionEnabled for host in client.compute.host)
        [chosen] = {tuple(one.selectedVnic) for host in client.compute.host
                    for one in host.config.virtualNicManagerInfo.netConfig if one.nicType == "vmotion"}  # fmt: skip
        assert chosen == ()


def test_hosts_can_have_nothing_but_storage_of_their_own() -> None:
    with TestVcenter(no_shared_storage=True) as vcenter, connected(vcenter) as client:
        stores = client.datacenter.datastore
        assert [one.summary.multipleHostAccess for one in stores] == [False, False]
        assert [len(one.host) for one in stores] == [1, 1]


def test_one_esxi_host_stands_without_vcenter(tmp_path: Path) -> None:
    image = tmp_path / "image.vmdk"
    command = ["qemu-img", "create", "-q", "-f", "vmdk", "-o", "subformat=streamOptimized", str(image), "4M"]
    subprocess.run(command, check=True)
    with TestVcenter(esx=True) as vcenter, connected(vcenter) as client:
        assert client.content.about.apiType == "HostAgent"
        client.put(image, "image.vmdk")
        manager = client.content.virtualDiskManager
        client.wait(manager.CopyVirtualDisk_Task("[datastore1] image.vmdk", None, "[datastore1] disk.vmdk", None))
        machine = client.create("direct", controller(), disk("disk.vmdk"))
        client.wait(machine.PowerOnVM_Task())
        assert len(vcenter.guests()) == 1
        assert machine.runtime.host == client.compute.host[0]
        client.remove(machine)
        assert vcenter.guests() == {}
        assert [path.name for path in client.folder.iterdir()] == ["image.vmdk"]


def test_an_esxi_host_leaves_its_name_out_of_import_urls(tmp_path: Path) -> None:
    image = tmp_path / "image.vmdk"
    command = ["qemu-img", "create", "-q", "-f", "vmdk", "-o", "subformat=streamOptimized", str(image), "4M"]
    subprocess.run(command, check=True)
    with TestVcenter(esx=True) as vcenter, connected(vcenter) as client:
        spec = vim.vm.VmImportSpec(configSpec=machine_spec("imported", controller(), disk(size_kib=4096)))
        lease = client.compute.resourcePool.ImportVApp(spec, client.datacenter.vmFolder)
        until(lambda: lease.state == "ready", "the lease is ready")
        [url] = [one.url for one in lease.info.deviceUrl]
        assert url.startswith("https://*")
        url = url.replace("*", "127.0.0.1")
        assert requests.put(url, data=image.read_bytes(), verify=str(vcenter.cert_path), timeout=60).ok
        lease.HttpNfcLeaseComplete()
        client.wait(lease_machine(client).PowerOnVM_Task())
        assert len(vcenter.guests()) == 1


def lease_machine(client: Client) -> Any:
    [machine] = client.datacenter.vmFolder.childEntity
    return machine


def test_a_new_machine_goes_where_memory_is_left(client: Client) -> None:
    placed = [running(client, f"spread{number}").runtime.host.name for number in range(3)]
    assert len(set(placed)) == 3


def test_a_running_machine_moves_and_its_guest_runs_on(client: Client) -> None:
    machine = running(client)
    guests = client.vcenter.guests()
    target = next(host for host in client.compute.host if host != machine.runtime.host)
    client.wait(machine.MigrateVM_Task(None, target, "defaultPriority", "poweredOn"))
    assert (machine.runtime.host, machine.summary.runtime.host) == (target, target)
    assert [one.name for one in target.vm] == ["mover"]
    third = next(host for host in client.compute.host if host not in (target, machine.runtime.host))
    client.wait(machine.RelocateVM_Task(vim.vm.RelocateSpec(host=third)))
    assert machine.runtime.host == third
    assert client.vcenter.guests() == guests


def test_drs_can_be_played(client: Client) -> None:
    machine = running(client)
    target = next(host for host in client.compute.host if host != machine.runtime.host)
    answer = client.admin("POST", "migrate", params={"vm": machine._moId, "host": target.name})
    assert answer.status_code == 200, answer.text
    assert machine.runtime.host == target


def test_without_vmotion_a_running_machine_stays() -> None:
    with TestVcenter(vmotion=False) as vcenter, connected(vcenter) as client:
        machine = running(client)
        target = next(host for host in client.compute.host if host != machine.runtime.host)
        fault = client.fault(machine.MigrateVM_Task(None, target, "defaultPriority"))
        assert isinstance(fault, vim.fault.VMotionNotConfigured)
        client.wait(machine.PowerOffVM_Task())
        client.wait(machine.MigrateVM_Task(None, target, "defaultPriority"))
        assert machine.runtime.host == target


def test_maintenance_empties_a_host(client: Client) -> None:
    machine = running(client)
    host = machine.runtime.host
    client.wait(host.EnterMaintenanceMode_Task(0))
    assert host.runtime.inMaintenanceMode
    assert machine.runtime.host != host
    client.wait(host.ExitMaintenanceMode_Task(0))
    assert not host.runtime.inMaintenanceMode


def test_ha_restarts_the_machines_of_a_host_that_fails(client: Client) -> None:
    machine = running(client)
    host, guests = machine.runtime.host, client.vcenter.guests()
    assert client.admin("POST", "host-failure", params={"host": host.name}).status_code == 200
    until(lambda: machine.runtime.powerState == "poweredOn", "HA has restarted the machine")
    assert machine.runtime.host != host
    assert host.runtime.connectionState == "notResponding"
    assert set(client.vcenter.guests()) == set(guests)
    assert client.vcenter.guests() != guests


def test_without_ha_they_stay_off() -> None:
    with TestVcenter(ha=False) as vcenter, connected(vcenter) as client:
        machine = running(client)
        client.admin("POST", "host-failure", params={"host": machine.runtime.host.name})
        assert machine.runtime.powerState == "poweredOff"
        assert vcenter.guests() == {}


def test_two_clusters_are_two_places(client: Client) -> None:
    first, second = client.datacenter.hostFolder.childEntity
    machine = running(client)
    assert machine.runtime.host in list(first.host)
    client.wait(machine.RelocateVM_Task(vim.vm.RelocateSpec(pool=second.resourcePool)))
    assert machine.runtime.host in list(second.host)
    assert machine.resourcePool == second.resourcePool
