"""Datastores: which a cluster may use, and which of them takes the next disk."""

import re
from collections.abc import Collection
from typing import Any

from pyVmomi import vim

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.hypervisor.vsphere.inventory import Cluster
from polyvisor.hypervisor.vsphere.properties import Properties, read, sweep
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.model.host import Datastore
from polyvisor.model.record import Record

PATHS = [
    "name", "summary.type", "summary.capacity", "summary.freeSpace", "summary.accessible", "summary.maintenanceMode",
    "host", "capability.topLevelDirectoryCreateSupported",
]  # fmt: skip
GIB = 1 << 30


class Store(Record):
    """A datastore as seen from one cluster, with what is needed to write to it."""

    reference: Any
    record: Datastore
    hosts: frozenset[str]
    """Managed object ids of the cluster's usable members that reach it."""
    makes_folders: bool = True
    """False where folders at the root are made through the DatastoreNamespaceManager (vSAN, vVols)."""

    @property
    def name(self) -> str:
        """Its name."""
        return self.record.name

    def path(self, relative: str) -> str:
        """The datastore path: "[name] relative"."""
        return f"[{self.name}] {relative}".rstrip()


def datastores(session: Session, cluster: Cluster, members: Collection[Any]) -> list[Store]:
    """The datastores of a cluster that the settings allow. `members`: its usable ESXi hosts."""
    props = read(session, cluster.reference, ["datastore"])
    allowed = {each._moId for each in (props or {}).get("datastore", ())}
    found = sweep(session, cluster.datacenter, {vim.Datastore: PATHS})[vim.Datastore]
    wanted = re.compile(session.settings.datastore_regex)
    usable = {member._moId for member in members}
    return sorted(
        (
            store(reference, each, usable)
            for reference, each in found
            if reference._moId in allowed and wanted.fullmatch(each.get("name", ""))
        ),
        key=lambda made: made.name,
    )


def store(reference: Any, props: Properties, usable: Collection[str]) -> Store:
    """The record of one datastore, from its properties and the ids of the members that count."""
    reaching = {mount.key._moId for mount in props.get("host", ()) if _mounted(mount.mountInfo)} & set(usable)
    in_service = props.get("summary.maintenanceMode", "normal") == "normal"
    return Store(
        reference=reference,
        record=Datastore(
            name=props["name"],
            kind=props.get("summary.type", ""),
            capacity_bytes=props.get("summary.capacity", 0),
            free_bytes=props.get("summary.freeSpace", 0),
            shared=bool(usable) and reaching == set(usable),
            accessible=bool(props.get("summary.accessible")) and in_service and bool(reaching),
        ),
        hosts=frozenset(reaching),
        makes_folders=props.get("capability.topLevelDirectoryCreateSupported") is not False,
    )


def _mounted(mount: Any) -> bool:
    return mount.mounted is not False and mount.accessible is not False and mount.accessMode == "readWrite"


def choose(
    stores: Collection[Store], needed_bytes: int, *, wished: str = "", cached: Collection[str] = (), place: str = ""
) -> Store:
    """The datastore for `needed_bytes`: the one wished for where it has the room; else a shared one before one that
    only some hosts reach, one that has the image before others unless another has twice its room, and then the freest.

    Raises HypervisorError, which names what is there.
    """
    usable = [each for each in stores if each.record.accessible]
    fitting = [each for each in usable if each.record.free_bytes >= needed_bytes]
    for each in fitting:
        if each.name == wished:
            return each
    if not fitting:
        raise HypervisorError(_no_room(usable, needed_bytes, place))
    shared = [each for each in fitting if each.record.shared] or fitting
    freest = max(shared, key=lambda each: (each.record.free_bytes, each.name))
    with_image = [
        each for each in shared if each.name in cached and 2 * each.record.free_bytes >= freest.record.free_bytes
    ]
    return max(with_image, key=lambda each: (each.record.free_bytes, each.name), default=freest)


def _no_room(usable: list[Store], needed_bytes: int, place: str) -> str:
    if not usable:
        return f"{place} has no accessible datastore that `datastore_regex` allows."
    have = ", ".join(f"{each.name} {each.record.free_bytes // GIB} GiB" for each in usable)
    return (
        f"No datastore of {place} has {-(-needed_bytes // GIB)} GiB free: {have}. Free some space, or add a datastore."
    )
