"""Removing a guest: its VM, its disks and files, and the folders that it leaves empty. Nothing of anybody else's."""

import logging

from pyVmomi import vmodl

from polyvisor.hypervisor.vsphere.cluster import usable_stores
from polyvisor.hypervisor.vsphere.files import Files
from polyvisor.hypervisor.vsphere.guest_files import VM_PATHS, files_of, own_files
from polyvisor.hypervisor.vsphere.guests import Guests
from polyvisor.hypervisor.vsphere.inventory import Inventory
from polyvisor.hypervisor.vsphere.names import vm_folder
from polyvisor.hypervisor.vsphere.port_groups import PortGroups
from polyvisor.hypervisor.vsphere.power import Powering
from polyvisor.hypervisor.vsphere.properties import Properties, read
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.hypervisor.vsphere.tasks import CREATE_VM, LAY_DISK, TaskFailed, finish, wait_for_others

log = logging.getLogger(__name__)


class GuestRemover:
    """Removes the guests of one connection."""

    def __init__(
        self, session: Session, inventory: Inventory, guests: Guests, power: Powering, groups: PortGroups
    ) -> None:
        self._session, self._inventory, self._guests, self._power = session, inventory, guests, power
        self._groups = groups

    def destroy(self, server_id: str) -> None:
        """Remove the guest; where there is none, what an unfinished `create` left behind."""
        found = self._guests.find(server_id)
        if found is None and wait_for_others(self._session, CREATE_VM, "create a VM"):
            found = self._guests.find(server_id)  # a call of ours that was killed came through after all
        if found is None:
            self._sweep_up(server_id)
            return
        vm = found[0]
        props = read(self._session, vm, [*VM_PATHS, "network"]) or {}
        stores = files_of(self._session, self._inventory, props)
        self._power.off(vm)
        try:
            finish(self._session, vm.Destroy, f"destroy the VM of server {server_id}")
        except TaskFailed as failed:
            if not isinstance(failed.fault, vmodl.fault.ManagedObjectNotFound):
                raise
        self._remove_files(server_id, stores, props)
        if "parent" in props:
            self._inventory.remove_if_empty(props["parent"])
        self._groups.remove_unused(props.get("network", ()))

    def _remove_files(self, server_id: str, stores: dict[str, Files], props: Properties) -> None:
        """Destroying a VM leaves the files that it did not make itself, and with them its folder. Where Storage
        vMotion has given it a folder of another name, only the files that are surely ours go."""
        folder = vm_folder(server_id)
        for path in own_files(props):
            if path.datastore in stores and path.relative.partition("/")[0] != folder:
                stores[path.datastore].delete(path.relative)
        for files in stores.values():
            files.delete(folder)

    def _sweep_up(self, server_id: str) -> None:
        """Look for the server's folder on all datastores it may lie on, and for folders of projects without VMs."""
        seen: set[str] = set()
        for cluster in self._inventory.clusters():
            _, stores = usable_stores(self._session, cluster)
            for each in stores:
                if each.reference._moId in seen or not each.record.accessible:
                    continue
                seen.add(each.reference._moId)
                files = Files(self._session, cluster, each)
                if files.search("", vm_folder(server_id)):
                    wait_for_others(self._session, LAY_DISK, "copy a disk")  # into that folder, it may be
                    log.info("removing what is left of server %s on %s", server_id, each.name)
                    files.delete(vm_folder(server_id))
        self._inventory.remove_empty_folders()
        self._groups.remove_all_unused()
