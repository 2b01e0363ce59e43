"""A pyVmomi client of the test vCenter, with the few calls that its tests make over and over."""

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim, vmodl

from testbed.vcenter import TestVcenter

WAIT_SECONDS = 180.0
BOOT_SECONDS = 240.0  # a guest under emulation, on a busy machine


class TaskFailed(Exception):
    """A task ended with a fault."""

    def __init__(self, fault: Any) -> None:
        super().__init__(getattr(fault, "msg", str(fault)))
        self.fault = fault


def until(condition: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS) -> Any:
    """Wait until condition is true, and return what it returned."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.1)
    return value


class Client:
    """One session."""

    def __init__(self, vcenter: TestVcenter) -> None:
        self.vcenter = vcenter
        context = ssl.create_default_context(cafile=str(vcenter.cert_path))
        self.instance = SmartConnect(
            host="127.0.0.1", port=vcenter.port, user=vcenter.user, pwd=vcenter.password, sslContext=context
        )
        self.content = self.instance.content

    def close(self) -> None:
        """Log out."""
        Disconnect(self.instance)

    @property
    def datacenter(self) -> Any:
        """The first datacenter."""
        return self.content.rootFolder.childEntity[0]

    @property
    def compute(self) -> Any:
        """The first cluster, or the ESXi host's compute resource."""
        return self.datacenter.hostFolder.childEntity[0]

    @property
    def folder(self) -> Path:
        """Where the first datastore's files are on this machine."""
        return self.vcenter.data_dir / "datastores" / str(self.datacenter.name) / "datastore1"

    @property
    def cookie(self) -> dict[str, str]:
        """The session's cookie as a header."""
        return {"Cookie": self.instance._stub.cookie.partition(";")[0]}

    def wait(self, task: Any) -> Any:
        """The task's result; raises TaskFailed."""
        until(lambda: task.info.state in ("success", "error"), f"{task.info.descriptionId} ends")
        if task.info.state == "error":
            raise TaskFailed(task.info.error)
        return task.info.result

    def fault(self, task: Any) -> Any:
        """The fault that the task ends with."""
        try:
            self.wait(task)
        except TaskFailed as failed:
            return failed.fault
        raise AssertionError(f"{task.info.descriptionId} succeeded")

    def http(self, method: str, path: str, **more: Any) -> requests.Response:
        """A request to the datastores, with the session's cookie."""
        more.setdefault("headers", self.cookie)
        parameters = {"dcPath": self.datacenter.name, "dsName": "datastore1"}
        return requests.request(
            method, f"https://{self.vcenter.host}/folder/{path}", params=parameters,
            verify=str(self.vcenter.cert_path), timeout=WAIT_SECONDS, **more,
        )  # fmt: skip

    def admin(self, method: str, path: str, **more: Any) -> requests.Response:
        """A request behind the API, to /polyvisor-test/PATH."""
        return requests.request(
            method, f"https://{self.vcenter.host}/polyvisor-test/{path}",
            auth=(self.vcenter.user, self.vcenter.password),
            verify=str(self.vcenter.cert_path), timeout=WAIT_SECONDS, **more,
        )  # fmt: skip

    def inject(self, method: str, action: str, **more: Any) -> None:
        """Ask for trouble."""
        answer = self.admin("POST", "faults", json={"method": method, "action": action, **more})
        assert answer.status_code == 200, answer.text

    def put(self, source: Path, name: str) -> None:
        """Upload a file to the first datastore."""
        with source.open("rb") as data:
            assert self.http("PUT", name, data=data).status_code in (200, 201)

    def copy_disk(self, source: str, target: str, kind: str = "thin") -> None:
        """Copy a disk within the first datastore."""
        spec = vim.VirtualDiskManager.FileBackedVirtualDiskSpec(diskType=kind, adapterType="lsiLogic", capacityKb=0)
        manager = self.content.virtualDiskManager
        path = "[datastore1] {}".format
        self.wait(
            manager.CopyVirtualDisk_Task(
                path(source), self.datacenter, path(target), self.datacenter, spec, force=False
            )
        )

    def create(self, name: str, *devices: Any, folder: Any = None, **fields: Any) -> Any:
        """Create a VM of 128 MiB on the first datastore."""
        spec = machine_spec(name, *devices, **fields)
        return self.wait((folder or self.datacenter.vmFolder).CreateVM_Task(spec, self.compute.resourcePool))

    def remove(self, machine: Any) -> None:
        """Power off and destroy."""
        if machine.runtime.powerState != "poweredOff":
            self.wait(machine.PowerOffVM_Task())
        self.wait(machine.Destroy_Task())

    def read(self, thing: Any, *paths: str) -> dict[str, Any]:
        """Properties of an object, in one call."""
        collector = vmodl.query.PropertyCollector
        spec = collector.FilterSpec(
            objectSet=[collector.ObjectSpec(obj=thing)],
            propSet=[collector.PropertySpec(type=type(thing), pathSet=list(paths), all=not paths)],
        )
        found = self.content.propertyCollector.RetrievePropertiesEx([spec], collector.RetrieveOptions())
        return {one.name: one.val for one in found.objects[0].propSet}


@contextmanager
def connected(vcenter: TestVcenter) -> Iterator[Client]:
    """A client for the block."""
    client = Client(vcenter)
    try:
        yield client
    finally:
        client.close()


def machine_spec(name: str, *devices: Any, datastore: str = "datastore1", **fields: Any) -> Any:
    """The specification of a VM with these devices."""
    given = {"memoryMB": 128, "numCPUs": 1, "guestId": "otherLinux64Guest", **fields}
    return vim.vm.ConfigSpec(
        name=name,
        files=vim.vm.FileInfo(vmPathName=f"[{datastore}]"),
        deviceChange=[added(one) for one in devices],
        **given,
    )


def added(device: Any) -> Any:
    """A device change; a disk that has a size and no file yet is created."""
    change: Any = vim.vm.device.VirtualDeviceSpec(operation="add", device=device)
    if isinstance(device, vim.vm.device.VirtualDisk) and not file_of(device).endswith(".vmdk"):
        change.fileOperation = "create"
    return change


def file_of(device: Any) -> str:
    """The datastore path of a device's file."""
    return str(device.backing.fileName)


def controller(kind: Any = vim.vm.device.ParaVirtualSCSIController, key: int = -1) -> Any:
    """A SCSI controller."""
    return kind(key=key, busNumber=0, sharedBus="noSharing")


def disk(file: str = "", *, size_kib: int = 98304, thin: bool = True, at: int = -1, unit: int = 0, **more: Any) -> Any:
    """A disk on the controller with the key `at`: the file on datastore1, or a new one."""
    backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
        fileName=f"[datastore1] {file}".strip(), diskMode="persistent", thinProvisioned=thin, **more
    )
    return vim.vm.device.VirtualDisk(
        key=-10 - unit, controllerKey=at, unitNumber=unit, capacityInKB=size_kib, backing=backing
    )


def serial(file: str) -> Any:
    """A serial port that writes to a file on datastore1."""
    backing = vim.vm.device.VirtualSerialPort.FileBackingInfo(fileName=f"[datastore1] {file}")
    return vim.vm.device.VirtualSerialPort(key=-30, yieldOnPoll=True, backing=backing)


def network_card(
    kind: Any = vim.vm.device.VirtualVmxnet3, network: str = "VM Network", mac: str = "fa:16:3e:00:00:01"
) -> Any:
    """A network adapter on a standard network."""
    backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName=network)
    return kind(key=-40, backing=backing, macAddress=mac, addressType="manual")


def cdrom(file: str) -> Any:
    """A disc on the second IDE channel, which every VM has."""
    backing = vim.vm.device.VirtualCdrom.IsoBackingInfo(fileName=f"[datastore1] {file}")
    connectable = vim.vm.device.VirtualDevice.ConnectInfo(startConnected=True, connected=True, allowGuestControl=True)
    return vim.vm.device.VirtualCdrom(
        key=-50, controllerKey=201, unitNumber=0, backing=backing, connectable=connectable
    )
