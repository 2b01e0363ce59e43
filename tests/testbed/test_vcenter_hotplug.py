"""A running guest of the test vCenter sees disks and network adapters come and go."""

from collections.abc import Iterator
from typing import Any

import pytest
from pyVmomi import vim

from testbed import guest
from testbed.vcenter import TestVcenter
from tests.testbed.vcenter_client import (
    BOOT_SECONDS,
    Client,
    added,
    connected,
    controller,
    disk,
    network_card,
    serial,
    until,
)

pytestmark = [pytest.mark.xdist_group("test-vcenter-hotplug"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with TestVcenter() as vcenter, connected(vcenter) as connection:
        yield connection


@pytest.fixture(scope="module")
def machine(client: Client) -> Any:
    """One running guest for all tests: it takes long to boot."""
    client.put(guest.build().vmdk, "images/upload.vmdk")
    client.copy_disk("images/upload.vmdk", "images/guest.vmdk")
    devices = [controller(), disk("images/guest.vmdk"), network_card(), serial("images/console.log")]
    running = client.create("running", *devices)
    client.wait(running.PowerOnVM_Task())
    log = client.folder / "images" / "console.log"
    until(lambda: log.exists() and "CLOUD-READY" in log.read_text(errors="replace"), "the guest is ready", BOOT_SECONDS)
    return running


def devices(machine: Any, kind: Any) -> list[Any]:
    return [one for one in machine.config.hardware.device if isinstance(one, kind)]


def change(client: Client, machine: Any, *changes: Any) -> None:
    client.wait(machine.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=list(changes))))


def removed(device: Any) -> Any:
    return vim.vm.device.VirtualDeviceSpec(operation="remove", device=device)


def test_a_disk_moves_from_one_running_machine_to_another(client: Client, machine: Any) -> None:
    spec = vim.VirtualDiskManager.FileBackedVirtualDiskSpec(diskType="thin", adapterType="lsiLogic", capacityKb=4096)
    client.wait(
        client.content.virtualDiskManager.CreateVirtualDisk_Task("[datastore1] volume.vmdk", client.datacenter, spec)
    )
    other = client.create("other", controller(), disk(size_kib=1024))
    client.wait(other.PowerOnVM_Task())
    for holder in (machine, other):
        [bus] = devices(holder, vim.vm.device.ParaVirtualSCSIController)
        change(client, holder, added(disk("volume.vmdk", at=bus.key, unit=1)))
        [plugged] = [one for one in devices(holder, vim.vm.device.VirtualDisk) if one.unitNumber == 1]
        assert plugged.capacityInKB == 4096
        thief = client.create("thief", controller(), disk("volume.vmdk"))
        assert isinstance(client.fault(thief.PowerOnVM_Task()), vim.fault.FileLocked)  # the guest has it open
        change(client, thief, removed(devices(thief, vim.vm.device.VirtualDisk)[0]))
        client.remove(thief)
        change(client, holder, removed(plugged))
    assert len(client.vcenter.guests()) == 2
    client.remove(other)


def test_a_disk_that_the_guest_does_not_take_is_not_in_its_machine(client: Client, machine: Any) -> None:
    client.put(guest.build().vmdk, "images/not-imported.vmdk")
    [bus] = devices(machine, vim.vm.device.ParaVirtualSCSIController)
    device = added(disk("images/not-imported.vmdk", at=bus.key, unit=2))
    fault = client.fault(machine.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[device])))
    assert isinstance(fault, vim.fault.GenericVmConfigFault)
    assert [one.unitNumber for one in devices(machine, vim.vm.device.VirtualDisk)] == [0]
    assert (client.folder / "images" / "not-imported.vmdk").exists()


def test_a_network_adapter_comes_and_goes(client: Client, machine: Any) -> None:
    change(client, machine, added(network_card(mac="fa:16:3e:00:00:02")))
    cards = devices(machine, vim.vm.device.VirtualEthernetCard)
    assert [one.macAddress for one in cards] == ["fa:16:3e:00:00:01", "fa:16:3e:00:00:02"]
    change(client, machine, removed(cards[1]))
    assert [one.macAddress for one in devices(machine, vim.vm.device.VirtualEthernetCard)] == ["fa:16:3e:00:00:01"]
    change(client, machine, added(network_card(mac="fa:16:3e:00:00:03")))  # its key is free again
    assert machine.runtime.powerState == "poweredOn"
