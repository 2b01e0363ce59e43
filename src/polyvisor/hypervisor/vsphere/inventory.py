"""What is in a vCenter, as far as we serve it: clusters (or the one ESXi host), their datacenters, pools and
folders."""

import contextlib
import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pyVmomi import vim, vmodl

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.hypervisor.vsphere.names import HostNames, escaped, project_folder_name
from polyvisor.hypervisor.vsphere.properties import Properties, read, sweep
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.hypervisor.vsphere.tasks import TaskFailed, finish
from polyvisor.model.record import Record

log = logging.getLogger(__name__)
_PROJECT = re.compile(r"\([^()]+\)$")  # as names.project_folder_name ends
FRESH_SECONDS = 60
"""How long the list of clusters is taken as true, unless a name is missing in it."""
_CLUSTER = ["name", "parent", "resourcePool"]


class Cluster(Record):
    """A cluster, or a direct ESXi host, as a target. References are pyVmomi's managed objects."""

    name: str
    """Its name in the cloud."""
    title: str
    """Its name in vCenter."""
    path: str
    """Its inventory path: "DC0/host/DC0_C0"."""
    reference: Any
    pool: Any
    datacenter: Any
    datacenter_path: str
    vm_folder: Any
    standalone: bool = False
    """True for one ESXi host without vCenter."""


class Inventory:
    """The clusters of one connection, looked up by name, and the folders for their VMs."""

    def __init__(self, session: Session, place: str, state_dir: Path) -> None:
        self._session = session
        self._names = HostNames(state_dir / "vsphere-host-names.json", place)
        self._clusters: list[Cluster] = []
        self._read_at = 0.0
        self.missing: tuple[str, ...] = ()
        """Clusters that the settings name and that are not there."""
        self._folders: dict[str, Any] = {}
        self._folder_lock = threading.RLock()
        self._users: Counter[str] = Counter()  # of folders that VMs are being put into

    def clusters(self, *, fresh: bool = False) -> list[Cluster]:
        """All clusters that we serve. Raises Unreachable; HypervisorError when none of those named is there."""
        if fresh or not self._clusters or time.monotonic() - self._read_at > FRESH_SECONDS:
            self._clusters = self._read()
            self._read_at = time.monotonic()
        return self._clusters

    def notes(self) -> dict[str, str]:
        """The names that clusters were given in the cloud, by what they are."""
        return self._names.notes()

    def recall(self, noted: Mapping[str, str]) -> None:
        """Take in the names that were given by others."""
        if self._names.recall(noted):
            self._clusters = []

    def cluster(self, name: str) -> Cluster:
        """The cluster with this name in the cloud. Raises HypervisorError."""
        for fresh in (False, True):
            for cluster in self.clusters(fresh=fresh):
                if cluster.name == name:
                    return cluster
        raise HypervisorError(
            f"There is no cluster {name} at {self._session.host} any more. Was it removed, or taken out of `clusters`?"
        )

    def cluster_of_host(self, host: Any) -> Cluster:
        """The cluster of an ESXi host; the first that we serve where the host is in none of ours."""
        clusters = self.clusters()
        if not clusters:
            raise HypervisorError(f"{self._session.host} has no cluster that we may see.")
        parent = (read(self._session, host, ["parent"]) or {}).get("parent") if host is not None else None
        return next(
            (each for each in clusters if parent is not None and each.reference._moId == parent._moId), clusters[0]
        )

    def _read(self) -> list[Cluster]:
        content = self._session.content
        kind = vim.ComputeResource if self._session.is_esxi else vim.ClusterComputeResource
        paths = {kind: _CLUSTER, vim.Datacenter: ["name", "parent", "vmFolder"], vim.Folder: ["name", "parent"]}
        found = sweep(self._session, content.rootFolder, paths)
        above = {each._moId: (each, props) for group in found.values() for each, props in group}
        all_clusters = sorted(
            (pair for pair in found[kind] if "resourcePool" in pair[1]), key=lambda pair: str(pair[0]._moId)
        )
        present = [self._key(reference) for reference, _ in all_clusters]
        served: list[Cluster] = []
        for reference, props in all_clusters:
            path = inventory_path(reference, above)
            if self._wanted(unquote(props["name"]), path):
                served.append(self._cluster(reference, props, path, above, present))
        self._check_all_found(served)
        return served

    def _key(self, reference: Any) -> str:
        return f"{self._session.content.about.instanceUuid or self._session.host}/{reference._moId}"

    def _wanted(self, title: str, path: str) -> bool:
        wanted = self._session.settings.clusters
        return not wanted or title in wanted or path in wanted or f"/{path}" in wanted

    def _cluster(
        self, reference: Any, props: Properties, path: str, above: dict[str, tuple[Any, Properties]], present: list[str]
    ) -> Cluster:
        datacenter, datacenter_props = _datacenter(reference, above)
        title = unquote(props["name"])
        return Cluster(
            name=self._names.name(self._key(reference), title, unquote(datacenter_props["name"]), present),
            title=title,
            path=path,
            reference=reference,
            pool=props["resourcePool"],
            datacenter=datacenter,
            datacenter_path=inventory_path(datacenter, above),
            vm_folder=datacenter_props["vmFolder"],
            standalone=self._session.is_esxi,
        )

    def _check_all_found(self, served: list[Cluster]) -> None:
        seen = {name for each in served for name in (each.title, each.path, f"/{each.path}")}
        self.missing = tuple(wanted for wanted in self._session.settings.clusters if wanted not in seen)
        if self.missing and not served:
            raise HypervisorError(self.missing_sentence())

    def missing_sentence(self) -> str:
        """What is said of clusters that the settings name in vain."""
        return (
            f"{self._session.host} has no cluster {' or '.join(self.missing)}, or does not show it to "
            f"{self._session.settings.user}. Correct `clusters`, or the user's permissions."
        )

    @property
    def _top_name(self) -> str:
        return escaped(self._session.settings.folder)

    # Folders of VMs. A direct ESXi host has none but its own.

    @contextlib.contextmanager
    def folder_for(self, cluster: Cluster, project_id: str, project_name: str) -> Iterator[Any]:
        """The folder for a project's VMs, which is not removed as empty while the block lasts."""
        with self._folder_lock:
            folder = self.project_folder(cluster, project_id, project_name)
            self._users[folder._moId] += 1
        try:
            yield folder
        finally:
            with self._folder_lock:
                self._users[folder._moId] -= 1

    def project_folder(self, cluster: Cluster, project_id: str, project_name: str) -> Any:
        """The folder for a project's VMs, made where it is missing."""
        if cluster.standalone:
            return cluster.vm_folder
        top = self.top_folder(cluster)
        for reference, props in sweep(self._session, top, {vim.Folder: ["name"]})[vim.Folder]:
            if props["name"].endswith(f"({project_id})"):
                return reference
        return self._make_folder(top, project_folder_name(project_name, project_id))

    def top_folder(self, cluster: Cluster) -> Any:
        """The folder below the datacenter's that holds all that is ours, made where it is missing."""
        if cluster.standalone:
            return cluster.vm_folder
        known = self._folders.get(cluster.datacenter._moId)
        if known is not None and read(self._session, known, ["name"]):
            return known
        folder = self._make_folder(cluster.vm_folder, self._top_name)
        self._folders[cluster.datacenter._moId] = folder
        return folder

    def _make_folder(self, parent: Any, name: str) -> Any:
        found = self._session.content.searchIndex.FindChild(parent, name)
        if found is not None:
            return found
        try:
            return parent.CreateFolder(name)
        except vim.fault.DuplicateName as fault:
            return fault.object

    def remove_empty_folders(self) -> None:
        """Remove the folders of projects that have no VM left."""
        for vm_folder in {cluster.vm_folder._moId: cluster.vm_folder for cluster in self.clusters()}.values():
            top = (
                None
                if self._session.is_esxi
                else self._session.content.searchIndex.FindChild(vm_folder, self._top_name)
            )
            if top is not None:
                for folder, _ in sweep(self._session, top, {vim.Folder: ["name"]})[vim.Folder]:
                    self.remove_if_empty(folder)

    def remove_if_empty(self, folder: Any) -> None:
        """Remove a project's folder when nothing is in it; never the top folder, never another's.

        Unregister-and-destroy is asked for, which deletes no disk: another agent may be putting a VM into it right now.
        """
        if self._session.is_esxi or not isinstance(folder, vim.Folder):
            return
        with self._folder_lock:
            props = read(self._session, folder, ["name", "parent", "childEntity"])
            if props is None or props.get("childEntity") or self._users[folder._moId]:
                return
            parent = read(self._session, props["parent"], ["name"])
            if parent is None or parent["name"] != self._top_name or not _PROJECT.search(props["name"]):
                return
            try:
                finish(
                    self._session,
                    folder.UnregisterAndDestroy,
                    f"remove the empty folder {props['name']}",
                    within_seconds=60,
                )
            except TaskFailed as failed:
                if not isinstance(failed.fault, vmodl.fault.ManagedObjectNotFound):
                    log.warning("the empty folder %s stays: %s", props["name"], failed)


def inventory_path(reference: Any, above: dict[str, tuple[Any, Properties]]) -> str:
    """The inventory path, without the root folder's name."""
    parts: list[str] = []
    current = reference
    while current is not None and current._moId in above:
        _, props = above[current._moId]
        parts.append(unquote(props["name"]))
        current = props.get("parent")
    return "/".join(reversed(parts))


def _datacenter(reference: Any, above: dict[str, tuple[Any, Properties]]) -> tuple[Any, Properties]:
    current = reference
    while current is not None and current._moId in above:
        found, props = above[current._moId]
        if isinstance(found, vim.Datacenter):
            return found, props
        current = props.get("parent")
    raise HypervisorError(
        f"The cluster {reference._moId} lies in no datacenter that we may see. Give the user the privilege "
        "System.View above it."
    )
