"""The vSphere driver on the test vCenter, whose VMs are real QEMU guests, for the conformance suite."""

import shutil
import tempfile
import uuid
from pathlib import Path
from typing import Any

from pyVmomi import vim

from polyvisor.hypervisor.driver import Driver
from polyvisor.hypervisor.vsphere.driver import VsphereDriver
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.hypervisor.vsphere.settings import VsphereSettings
from polyvisor.model.network import NetworkType, SegmentRef
from polyvisor.model.power import Power
from testbed.guest import build
from testbed.vcenter import TestVcenter
from tests.hypervisor.conformance import CLOUD_ID, Bed

from .kit import Person

PLACE = "vc1"
PHYSICAL = "physnet1"


class VsphereBed(Bed):
    """A vCenter with one cluster of two ESXi hosts and one shared datastore."""

    kind = "vsphere"
    esx = False
    switch = "DC0_DVS0"

    def __init__(self) -> None:
        self.vcenter = TestVcenter(esx=self.esx)
        self._state = Path(tempfile.mkdtemp(prefix="pv-vsphere-"))

    def __enter__(self) -> "VsphereBed":
        self.vcenter.__enter__()
        self._person = Person(Session(_settings(self.recipe)), self.vcenter)
        return self

    def __exit__(self, *exception: Any) -> None:
        self._person.session.close()
        self.vcenter.__exit__(*exception)
        shutil.rmtree(self._state, ignore_errors=True)

    @property
    def recipe(self) -> dict[str, Any]:
        vcenter = self.vcenter
        return {
            "host": vcenter.host, "user": vcenter.user, "password": vcenter.password,
            "thumbprint": vcenter.thumbprint_sha256, "state_dir": str(self._state), "switches": {PHYSICAL: self.switch},
        }  # fmt: skip

    @staticmethod
    def connect(recipe: dict[str, Any]) -> Driver:
        return VsphereDriver(PLACE, _settings(recipe), CLOUD_ID, Path(recipe["state_dir"]))

    @property
    def image_file(self) -> Path:
        return build().qcow2

    @property
    def image_format(self) -> str:
        return "qcow2"

    def traces(self) -> set[str]:
        files = {path for path in self._person.files() if "polyvisor-images" not in path}
        vms = {f"vm {props['name']}" for _, props in self._person.all(vim.VirtualMachine)}
        folders = {f"folder {props['name']}" for _, props in self._person.all(vim.Folder)}
        running = {f"guest {vm}" for vm in self.vcenter.guests()}
        networks = {f"network {props['name']}" for _, props in self._person.all(vim.Network)}
        return files | vms | (folders - {"folder polyvisor"}) | running | networks

    def plant_foreign(self) -> str:
        guest_id = str(uuid.uuid4())
        vm = self._person.make_vm(f"somebody else's {guest_id[:8]}", instanceUuid=guest_id)
        self._person.do(vm.PowerOn)
        return guest_id

    def foreign_state(self, guest_id: str) -> str:
        vm = self._person.vm(guest_id)
        paths = ("name", "parent", "runtime.powerState", "runtime.bootTime", "config.changeVersion", "config.uuid")
        return repr([self._person.get(vm, path) for path in paths])

    def remove_foreign(self, guest_id: str) -> None:
        vm = self._person.vm(guest_id)
        if self._person.get(vm, "runtime.powerState") == "poweredOn":
            self._person.do(vm.PowerOff)
        self._person.do(vm.Destroy)

    def change_power(self, driver: Driver, server_id: str, power: Power) -> None:
        vm = self._person.vm(server_id)
        self._person.do(vm.PowerOn if power is Power.ON else vm.PowerOff)

    def vanish(self, driver: Driver, server_id: str) -> None:
        vm = self._person.vm(server_id)
        if self._person.get(vm, "runtime.powerState") == "poweredOn":
            self._person.do(vm.PowerOff)
        vm.Unregister()

    @property
    def segment(self) -> SegmentRef:
        return SegmentRef(network_type=NetworkType.VLAN, physical_network=PHYSICAL, segmentation_id=100)

    def plugged(self, driver: Driver, server_id: str) -> list[str]:
        devices = self._person.get(self._person.vm(server_id), "config.hardware.device")
        return [str(device.macAddress) for device in devices if isinstance(device, vim.vm.device.VirtualEthernetCard)]

    def kill(self, driver: Driver) -> None:
        self.vcenter.kill()

    def revive(self, driver: Driver) -> None:
        self.vcenter.restart()


class EsxiBed(VsphereBed):
    """One ESXi host without vCenter (H4)."""

    kind = "esxi"
    esx = True
    switch = "vSwitch0"
    most_moments = 12


def _settings(recipe: dict[str, Any]) -> VsphereSettings:
    return VsphereSettings(**{key: value for key, value in recipe.items() if key != "state_dir"})
