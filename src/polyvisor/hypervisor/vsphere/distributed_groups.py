"""Port groups on distributed switches: one for each network, found by its mark, made, put right and removed."""

import functools
import logging
from typing import Any
from urllib.parse import unquote

from pyVmomi import vim, vmodl

from polyvisor.hypervisor.driver import HypervisorError, Unreachable
from polyvisor.hypervisor.vsphere.inventory import Cluster
from polyvisor.hypervisor.vsphere.port_group import (
    Wanted,
    description,
    distributed_as_wanted,
    distributed_policy,
    key_of,
    names,
    vlan_of,
)
from polyvisor.hypervisor.vsphere.properties import Properties, read, sweep
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.hypervisor.vsphere.switches import Switch, network_folder
from polyvisor.hypervisor.vsphere.tasks import TaskFailed, finish

log = logging.getLogger(__name__)
_GROUP = ["name", "config.description", "config.distributedVirtualSwitch"]
_FIRST_PORTS = 8
_TASK_SECONDS = 120


class DistributedGroups:
    """The port groups of one connection's distributed switches."""

    def __init__(self, session: Session, cloud_id: str) -> None:
        self._session, self._cloud_id = session, cloud_id
        self._known: dict[tuple[str, str], Any] = {}  # by switch and key; looked at again before use

    @property
    def _filtered(self) -> bool:
        return self._session.settings.security_groups != "off"

    def ensure(self, cluster: Cluster, switch: Switch, wanted: Wanted) -> Any:
        """The backing of a card on the network's port group, which is made where it is missing, and put right where
        someone changed its VLAN or its security policy. Raises HypervisorError."""
        group = self._known_group(switch, wanted) or self._find(cluster, switch, wanted)
        if group is None:
            group = self._make(cluster, switch, wanted)
        else:
            self._put_right(group, wanted)
        self._known[switch.key, wanted.key] = group
        return self._backing(switch, group)

    def adopted(self, cluster: Cluster, switch: Switch, name: str, vlan: int) -> Any:
        """The backing of a card on the port group of this name; None where this switch has none, or one of another
        VLAN."""
        for group, props in self._all(cluster):
            if unquote(props.get("name", "")) == name and _is_on(props, switch):
                config = read(self._session, group, ["config.defaultPortConfig"]) or {}
                same = vlan_of(config.get("config.defaultPortConfig")) == vlan
                return self._backing(switch, group) if same else None
        return None

    def _all(self, cluster: Cluster) -> list[tuple[Any, Properties]]:
        kind = vim.dvs.DistributedVirtualPortgroup
        found = sweep(self._session, network_folder(self._session, cluster), {kind: _GROUP})[kind]
        return sorted(found, key=lambda each: str(each[0]._moId))

    def _known_group(self, switch: Switch, wanted: Wanted) -> Any:
        group = self._known.get((switch.key, wanted.key))
        props = read(self._session, group, _GROUP) if group is not None else None
        return group if props and self._is_ours(props, switch, wanted) else None

    def _find(self, cluster: Cluster, switch: Switch, wanted: Wanted) -> Any:
        found = (group for group, props in self._all(cluster) if self._is_ours(props, switch, wanted))
        return next(found, None)

    def _is_ours(self, props: Properties, switch: Switch, wanted: Wanted) -> bool:
        return _is_on(props, switch) and key_of(props.get("config.description", ""), self._cloud_id) == wanted.key

    def _make(self, cluster: Cluster, switch: Switch, wanted: Wanted) -> Any:
        """Make it. Where another has just made it, the name is taken, and that one is found by its mark."""
        for name in names(wanted):
            spec = _specification(wanted, name, self._cloud_id, filtered=self._filtered)
            try:
                finish(
                    self._session,
                    functools.partial(switch.reference.AddDVPortgroup_Task, [spec]),
                    f"make the port group {name} on {switch.title}",
                    within_seconds=_TASK_SECONDS,
                )
            except TaskFailed as failed:
                if not isinstance(failed.fault, vim.fault.DuplicateName | vim.fault.AlreadyExists):
                    raise
            group = self._find(cluster, switch, wanted)
            if group is not None:
                log.info("network %s has the port group %s on %s", wanted.network_id, name, switch.title)
                return group
        raise HypervisorError(
            f"The port group {names(wanted)[1]} at {self._session.host} is not this cloud's, and has the name that the "
            f"network {wanted.network_name} needs on {switch.title}. Rename or remove it in vCenter."
        )

    def _put_right(self, group: Any, wanted: Wanted) -> None:
        props = read(self._session, group, ["name", "config.defaultPortConfig", "config.configVersion"]) or {}
        if distributed_as_wanted(props.get("config.defaultPortConfig"), wanted, filtered=self._filtered):
            return
        log.warning("the port group %s was changed in vCenter; it is put right", props.get("name"))
        spec = vim.dvs.DistributedVirtualPortgroup.ConfigSpec(
            configVersion=props.get("config.configVersion"),
            defaultPortConfig=distributed_policy(wanted, filtered=self._filtered),
        )
        try:
            finish(
                self._session,
                lambda: group.ReconfigureDVPortgroup_Task(spec),
                f"put the port group {props.get('name')} right",
                within_seconds=_TASK_SECONDS,
            )
        except TaskFailed as failed:
            if not isinstance(failed.fault, vim.fault.ConcurrentAccess):  # another of us does the same right now
                raise

    def _backing(self, switch: Switch, group: Any) -> Any:
        """A card's on this port group; vCenter chooses the port."""
        props = read(self._session, group, ["key"])
        if props is None:
            raise Unreachable("A port group was removed while a card was to be plugged into it; it is tried again.")
        port = vim.dvs.PortConnection(switchUuid=switch.uuid, portgroupKey=props["key"])
        return vim.vm.device.VirtualEthernetCard.DistributedVirtualPortBackingInfo(port=port)

    def ours(self, cluster: Cluster) -> list[Any]:
        """The port groups of this cloud in the cluster's datacenter."""
        return [
            group
            for group, props in self._all(cluster)
            if key_of(props.get("config.description", ""), self._cloud_id) is not None
        ]

    def unused(self, group: Any) -> str | None:
        """The key of a port group that this cloud made, and that no VM uses; else None."""
        props = read(self._session, group, ["config.description", "vm"]) or {}
        return None if props.get("vm") else key_of(props.get("config.description", ""), self._cloud_id)

    def remove(self, group: Any) -> None:
        """Remove a port group. One that is in use after all stays: vCenter knows it best."""
        try:
            finish(
                self._session, group.Destroy_Task, "remove a port group that no VM uses", within_seconds=_TASK_SECONDS
            )
        except TaskFailed as failed:
            if isinstance(failed.fault, vim.fault.ResourceInUse):
                return
            if not isinstance(failed.fault, vmodl.fault.ManagedObjectNotFound):
                log.warning("a port group that no VM uses stays: %s", failed)


def _is_on(props: Properties, switch: Switch) -> bool:
    reference = props.get("config.distributedVirtualSwitch")
    return reference is not None and reference._moId == switch.reference._moId


def _specification(wanted: Wanted, name: str, cloud_id: str, *, filtered: bool) -> Any:
    """Ports are bound when a card is plugged, so that they keep their place while the VM is off, and are as many as are
    needed (VMware's reference: earlyBinding with autoExpand)."""
    return vim.dvs.DistributedVirtualPortgroup.ConfigSpec(
        name=name,
        description=description(wanted, cloud_id),
        type="earlyBinding",
        autoExpand=True,
        numPorts=_FIRST_PORTS,
        defaultPortConfig=distributed_policy(wanted, filtered=filtered),
        policy=vim.dvs.VmwareDistributedVirtualSwitch.VMwarePortgroupPolicy(
            blockOverrideAllowed=True,
            shapingOverrideAllowed=False,
            vendorConfigOverrideAllowed=False,
            livePortMovingAllowed=False,
            portConfigResetAtDisconnect=True,
            networkResourcePoolOverrideAllowed=False,
            trafficFilterOverrideAllowed=True,
            vlanOverrideAllowed=False,
            uplinkTeamingOverrideAllowed=False,
            securityPolicyOverrideAllowed=False,
            ipfixOverrideAllowed=False,
        ),
    )
