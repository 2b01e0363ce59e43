"""Which switch of a cluster carries a physical network: the settings say it by name, vSphere says what is there."""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import unquote

from pyVmomi import vim

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.hypervisor.vsphere.inventory import Cluster, inventory_path
from polyvisor.hypervisor.vsphere.properties import read, sweep
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.model.record import Record

_SWITCH = ["name", "uuid", "parent", "summary.hostMember"]


class Switch(Record):
    """A distributed switch, or a standard switch of a direct ESXi host."""

    title: str
    path: str
    """Its inventory path; of a standard switch, its name."""
    reference: Any
    """vim.DistributedVirtualSwitch; of a standard switch, the vim.host.NetworkSystem that has it."""
    uuid: str = ""
    members: frozenset[str] = frozenset()
    """Managed object ids of the ESXi hosts that are joined to it."""
    standard: bool = False

    @property
    def key(self) -> str:
        """Tells it from the other switches of the connection."""
        return f"{self.reference._moId}/{self.title}" if self.standard else str(self.reference._moId)


class Carried(Record):
    """What a cluster can carry."""

    physical_networks: frozenset[str]
    warnings: tuple[str, ...]
    """Sentences on switches that are missing, or not on all hosts."""


class Switches:
    """The switches of one connection, read afresh for each question."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def carried(self, cluster: Cluster, hosts: Sequence[tuple[str, str]]) -> Carried:
        """The physical networks that the cluster's ESXi hosts in service, (managed object id, name) each, reach."""
        mapped = self._session.settings.switches
        found, warnings = set[str](), list[str]()
        there = self.all(cluster) if mapped else []
        for physical_network in sorted(mapped):
            switch = self._best(there, physical_network, [key for key, _ in hosts])
            apart = [name for key, name in hosts if switch is not None and key not in switch.members]
            if switch is None:
                warnings.append(self._missing(cluster, physical_network))
            elif len(apart) < len(hosts):
                found.add(physical_network)
            if switch is not None and apart:
                warnings.append(_apart(switch, physical_network, apart))
        return Carried(physical_networks=frozenset(found), warnings=tuple(warnings))

    def need(self, cluster: Cluster, physical_network: str, hosts: Sequence[str]) -> Switch:
        """The switch that carries a physical network for these ESXi hosts of the cluster, by managed object id. Raises
        HypervisorError."""
        switch = self._best(self.all(cluster), physical_network, hosts)
        if switch is None:
            raise HypervisorError(self._missing(cluster, physical_network))
        return switch

    def _best(self, there: Iterable[Switch], physical_network: str, hosts: Iterable[str]) -> Switch | None:
        """Among the switches that the settings name for it, the one that most of the hosts are joined to."""
        wanted = {title.strip("/") for title in self._session.settings.switch_titles(physical_network)}
        named = [switch for switch in there if {switch.title, switch.path} & wanted]
        return max(named, key=lambda switch: len(switch.members.intersection(hosts)), default=None)

    def all(self, cluster: Cluster) -> list[Switch]:
        """Every switch that the settings could name for this cluster, in a constant order."""
        found = self._standard(cluster) if cluster.standalone else self._distributed(cluster)
        return sorted(found, key=lambda switch: switch.key)

    def _distributed(self, cluster: Cluster) -> list[Switch]:
        folder = network_folder(self._session, cluster)
        found = sweep(self._session, folder, {vim.DistributedVirtualSwitch: _SWITCH, vim.Folder: ["name", "parent"]})
        above = {each._moId: (each, props) for group in found.values() for each, props in group}
        return [
            Switch(
                title=unquote(props["name"]),
                path=f"{cluster.datacenter_path}/network/{inventory_path(reference, above)}",
                reference=reference,
                uuid=props["uuid"],
                members=frozenset(host._moId for host in props.get("summary.hostMember", ())),
            )
            for reference, props in found[vim.DistributedVirtualSwitch]
        ]

    def _standard(self, cluster: Cluster) -> list[Switch]:
        host, system = self.network_system(cluster)
        info = (read(self._session, system, ["networkInfo.vswitch"]) or {}).get("networkInfo.vswitch", ())
        joined = frozenset({host._moId})
        return [
            Switch(title=each.name, path=each.name, reference=system, members=joined, standard=True) for each in info
        ]

    def network_system(self, cluster: Cluster) -> tuple[Any, Any]:
        """A direct ESXi host, and what configures its network."""
        hosts = (read(self._session, cluster.reference, ["host"]) or {}).get("host", ())
        for host in hosts:
            props = read(self._session, host, ["configManager.networkSystem"]) or {}
            if "configManager.networkSystem" in props:
                return host, props["configManager.networkSystem"]
        raise HypervisorError(f"The ESXi host {cluster.title} does not show its network configuration.")

    def _missing(self, cluster: Cluster, physical_network: str) -> str:
        titles = " or ".join(self._session.settings.switch_titles(physical_network))
        if not titles:
            return (
                f"No switch of {cluster.title} carries the physical network {physical_network}. Map it in `switches` "
                "of this connection."
            )
        kind = "standard switch" if cluster.standalone else "distributed switch"
        return (
            f"{cluster.title} sees no {kind} {titles}, which `switches` names for the physical network "
            f"{physical_network}: servers here cannot be on its networks. Correct `switches`, or the user's "
            "permissions."
        )


def network_folder(session: Session, cluster: Cluster) -> Any:
    """The folder that holds all networks and switches of the cluster's datacenter."""
    props = read(session, cluster.datacenter, ["networkFolder"])
    if props is None or "networkFolder" not in props:
        raise HypervisorError(
            f"The datacenter of {cluster.title} shows no networks. Give the user the privilege System.View on it."
        )
    return props["networkFolder"]


def _apart(switch: Switch, physical_network: str, apart: Sequence[str]) -> str:
    names = ", ".join(apart[:5]) + (f" and {len(apart) - 5} more hosts" if len(apart) > 5 else "")
    return (
        f"{names} is not joined to the switch {switch.title}, which carries the physical network {physical_network}: "
        "servers on its networks can neither run nor be restarted there. Add the host to the switch."
    )
