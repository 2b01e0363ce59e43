"""The vSphere driver: clusters of a vCenter, or one ESXi host, behind the Protocol of hypervisor drivers."""

import functools
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec

from polyvisor.hypervisor.driver import (
    Console,
    GuestSpec,
    HypervisorError,
    ImageSource,
    Progress,
    Unreachable,
)
from polyvisor.hypervisor.vsphere import cluster as clusters
from polyvisor.hypervisor.vsphere.faults import translated
from polyvisor.hypervisor.vsphere.files import FileMissing, Files
from polyvisor.hypervisor.vsphere.guest_files import VM_PATHS, console_log_path, files_of
from polyvisor.hypervisor.vsphere.guest_make import GuestMaker
from polyvisor.hypervisor.vsphere.guest_remove import GuestRemover
from polyvisor.hypervisor.vsphere.guests import Guests, power_of
from polyvisor.hypervisor.vsphere.host_files import tail_at_host
from polyvisor.hypervisor.vsphere.image_cache import DatastoreImages
from polyvisor.hypervisor.vsphere.inventory import Inventory
from polyvisor.hypervisor.vsphere.nics import Nics
from polyvisor.hypervisor.vsphere.port_filters import PortFilters
from polyvisor.hypervisor.vsphere.port_groups import PortGroups
from polyvisor.hypervisor.vsphere.power import Powering
from polyvisor.hypervisor.vsphere.properties import read
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.hypervisor.vsphere.settings import HTTPS_PORT, VsphereSettings
from polyvisor.hypervisor.vsphere.switches import Switches
from polyvisor.hypervisor.vsphere.watch import Watcher
from polyvisor.model.guest import GuestReport
from polyvisor.model.host import HostReport
from polyvisor.model.image import ImageRef
from polyvisor.model.nic import Nic
from polyvisor.model.port_filter import PortFilter
from polyvisor.model.power import Power

log = logging.getLogger(__name__)
CONSOLE_LOG_BYTES = 1 << 20
SESSION_NOTE = "session"
"""Beside the names of clusters, whose keys have a slash."""

P = ParamSpec("P")
T = TypeVar("T")


def _faults_told(
    what: str,
) -> Callable[[Callable[Concatenate["VsphereDriver", P], T]], Callable[Concatenate["VsphereDriver", P], T]]:
    """A method whose remaining vSphere faults become the driver's errors: "vSphere could not WHAT: ..."."""

    def wrap(method: Callable[Concatenate["VsphereDriver", P], T]) -> Callable[Concatenate["VsphereDriver", P], T]:
        @functools.wraps(method)
        def call(self: "VsphereDriver", /, *args: P.args, **kwargs: P.kwargs) -> T:
            with translated(what):
                return method(self, *args, **kwargs)

        return call

    return wrap


class VsphereDriver:
    """One connection to a vCenter or to a direct ESXi host. Nothing is asked of it before the first call."""

    def __init__(self, place: str, settings: VsphereSettings, cloud_id: str, state_dir: Path) -> None:
        self.place = place
        self.session = Session(settings)
        self._inventory = Inventory(self.session, place, state_dir)
        self._guests = Guests(self.session, self._inventory, cloud_id)
        self._power = Powering(self.session, self._guests)
        self.images = DatastoreImages(self.session, cloud_id, state_dir, owner=f"{cloud_id}/{place}")
        self._switches = Switches(self.session)
        groups = PortGroups(self.session, self._inventory, self._switches, cloud_id)
        self._filters = PortFilters(self.session, self._switches)
        self._maker = GuestMaker(
            self.session, self._inventory, self._guests, self.images, groups, self._filters, cloud_id
        )
        self._remover = GuestRemover(self.session, self._inventory, self._guests, self._power, groups)
        self._nics = Nics(self.session, self._inventory, self._guests, groups, self._filters)
        self.watcher = Watcher(self.session, self._inventory, self._guests)
        self._foreign_mib: dict[str, int] = {}
        self._before = ""

    def notes(self) -> dict[str, str]:
        """The names of clusters in the cloud, and which session is ours."""
        return {**self._inventory.notes(), **({SESSION_NOTE: self.session.mark} if self.session.mark else {})}

    def recall(self, notes: Mapping[str, str]) -> None:
        """Take in the names that were given by the one before, and which session was its own."""
        self._before = notes.get(SESSION_NOTE, "")
        self._inventory.recall({key: name for key, name in notes.items() if key != SESSION_NOTE})

    @_faults_told("end the session of the process before")
    def end_predecessor(self) -> None:
        """End the session of the one before: a call of it that is under way still is refused by vSphere. What was
        known of the datastores from watching it is looked up anew."""
        self.images.look_anew()
        self.session.end_other(self._before)

    def close(self) -> None:
        """End the watch and the session. Guests run on."""
        self.watcher.close()
        self.session.close()

    @_faults_told("tell what is in it")
    def hosts(self) -> list[HostReport]:
        """Every cluster that we serve, or the one ESXi host. Raises Unreachable."""
        found = []
        for cluster in self._inventory.clusters(fresh=True):
            if cluster.name not in self._foreign_mib:
                self._foreign_mib[cluster.name] = self._guests.sweep(cluster).foreign_memory_mib
            foreign_mib = self._foreign_mib[cluster.name]
            report = clusters.report(self.session, cluster, foreign_mib, self.images.cached, self._switches)
            if self._inventory.missing:
                more = (*report.warnings, self._inventory.missing_sentence())
                report = msgspec.structs.replace(report, warnings=more)
            found.append(report)
        return found

    @_faults_told("list its VMs")
    def guests(self) -> list[GuestReport]:
        """Every VM on its clusters, templates and passing VMs of uploads left out. Raises Unreachable."""
        found: list[GuestReport] = []
        for cluster in self._inventory.clusters():
            seen = self._guests.sweep(cluster)
            self._foreign_mib[cluster.name] = seen.foreign_memory_mib
            found += seen.guests
            self.images.remove_stale_uploads(seen.uploads)
        return found

    @_faults_told("look for a VM")
    def look(self, server_id: str) -> GuestReport | None:
        """One guest, read afresh. Raises Unreachable."""
        return self._guests.look(server_id)

    def watch(self, changed: Callable[[str], None]) -> None:
        """Call `changed(server_id)` within seconds of a change of a guest's power, ESXi host or presence."""
        self.watcher.tell(changed)

    @_faults_told("take an image")
    def prepare_image(self, host: str, image: ImageRef, source: ImageSource, progress: Progress) -> str:
        """Cache the image on the datastore that suits best; returns its name. Raises HypervisorError, Unreachable."""
        return self._maker.prepare_image(self._inventory.cluster(host), image, source, progress)

    @_faults_told("remove cached images")
    def forget_images(self, host: str, keep: frozenset[str]) -> list[str]:
        """Take cached images that are not in `keep` off the cluster's datastores; returns their ids."""
        return self.images.forget(self.stores_of(host), keep)

    @_faults_told("make a VM")
    def create(self, host: str, datastore: str, spec: GuestSpec, source: ImageSource, progress: Progress) -> None:
        """Make the guest with its disks, powered off; one that is there is left as it is."""
        self._maker.create(self._inventory.cluster(host), datastore, spec, source, progress)

    @_faults_told("remove a VM")
    def destroy(self, server_id: str) -> None:
        """Remove the guest and all its files, or what an unfinished `create` left; never another's VM."""
        self._remover.destroy(server_id)

    @_faults_told("set a VM's power")
    def set_power(self, server_id: str, power: Power) -> None:
        """ON, OFF or SUSPENDED. PAUSED raises HypervisorError: vSphere has no such state."""
        self._power.set_power(server_id, power)

    @_faults_told("shut a guest down")
    def shut_down(self, server_id: str) -> None:
        """Ask through VMware Tools; a guest without them is not asked, and runs on."""
        self._power.shut_down(server_id)

    @_faults_told("reset a VM")
    def reset(self, server_id: str) -> None:
        """Reset it, or power it on where it is off."""
        self._power.reset(server_id)

    @_faults_told("reboot a guest")
    def restart(self, server_id: str) -> None:
        """Ask through VMware Tools; a guest without them is reset."""
        self._power.restart(server_id)

    @_faults_told("plug a network card in")
    def attach_nic(self, server_id: str, nic: Nic) -> None:
        """Plug a card in, on the port group of its network, which is made where it is missing."""
        self._nics.attach(server_id, nic)

    @_faults_told("take a network card out")
    def detach_nic(self, server_id: str, port_id: str) -> bool:
        """Take a card out, and its network's port group where that was its last."""
        return self._nics.detach(server_id, port_id)

    @_faults_told("set the traffic rules of ports")
    def filter_ports(self, host: str, filters: Sequence[PortFilter]) -> int:
        """Bring the rules of ports to the distributed ports of the host's VMs; returns how many had others."""
        return self._filters.apply(self._inventory.cluster(host), filters)

    @_faults_told("read a console log")
    def console_log(self, server_id: str) -> bytes:
        """The last MiB of what the serial port wrote to its file. Raises HypervisorError where it has no such port."""
        vm, _ = self._guests.need(server_id)
        props = read(self.session, vm, VM_PATHS) or {}
        path = console_log_path(props)
        files = files_of(self.session, self._inventory, props).get(path.datastore) if path else None
        if path is None or files is None:
            raise HypervisorError(f"The VM of server {server_id} has no serial port that writes to a datastore's file.")
        try:
            return files.get(path.relative, last_bytes=CONSOLE_LOG_BYTES)
        except FileMissing:
            return b""  # it was never powered on
        except Unreachable:
            raise
        except HypervisorError:
            host = read(self.session, props["runtime.host"], ["name"]) if "runtime.host" in props else None
            if host is None or self.session.is_esxi:
                raise
            return tail_at_host(self.session, host["name"], path, CONSOLE_LOG_BYTES)

    @_faults_told("open a console")
    def console(self, server_id: str) -> Console:
        """A WebMKS ticket: wss://HOST:PORT/PATH, good once and soon. Raises HypervisorError when the guest is off."""
        vm, props = self._guests.need(server_id)
        if power_of(props) is not Power.ON:
            raise HypervisorError("The server is not running: it has no console. Start it first.")
        ticket: Any = vm.AcquireTicket("webmks")
        return Console(
            kind="webmks",
            host=ticket.host or self.session.host,
            port=ticket.port or (HTTPS_PORT if ticket.host else self.session.port),
            path=f"/ticket/{ticket.ticket}",
            tls_thumbprint=re.sub(r"[^0-9A-Fa-f:]", "", ticket.sslThumbprint or ""),
        )

    def stores_of(self, host: str) -> list[Files]:
        """The accessible datastores of a cluster, to write to. Raises Unreachable, HypervisorError."""
        cluster = self._inventory.cluster(host)
        _, stores = clusters.usable_stores(self.session, cluster)
        return [Files(self.session, cluster, store) for store in stores if store.record.accessible]
