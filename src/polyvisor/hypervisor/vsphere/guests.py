"""Guests: found by id, never by name, and told apart from those of others."""

import threading
from typing import Any

from pyVmomi import vim

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.hypervisor.vsphere import marks
from polyvisor.hypervisor.vsphere.faults import translated
from polyvisor.hypervisor.vsphere.inventory import Cluster, Inventory
from polyvisor.hypervisor.vsphere.properties import Properties, read, sweep
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.model.guest import GuestReport
from polyvisor.model.power import Power
from polyvisor.model.record import Record

_STATE = ["name", "runtime.powerState", "runtime.connectionState", "runtime.host", "config.instanceUuid", *marks.PATHS]
_SWEPT = [*_STATE, "config.template", "config.hardware.memoryMB"]
_POWER = {"poweredOn": Power.ON, "poweredOff": Power.OFF, "suspended": Power.SUSPENDED}
_HOST = {vim.HostSystem: ["name", "runtime.connectionState"]}


class Sweep(Record):
    """All guests of one cluster, and what those of others take of it."""

    guests: list[GuestReport]
    foreign_memory_mib: int
    """Configured memory of the running guests that this cloud did not make."""
    uploads: list[Any]
    """VMs of ours that serve, or served, the upload of an image."""


class Guests:
    """The guests of one connection."""

    def __init__(self, session: Session, inventory: Inventory, cloud_id: str) -> None:
        self._session, self._inventory, self._cloud_id = session, inventory, cloud_id
        self._lock = threading.Lock()
        # A VM whose host or datastore is lost shows no configuration. What it was is remembered: it has not vanished.
        self._known: dict[str, str] = {}

    def sweep(self, cluster: Cluster) -> Sweep:
        """Every guest of a cluster, foreign ones included, in one question."""
        with translated(f"list the VMs of {cluster.title}"):
            found = sweep(self._session, cluster.reference, {vim.VirtualMachine: _SWEPT, **_HOST})
        members = {host._moId: props for host, props in found[vim.HostSystem]}
        guests, uploads, foreign_mib = [], [], 0
        for reference, props in found[vim.VirtualMachine]:
            if marks.image_of(props, self._cloud_id):
                uploads.append(reference)
            elif not props.get("config.template"):
                guest = self._report(reference, props, cluster.name, members)
                guests.append(guest)
                if guest.server_id is None and guest.power is Power.ON:
                    foreign_mib += props.get("config.hardware.memoryMB", 0)
        return Sweep(guests=guests, foreign_memory_mib=foreign_mib, uploads=uploads)

    def look(self, server_id: str) -> GuestReport | None:
        """One guest, read afresh."""
        found = self.find(server_id)
        if found is None:
            return None
        reference, props = found
        host = props.get("runtime.host")
        with translated("read an ESXi host"):
            seen = read(self._session, host, ["name", "parent", "runtime.connectionState"]) if host else None
        cluster = self._cluster_name((seen or {}).get("parent"))
        return self._report(reference, props, cluster, {host._moId: seen} if host is not None and seen else {})

    def find(self, server_id: str) -> tuple[Any, Properties] | None:
        """The VM that is this server, with its state; None when there is none of ours."""
        return self._find(server_id, foreign_is_an_error=False)

    def need(self, server_id: str) -> tuple[Any, Properties]:
        """The same; raises HypervisorError when there is none."""
        found = self.find(server_id)
        if found is None:
            raise HypervisorError(f"The server {server_id} has no VM at {self._session.host}.")
        return found

    def find_or_refuse(self, server_id: str) -> tuple[Any, Properties] | None:
        """The same; raises HypervisorError when another's VM has this id, for then we cannot make ours."""
        return self._find(server_id, foreign_is_an_error=True)

    def _find(self, server_id: str, *, foreign_is_an_error: bool) -> tuple[Any, Properties] | None:
        with translated("look for a VM"):
            references = self._session.content.searchIndex.FindAllByUuid(None, server_id, True, True)
            for reference in references or ():
                props = read(self._session, reference, _STATE)
                if props is None:
                    continue
                if self._identity(reference, props) == server_id:
                    return reference, props
                if foreign_is_an_error:
                    raise HypervisorError(
                        f"The VM {props.get('name')} at {self._session.host} has the instance UUID {server_id}, and "
                        "this cloud did not make it. Change that VM's instance UUID, or make the server anew."
                    )
        return None

    def _identity(self, reference: Any, props: Properties) -> str | None:
        """The server that a VM is."""
        key = reference._moId
        if "config.instanceUuid" not in props:
            return self._known.get(key)
        server_id = marks.server_of(props, self._cloud_id)
        with self._lock:
            if server_id is None:
                self._known.pop(key, None)
            else:
                self._known[key] = server_id
        return server_id

    def identify(self, reference: Any) -> str | None:
        """The server that a VM is; None for another's."""
        known = self._known.get(reference._moId)
        if known is not None:
            return known
        props = read(self._session, reference, ["config.instanceUuid", *marks.PATHS])
        return self._identity(reference, props) if props is not None else None

    def forget(self, key: str) -> str | None:
        """A VM with this managed object id is gone; returns the server that it was."""
        with self._lock:
            return self._known.pop(key, None)

    def _report(self, reference: Any, props: Properties, host: str, members: dict[str, Properties]) -> GuestReport:
        server_id, runs_on = self._identity(reference, props), props.get("runtime.host")
        member = members.get(runs_on._moId, {}) if runs_on is not None else {}
        lost = member.get("runtime.connectionState", "connected") != "connected"
        return GuestReport(
            server_id=server_id,
            name=(marks.value(props, marks.NAME_KEY) if server_id else "") or props.get("name", ""),
            host=host,
            member=member.get("name", ""),
            power=Power.UNKNOWN if lost else power_of(props),
        )

    def _cluster_name(self, parent: Any) -> str:
        for cluster in self._inventory.clusters():
            if parent is not None and cluster.reference._moId == parent._moId:
                return cluster.name
        return ""


def power_of(props: Properties) -> Power:
    """The power state; UNKNOWN where vCenter has lost the ESXi host, or the VM's files, and can but repeat what was."""
    if props.get("runtime.connectionState") != "connected":
        return Power.UNKNOWN
    return _POWER.get(str(props.get("runtime.powerState")), Power.UNKNOWN)
