"""A VM of the test vCenter that is powered on is a QEMU that runs what its disk holds."""

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from pyVmomi import vim

from polyvisor.hypervisor.config_drive import build_image
from testbed import guest
from testbed.vcenter import TestVcenter
from tests.testbed.vcenter_client import (
    BOOT_SECONDS,
    Client,
    cdrom,
    connected,
    controller,
    disk,
    network_card,
    serial,
    until,
)

pytestmark = [pytest.mark.xdist_group("test-vcenter-guests"), pytest.mark.timeout(600)]

IDE_KEY = 200  # the first of the two IDE controllers that every VM has


@pytest.fixture(scope="module")
def vcenter() -> Iterator[TestVcenter]:
    with TestVcenter() as running:
        yield running


@pytest.fixture
def client(vcenter: TestVcenter) -> Iterator[Client]:
    with connected(vcenter) as connection:
        yield connection
        for machine in list(connection.datacenter.vmFolder.childEntity):
            connection.remove(machine)


@pytest.fixture(scope="module")
def image(vcenter: TestVcenter) -> str:
    """The guest image as a disk to clone from, once for all tests."""
    with connected(vcenter) as client:
        client.put(guest.build().vmdk, "images/upload.vmdk")
        client.copy_disk("images/upload.vmdk", "images/guest.vmdk")
    return "images/guest.vmdk"


def console(client: Client, name: str) -> str:
    log = client.folder / name / "console.log"
    return log.read_text(errors="replace") if log.exists() else ""


def bootable(client: Client, name: str, image: str, *more: Any) -> Any:
    client.content.fileManager.MakeDirectory(f"[datastore1] {name}", client.datacenter, createParentDirectories=True)
    client.copy_disk(image, f"{name}/{name}.vmdk")
    devices = [controller(), disk(f"{name}/{name}.vmdk"), network_card(), serial(f"{name}/console.log"), *more]
    machine = client.create(name, *devices, uuid="564d1b3c-1f6e-4f5a-8b0e-6c1d2a3b4c5d")
    client.wait(machine.PowerOnVM_Task())
    return machine


def await_ready(client: Client, name: str) -> str:
    text: str = until(
        lambda: next((line for line in console(client, name).splitlines() if "CLOUD-READY" in line), None),
        f"the guest of {name} is ready", BOOT_SECONDS,
    )  # fmt: skip
    return text


def test_a_guest_boots_reads_its_config_drive_and_shuts_down_when_asked(client: Client, image: str) -> None:
    metadata = {"uuid": "7b0f2a8e-6d0c-4b2b-9f0e-1d5a3c7b9e11", "hostname": "from-the-drive", "name": "booted"}
    drive = build_image({"openstack/latest/meta_data.json": json.dumps(metadata).encode()})
    assert client.http("PUT", "images/drive.iso", data=drive).ok
    machine = bootable(client, "booted", image, cdrom("images/drive.iso"))
    assert "host=from-the-drive" in await_ready(client, "booted")
    assert machine.guest.toolsRunningStatus == "guestToolsRunning"

    machine.ShutdownGuest()
    until(lambda: machine.runtime.powerState == "poweredOff", "the guest has shut down", BOOT_SECONDS)
    assert client.vcenter.guests() == {}
    assert machine.guest.toolsRunningStatus == "guestToolsNotRunning"


def test_a_reboot_starts_the_guest_anew(client: Client, image: str) -> None:
    machine = bootable(client, "again", image)
    await_ready(client, "again")
    [pid] = client.vcenter.guests().values()
    machine.RebootGuest()
    until(lambda: console(client, "again").count("CLOUD-READY") == 2, "the guest is ready again", BOOT_SECONDS)
    assert list(client.vcenter.guests().values()) == [pid]
    assert machine.runtime.powerState == "poweredOn"


def blank(client: Client, name: str = "blank", *devices: Any, **fields: Any) -> Any:
    """A VM without an operating system, which its firmware keeps busy."""
    return client.create(name, *(devices or (controller(), disk(size_kib=1024))), **fields)


def test_power_is_a_process(client: Client) -> None:
    machine = blank(client)
    client.wait(machine.PowerOnVM_Task())
    [(vm, pid)] = client.vcenter.guests().items()
    assert vm == machine._moId
    assert isinstance(client.fault(machine.PowerOnVM_Task()), vim.fault.InvalidPowerState)
    assert isinstance(client.fault(machine.Destroy_Task()), vim.fault.InvalidPowerState)
    client.wait(machine.ResetVM_Task())
    assert client.vcenter.guests() == {vm: pid}
    client.wait(machine.PowerOffVM_Task())
    assert client.vcenter.guests() == {}
    assert isinstance(client.fault(machine.PowerOffVM_Task()), vim.fault.InvalidPowerState)


def test_a_suspended_guest_stands_still_and_goes_on(client: Client, image: str) -> None:
    machine = bootable(client, "resting", image)
    [pid] = client.vcenter.guests().values()
    client.wait(machine.SuspendVM_Task())
    assert machine.runtime.powerState == "suspended"
    assert list(client.vcenter.guests().values()) == [pid]
    assert isinstance(client.fault(machine.SuspendVM_Task()), vim.fault.InvalidPowerState)
    client.wait(machine.PowerOnVM_Task())
    await_ready(client, "resting")
    assert console(client, "resting").count("CLOUD-READY") == 1  # it went on where it was


def test_a_guest_that_dies_is_seen_to_be_off(client: Client) -> None:
    machine = blank(client)
    client.wait(machine.PowerOnVM_Task())
    [pid] = client.vcenter.guests().values()
    os.kill(pid, signal.SIGKILL)
    until(lambda: machine.runtime.powerState == "poweredOff", "the VM is seen to be off")


CONTROLLERS = [
    vim.vm.device.ParaVirtualSCSIController,
    vim.vm.device.VirtualLsiLogicController,
    vim.vm.device.VirtualLsiLogicSASController,
    vim.vm.device.VirtualBusLogicController,
]


@pytest.mark.parametrize("kind", CONTROLLERS, ids=lambda kind: kind.__name__.rpartition(".")[2])
def test_every_scsi_controller_takes_disks(client: Client, kind: Any) -> None:
    machine = blank(client, "disks", controller(kind), disk(size_kib=1024), disk(size_kib=1024, unit=1))
    client.wait(machine.PowerOnVM_Task())
    assert len(client.vcenter.guests()) == 1


@pytest.mark.parametrize("kind", ["VirtualAHCIController", "VirtualNVMEController", None], ids=["AHCI", "NVMe", "IDE"])
def test_the_other_controllers_take_disks(client: Client, kind: str | None) -> None:
    if kind is None:
        machine = blank(client, "disks", disk(size_kib=1024, at=IDE_KEY), disk(size_kib=1024, at=IDE_KEY, unit=1))
    else:
        host = getattr(vim.vm.device, kind)(key=-1, busNumber=0)
        machine = blank(client, "disks", host, disk(size_kib=1024), disk(size_kib=1024, unit=1))
    client.wait(machine.PowerOnVM_Task())
    assert len(client.vcenter.guests()) == 1


@pytest.mark.parametrize("kind", ["VirtualVmxnet3", "VirtualE1000", "VirtualE1000e", "VirtualPCNet32"])
def test_every_network_adapter_is_there(client: Client, kind: str) -> None:
    machine = blank(client, "plugged", controller(), disk(size_kib=1024), network_card(getattr(vim.vm.device, kind)))
    client.wait(machine.PowerOnVM_Task())
    assert len(client.vcenter.guests()) == 1


def test_uefi_firmware_runs_too(client: Client) -> None:
    machine = blank(client, "uefi", controller(), disk(size_kib=1024), firmware="efi")
    client.wait(machine.PowerOnVM_Task())
    assert len(client.vcenter.guests()) == 1


def test_a_disk_that_was_not_imported_cannot_be_run_from(client: Client) -> None:
    client.put(guest.build().vmdk, "images/raw-upload.vmdk")
    machine = blank(client, "early", controller(), disk("images/raw-upload.vmdk"))
    fault = client.fault(machine.PowerOnVM_Task())
    assert isinstance(fault, vim.fault.GenericVmConfigFault)
    assert "imported" in fault.msg
    assert machine.runtime.powerState == "poweredOff"
    assert client.vcenter.guests() == {}


def test_two_machines_cannot_run_from_one_disk(client: Client, image: str) -> None:
    first = blank(client, "first", controller(), disk(image))
    second = blank(client, "second", controller(), disk(image))
    client.wait(first.PowerOnVM_Task())
    assert isinstance(client.fault(second.PowerOnVM_Task()), vim.fault.FileLocked)
    client.wait(first.PowerOffVM_Task())
    for machine in (first, second):  # the image is no machine's own: take it out before it goes with them
        [device] = [one for one in machine.config.hardware.device if isinstance(one, vim.vm.device.VirtualDisk)]
        change = vim.vm.device.VirtualDeviceSpec(operation="remove", device=device)
        client.wait(machine.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[change])))


def test_a_missing_disc_is_said(client: Client) -> None:
    machine = blank(client, "discless", controller(), disk(size_kib=1024), cdrom("images/none.iso"))
    assert isinstance(client.fault(machine.PowerOnVM_Task()), vim.fault.FileNotFound)


def test_a_disk_grows_under_a_running_guest(client: Client) -> None:
    machine = blank(client, "growing", controller(), disk(size_kib=1024))
    client.wait(machine.PowerOnVM_Task())
    [device] = [one for one in machine.config.hardware.device if isinstance(one, vim.vm.device.VirtualDisk)]
    device.capacityInKB, device.capacityInBytes = 4096, 4096 << 10
    change = vim.vm.device.VirtualDeviceSpec(operation="edit", device=device)
    client.wait(machine.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[change])))
    assert (client.folder / "growing" / "growing-flat.vmdk").stat().st_size == 4096 << 10
    assert machine.runtime.powerState == "poweredOn"


def test_without_tools_nobody_asks_the_guest() -> None:
    with TestVcenter(tools=False) as vcenter, connected(vcenter) as client:
        machine = blank(client)
        client.wait(machine.PowerOnVM_Task())
        with pytest.raises(vim.fault.ToolsUnavailable):
            machine.ShutdownGuest()
        assert machine.guest.toolsStatus == "toolsNotInstalled"


def test_many_machines_are_powered_on_at_once(client: Client) -> None:
    machines = [blank(client, f"many{number}") for number in range(3)]
    result = client.wait(client.datacenter.PowerOnMultiVM_Task(machines))
    for attempted in result.attempted:
        client.wait(attempted.task)
    assert len(client.vcenter.guests()) == 3
