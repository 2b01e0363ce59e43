"""The port groups that cards are plugged into: made for the first card of a network, removed after the last."""

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pyVmomi import vim

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.hypervisor.vsphere.distributed_groups import DistributedGroups
from polyvisor.hypervisor.vsphere.inventory import Cluster, Inventory
from polyvisor.hypervisor.vsphere.port_group import Wanted, wanted_of
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.hypervisor.vsphere.standard_groups import StandardGroups
from polyvisor.hypervisor.vsphere.switches import Switch, Switches
from polyvisor.model.nic import Nic
from polyvisor.model.record import Record

log = logging.getLogger(__name__)


class Plugs(Record):
    """What the cards of one guest are plugged into."""

    backings: tuple[Any, ...]
    """vSphere's VirtualDeviceBackingInfo of each card, in their order."""
    hosts: frozenset[str]
    """Managed object ids of the ESXi hosts that reach all of them."""


class PortGroups:
    """The port groups of one connection."""

    def __init__(self, session: Session, inventory: Inventory, switches: Switches, cloud_id: str) -> None:
        self._session, self._inventory, self._switches = session, inventory, switches
        self._distributed = DistributedGroups(session, cloud_id)
        self._standard = StandardGroups(session, switches, cloud_id)
        self._lock = threading.Lock()
        self._users: Counter[str] = Counter()  # of port groups, by key, that cards are being plugged into

    def check(self, cluster: Cluster, hosts: Sequence[str], nics: Sequence[Nic]) -> frozenset[str]:
        """Which of these ESXi hosts (managed object ids) reach the networks of all cards; nothing is made.

        Raises HypervisorError where none does.
        """
        reaching = set(hosts)
        for nic in nics:
            wanted_of(nic)
            switch = self._switch(cluster, hosts, nic)
            reaching &= switch.members
            if not reaching:
                raise HypervisorError(
                    f"No ESXi host in service of {cluster.title} is joined to the switch {switch.title}, which the "
                    f"network {nic.network_name} needs. Add its hosts to the switch."
                )
        return frozenset(reaching)

    @contextlib.contextmanager
    def plugs(self, cluster: Cluster, hosts: Sequence[str], nics: Sequence[Nic]) -> Iterator[Plugs]:
        """What to plug the cards into, made where it is missing, and not removed while the block lasts. Raises
        HypervisorError."""
        reaching = self.check(cluster, hosts, nics)
        wanted = [wanted_of(nic) for nic in nics]
        with self._lock:  # waits for a removal that is under way
            self._users.update(each.key for each in wanted)
        try:
            yield Plugs(
                backings=tuple(
                    self._backing(cluster, self._switch(cluster, hosts, nic), each)
                    for nic, each in zip(nics, wanted, strict=True)
                ),
                hosts=reaching,
            )
        finally:
            with self._lock:
                self._users.subtract(each.key for each in wanted)

    def _switch(self, cluster: Cluster, hosts: Sequence[str], nic: Nic) -> Switch:
        return self._switches.need(cluster, nic.segment.physical_network or "", hosts)

    def _backing(self, cluster: Cluster, switch: Switch, wanted: Wanted) -> Any:
        adopted = self._adopted(cluster, switch, wanted)
        if adopted is not None:
            return adopted
        if switch.standard:
            return self._standard.ensure(switch, wanted)
        return self._distributed.ensure(cluster, switch, wanted)

    def _adopted(self, cluster: Cluster, switch: Switch, wanted: Wanted) -> Any:
        """The backing on the port group that the settings name for the network; None where they name none.

        Anybody may call a network like another's. So a port group that is named by a network's name serves no network
        of another VLAN; for one that is named by id, that is an error.
        """
        named = self._session.settings.port_groups
        name = named.get(wanted.network_id) or named.get(wanted.network_name)
        if name is None:
            return None
        found = (
            self._standard.adopted(switch, name, wanted.vlan)
            if switch.standard
            else self._distributed.adopted(cluster, switch, name, wanted.vlan)
        )
        if found is None and wanted.network_id in named:
            raise HypervisorError(
                f"`port_groups` names the port group {name} for the network {wanted.network_id}, and {switch.title} "
                f"has none of that name with the VLAN {wanted.vlan}. Correct the setting, or the port group."
            )
        if found is None:
            log.info("network %s has the name of another, and gets a port group of its own", wanted.network_id)
        return found

    def remove_unused(self, groups: Iterable[Any]) -> None:
        """Remove those of the port groups (vim.Network) that this cloud made, and that no VM uses any more."""
        for group in groups:
            if self._unused(group) is not None:
                with self._lock:  # nobody begins to plug a card into it meanwhile; who did so before is counted
                    key = self._unused(group)
                    if key is not None and not self._users[key]:
                        self._remove(group)

    def _unused(self, group: Any) -> str | None:
        """The key of a port group that this cloud made, and that no VM uses; else None."""
        if isinstance(group, vim.dvs.DistributedVirtualPortgroup):
            return self._distributed.unused(group)
        return self._standard.unused(group) if self._session.is_esxi else None

    def _remove(self, group: Any) -> None:
        if isinstance(group, vim.dvs.DistributedVirtualPortgroup):
            self._distributed.remove(group)
        else:
            self._standard.remove(self._inventory.clusters()[0], group)

    def remove_all_unused(self) -> None:
        """Remove every port group that this cloud made, and that no VM uses: what an interrupted plugging left."""
        if not self._session.settings.switches:
            return
        datacenters = {cluster.datacenter._moId: cluster for cluster in self._inventory.clusters()}
        for cluster in datacenters.values():
            self.remove_unused(self._standard.ours() if self._session.is_esxi else self._distributed.ours(cluster))
