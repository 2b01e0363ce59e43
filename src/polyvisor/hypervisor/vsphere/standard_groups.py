"""Port groups on the standard switches of a direct ESXi host: one for each network, known by its name."""

import contextlib
import logging
from typing import Any

from pyVmomi import vim, vmodl

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.hypervisor.vsphere.inventory import Cluster
from polyvisor.hypervisor.vsphere.port_group import (
    Wanted,
    key_of_name,
    standard_as_wanted,
    standard_name,
    standard_specification,
)
from polyvisor.hypervisor.vsphere.properties import read, sweep
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.hypervisor.vsphere.switches import Switch, Switches

log = logging.getLogger(__name__)
_IS_THERE = (vim.fault.AlreadyExists, vim.fault.DuplicateName)


class StandardGroups:
    """The port groups of one direct ESXi host."""

    def __init__(self, session: Session, switches: Switches, cloud_id: str) -> None:
        self._session, self._switches, self._cloud_id = session, switches, cloud_id

    def ensure(self, switch: Switch, wanted: Wanted) -> Any:
        """The backing of a card on the network's port group, which is made where it is missing, and put right where
        someone changed it."""
        found = self._ours(switch, wanted)
        if found is None:
            name = standard_name(wanted, self._cloud_id)
            with contextlib.suppress(*_IS_THERE):  # another of us has made it just now
                switch.reference.AddPortGroup(standard_specification(wanted, name, switch.title))
            return _backing(name)
        if not standard_as_wanted(found, wanted, switch.title):
            log.warning("the port group %s was changed on the host; it is put right", found.name)
            switch.reference.UpdatePortGroup(found.name, standard_specification(wanted, found.name, switch.title))
        return _backing(found.name)

    def _ours(self, switch: Switch, wanted: Wanted) -> Any:
        """Its specification; a network that was renamed has the port group it had."""
        for spec in self._specifications(switch.reference):
            if key_of_name(spec.name, self._cloud_id) == wanted.key:
                return spec
        return None

    def _specifications(self, system: Any) -> list[Any]:
        found = (read(self._session, system, ["networkInfo.portgroup"]) or {}).get("networkInfo.portgroup", ())
        return sorted((each.spec for each in found), key=lambda spec: str(spec.name))

    def adopted(self, switch: Switch, name: str, vlan: int) -> Any:
        """The backing of a card on the port group of this name; None where this switch has none, or one of another
        VLAN."""
        for spec in self._specifications(switch.reference):
            if (spec.name, spec.vswitchName, spec.vlanId) == (name, switch.title, vlan):
                return _backing(name)
        return None

    def ours(self) -> list[Any]:
        """The port groups of this cloud."""
        found = sweep(self._session, self._session.content.rootFolder, {vim.Network: ["name"]})[vim.Network]
        return [network for network, props in found if key_of_name(props.get("name", ""), self._cloud_id) is not None]

    def unused(self, network: Any) -> str | None:
        """The key of a port group that this cloud made, and that no VM uses; else None."""
        props = read(self._session, network, ["name", "vm"]) or {}
        return None if props.get("vm") else key_of_name(props.get("name", ""), self._cloud_id)

    def remove(self, cluster: Cluster, network: Any) -> None:
        """Remove a port group. One that is in use after all stays."""
        name = (read(self._session, network, ["name"]) or {}).get("name")
        if name is None:
            return
        _, system = self._switches.network_system(cluster)
        try:
            system.RemovePortGroup(name)
        except (vim.fault.NotFound, vim.fault.ResourceInUse):
            return
        except (vmodl.MethodFault, HypervisorError) as fault:
            log.warning("the port group %s, which no VM uses, stays: %s", name, fault)


def _backing(name: str) -> Any:
    return vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName=name)
