"""A place with networks: a test vCenter or ESXi host whose port groups and cards a test looks at."""

import contextlib
import uuid
from pathlib import Path
from typing import Any

from pyVmomi import vim

from polyvisor.hypervisor.driver import GuestSpec
from polyvisor.hypervisor.vsphere.driver import VsphereDriver
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.model.network import NetworkType, SegmentRef
from polyvisor.model.nic import Nic
from testbed.vcenter import TestVcenter

from .conftest import settings_for
from .kit import CLOUD, NO_IMAGES, Person, ignore, spec_of

SWITCH = {"vcenter": "DC0_DVS0", "esxi": "vSwitch0"}
PHYSICAL = "physnet1"


class Site:
    """A test vCenter or ESXi host, a person who works there, and drivers with any settings."""

    def __init__(self, kind: str, folder: Path, parts: contextlib.ExitStack, **options: Any) -> None:
        self.kind, self._folder, self._parts = kind, folder, parts
        self.vcenter = parts.enter_context(TestVcenter(esx=kind == "esxi", guests_die_with_me=True, **options))
        session = Session(settings_for(self.vcenter))
        parts.callback(session.close)
        self.person = Person(session, self.vcenter)
        self.driver = self.connect()
        self.host = self.driver.hosts()[0].name

    def connect(self, *, cloud_id: str = CLOUD, **changes: Any) -> VsphereDriver:
        """A driver for which PHYSICAL is mapped, unless told otherwise."""
        settings = settings_for(self.vcenter, **{"switches": {PHYSICAL: SWITCH[self.kind]}, **changes})
        driver = VsphereDriver("vc1", settings, cloud_id, self._folder / uuid.uuid4().hex)
        self._parts.callback(driver.close)
        return driver

    def make(self, *nics: Nic, driver: VsphereDriver | None = None, **changes: Any) -> GuestSpec:
        """A guest with these cards, off."""
        spec = spec_of(nics=nics, root_gib=0, **changes)
        (driver or self.driver).create(self.host, "", spec, NO_IMAGES, ignore)
        return spec

    def groups(self) -> dict[str, tuple[int | None, list[bool]]]:
        """Name → (VLAN; promiscuous, MAC changes, forged transmits) of the port groups that a test made."""
        found: dict[str, tuple[int | None, list[bool]]] = {}
        if self.kind == "esxi":
            for each in self.person.get(self.network_system, "networkInfo.portgroup"):
                security = each.spec.policy.security
                flags = [security and security.allowPromiscuous, security and security.macChanges]
                found[each.spec.name] = each.spec.vlanId, [*flags, security and security.forgedTransmits]
        for _, props in self.person.all(vim.dvs.DistributedVirtualPortgroup, "config.defaultPortConfig"):
            policy = props["config.defaultPortConfig"]
            security = policy.securityPolicy
            flags = [security.allowPromiscuous, security.macChanges, security.forgedTransmits] if security else []
            vlan = policy.vlan.vlanId if isinstance(policy.vlan.vlanId, int) else None
            found[props["name"]] = vlan, [flag.value for flag in flags]
        return {name: found[name] for name in found if name not in self.built}

    built: frozenset[str] = frozenset()
    """Names of the port groups that were there first."""

    @property
    def network_system(self) -> Any:
        (host, _), *_ = self.person.all(vim.HostSystem)
        return self.person.get(host, "configManager.networkSystem")

    def cards(self, spec: GuestSpec) -> list[Any]:
        """The guest's network adapters."""
        devices = self.person.get(self.person.vm(spec.server_id), "config.hardware.device")
        return [each for each in devices if isinstance(each, vim.vm.device.VirtualEthernetCard)]

    def network_of(self, card: Any) -> str:
        """The name of the port group that a card is plugged into."""
        if isinstance(card.backing, vim.vm.device.VirtualEthernetCard.NetworkBackingInfo):
            return str(card.backing.deviceName)
        groups = self.person.all(vim.dvs.DistributedVirtualPortgroup, "key", "config.distributedVirtualSwitch")
        (found,) = [props for _, props in groups if props["key"] == card.backing.port.portgroupKey]
        assert self.person.get(found["config.distributedVirtualSwitch"], "uuid") == card.backing.port.switchUuid
        return str(found["name"])

    def add_group(self, name: str, vlan: int) -> None:
        """Make a port group as a person would."""
        if self.kind == "esxi":
            spec = vim.host.PortGroup.Specification(
                name=name, vlanId=vlan, vswitchName="vSwitch0", policy=vim.host.NetworkPolicy()
            )
            self.network_system.AddPortGroup(spec)
            return
        dvs = vim.dvs.VmwareDistributedVirtualSwitch
        policy = dvs.VmwarePortConfigPolicy(vlan=dvs.VlanIdSpec(inherited=False, vlanId=vlan))
        group = vim.dvs.DistributedVirtualPortgroup.ConfigSpec(
            name=name, type="earlyBinding", numPorts=1, defaultPortConfig=policy
        )
        switch = self.person.named(vim.DistributedVirtualSwitch, "DC0_DVS0")
        self.person.do(lambda: switch.AddDVPortgroup_Task([group]))

    def remove_group(self, name: str) -> None:
        """Remove it as a person would."""
        if self.kind == "esxi":
            self.network_system.RemovePortGroup(name)
        else:
            self.person.do(self.person.named(vim.dvs.DistributedVirtualPortgroup, name).Destroy_Task)


def nic_of(*, vlan: int = 120, network_id: str = "", name: str = "private", **changes: Any) -> Nic:
    """A card on a VLAN network of its own."""
    given: dict[str, Any] = {
        "port_id": str(uuid.uuid4()), "network_id": network_id or str(uuid.uuid4()), "network_name": name,
        "project_id": "p", "mac_address": f"fa:16:3e:{uuid.uuid4().hex[:2]}:00:01", "mtu": 1500,
        "segment": SegmentRef(network_type=NetworkType.VLAN, physical_network=PHYSICAL, segmentation_id=vlan),
    }  # fmt: skip
    return Nic(**(given | changes))
