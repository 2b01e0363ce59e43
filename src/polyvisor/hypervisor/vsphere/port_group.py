"""A port group as a network needs it: what it is called, how it is told from others', and what it lets through."""

import hashlib
import re
from typing import Any

from pyVmomi import vim

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.hypervisor.vsphere.names import labelled
from polyvisor.hypervisor.vsphere.traffic_filter import filter_policy, rules_of
from polyvisor.model.network import NetworkType
from polyvisor.model.nic import Nic
from polyvisor.model.record import Record
from polyvisor.network.dvs.rule import TrafficRule
from polyvisor.network.dvs.translate import closed

MAX_VLAN = 4094
_OPEN = "open"
_MARK = re.compile(r"polyvisor:([^:\s]+):([^:\s]+?)(:open)?$")
_STANDARD_NAME = re.compile(r"\(pv-([^ ]+) ([^ ]+?)( open)?\)$")


class Wanted(Record):
    """The port group that a card needs."""

    network_id: str
    network_name: str
    vlan: int
    """0 = untagged."""
    guarded: bool
    """Whether its guests keep to the MAC address that they were given: what Neutron calls port security."""

    @property
    def key(self) -> str:
        """One port group for each."""
        return self.network_id if self.guarded else f"{self.network_id}:{_OPEN}"


def wanted_of(nic: Nic) -> Wanted:
    """The port group of a card. Raises HypervisorError for networks that vSphere's switches cannot carry."""
    carried = nic.segment
    if carried.network_type is NetworkType.GENEVE or not carried.physical_network:
        raise HypervisorError(
            f"The network {nic.network_name} ({nic.network_id}) is an overlay, which vSphere's switches cannot carry. "
            "Use a VLAN or flat network for servers on vSphere."
        )
    vlan = 0 if carried.network_type is NetworkType.FLAT else carried.segmentation_id or 0
    if carried.network_type is NetworkType.VLAN and not 0 < vlan <= MAX_VLAN:
        raise HypervisorError(
            f"The network {nic.network_name} ({nic.network_id}) has the VLAN {carried.segmentation_id}, which is none "
            f"from 1 to {MAX_VLAN}. Correct its segment."
        )
    return Wanted(network_id=nic.network_id, network_name=nic.network_name, vlan=vlan, guarded=nic.port_security)


# On a distributed switch, the description says whose a port group is. Its name is for people.


def names(wanted: Wanted) -> tuple[str, str]:
    """What it may be called on a distributed switch: the first, and where that is taken by another's, the second."""
    suffix = "" if wanted.guarded else f" {_OPEN}"
    name = wanted.network_name or "network"
    return labelled(name, wanted.network_id.partition("-")[0] + suffix), labelled(name, wanted.network_id + suffix)


def description(wanted: Wanted, cloud_id: str) -> str:
    """What a port group on a distributed switch says of itself; `key_of` reads it back."""
    return f"A network of Polyvisor, which finds this port group by these words: polyvisor:{cloud_id}:{wanted.key}"


def key_of(text: str, cloud_id: str) -> str | None:
    """The key of the port group with this description; None for one that this cloud did not make."""
    found = _MARK.search(text or "")
    return f"{found[2]}{found[3] or ''}" if found and found[1] == cloud_id else None


# A standard switch's port groups have nothing but their name, which has to be the same on all hosts and for good.


def standard_name(wanted: Wanted, cloud_id: str) -> str:
    """What it is called on a standard switch; `key_of_name` reads it back."""
    suffix = "" if wanted.guarded else f" {_OPEN}"
    label = f"pv-{_short(cloud_id)} {wanted.network_id}{suffix}"
    return labelled(wanted.network_name or "network", label)


def key_of_name(name: str, cloud_id: str) -> str | None:
    """The key of the standard port group with this name; None for one that this cloud did not make."""
    found = _STANDARD_NAME.search(name)
    if not found or found[1] != _short(cloud_id):
        return None
    return f"{found[2]}:{_OPEN}" if found[3] else found[2]


def _short(cloud_id: str) -> str:
    return hashlib.sha256(cloud_id.encode()).hexdigest()[:8]


# What it lets through


def distributed_policy(wanted: Wanted, *, filtered: bool) -> Any:
    """Its VLAN and its security policy, for a distributed switch; `filtered`: ports are closed until they are told what
    to let through."""
    dvs = vim.dvs.VmwareDistributedVirtualSwitch
    allowed = vim.BoolPolicy(inherited=False, value=not wanted.guarded)
    return dvs.VmwarePortConfigPolicy(
        filterPolicy=filter_policy(_default_rules(wanted, filtered=filtered)),
        vlan=dvs.VlanIdSpec(inherited=False, vlanId=wanted.vlan),
        securityPolicy=dvs.SecurityPolicy(
            inherited=False,
            # Promiscuous ports would hear what is meant for others: not for anybody.
            allowPromiscuous=vim.BoolPolicy(inherited=False, value=False),
            macChanges=allowed,
            forgedTransmits=allowed,
        ),
    )


def _default_rules(wanted: Wanted, *, filtered: bool) -> tuple[TrafficRule, ...]:
    return closed() if filtered and wanted.guarded else ()


def distributed_as_wanted(policy: Any, wanted: Wanted, *, filtered: bool) -> bool:
    """Whether a distributed port group has the VLAN and the policies that it should have."""
    security = getattr(policy, "securityPolicy", None)
    flags = [getattr(security, name, None) for name in ("allowPromiscuous", "macChanges", "forgedTransmits")]
    values = [None if flag is None or flag.inherited else flag.value for flag in flags]
    if (rules_of(getattr(policy, "filterPolicy", None)) or ()) != _default_rules(wanted, filtered=filtered):
        return False
    return vlan_of(policy) == wanted.vlan and values == [False, not wanted.guarded, not wanted.guarded]


def vlan_of(policy: Any) -> int | None:
    """The VLAN of a distributed port group; None for trunks and private VLANs."""
    vlan = getattr(policy, "vlan", None)
    if isinstance(vlan, vim.dvs.VmwareDistributedVirtualSwitch.VlanIdSpec):
        return int(vlan.vlanId)
    return None


def standard_specification(wanted: Wanted, name: str, switch: str) -> Any:
    """All of a port group on a standard switch."""
    security = vim.host.NetworkPolicy.SecurityPolicy(
        allowPromiscuous=False, macChanges=not wanted.guarded, forgedTransmits=not wanted.guarded
    )
    return vim.host.PortGroup.Specification(
        name=name, vlanId=wanted.vlan, vswitchName=switch, policy=vim.host.NetworkPolicy(security=security)
    )


def standard_as_wanted(found: Any, wanted: Wanted, switch: str) -> bool:
    """Whether a standard port group still is what it was made as."""
    security = getattr(found.policy, "security", None)
    flags = [getattr(security, name, None) for name in ("allowPromiscuous", "macChanges", "forgedTransmits")]
    same = (found.vlanId, found.vswitchName) == (wanted.vlan, switch)
    return same and flags == [False, not wanted.guarded, not wanted.guarded]
