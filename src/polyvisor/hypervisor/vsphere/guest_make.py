"""Making a guest, so that it is there as a whole or not at all.

Its folder on the datastore bears the server's id. What is laid there before the VM exists (the root disk's copy, the
config drive) is found by that name alone, and begun anew by the next `create`; the VM comes last, complete, in one
call.
"""

import contextlib
import logging
from collections.abc import Callable
from typing import Any

from pyVmomi import vim, vmodl

from polyvisor.hypervisor import config_drive
from polyvisor.hypervisor.driver import GuestSpec, HypervisorError, ImageSource, Progress
from polyvisor.hypervisor.vsphere import disks
from polyvisor.hypervisor.vsphere.cluster import EsxiHost, usable_stores
from polyvisor.hypervisor.vsphere.datastore import GIB, choose
from polyvisor.hypervisor.vsphere.files import FileMissing, Files
from polyvisor.hypervisor.vsphere.guest_spec import BOOT_DISC, CONFIG_DRIVE, ROOT_DISK, GuestFiles, config_spec
from polyvisor.hypervisor.vsphere.guests import Guests
from polyvisor.hypervisor.vsphere.image_cache import DatastoreImages, Ready
from polyvisor.hypervisor.vsphere.inventory import Cluster, Inventory
from polyvisor.hypervisor.vsphere.names import vm_folder
from polyvisor.hypervisor.vsphere.placing import roomiest
from polyvisor.hypervisor.vsphere.port_filters import PortFilters
from polyvisor.hypervisor.vsphere.port_groups import PortGroups
from polyvisor.hypervisor.vsphere.properties import read
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.hypervisor.vsphere.tasks import CREATE_VM, LAY_DISK, TaskFailed, finish, wait_for_others
from polyvisor.model.image import ImageRef
from polyvisor.model.record import Record

log = logging.getLogger(__name__)
_IS_THERE = (vim.fault.DuplicateName, vim.fault.FileAlreadyExists, vim.fault.AlreadyExists)
# The project's folder, or a network's port group, which another connection found empty and removed meanwhile.
_WENT = (vmodl.fault.ManagedObjectNotFound, vim.fault.InvalidDeviceBacking, vim.fault.NotFound)


class _Site(Record):
    """Where a guest is made, and with what."""

    files: Files
    hosts: list[EsxiHost]
    source: ImageSource
    progress: Progress

    @property
    def host_keys(self) -> list[str]:
        """The managed object ids of the hosts."""
        return [host.reference._moId for host in self.hosts]

    def tell(self, what: str) -> Callable[[float], None]:
        """The progress of one part."""
        return lambda fraction: self.progress(fraction, what)


class GuestMaker:
    """Makes the guests of one connection."""

    def __init__(
        self,
        session: Session,
        inventory: Inventory,
        guests: Guests,
        images: DatastoreImages,
        groups: PortGroups,
        filters: PortFilters,
        cloud_id: str,
    ) -> None:
        self._session, self._inventory, self._guests = session, inventory, guests
        self._images, self._groups, self._filters, self._cloud_id = images, groups, filters, cloud_id

    def prepare_image(self, cluster: Cluster, image: ImageRef, source: ImageSource, progress: Progress) -> str:
        """Bring the image to the datastore that suits best; returns its name."""
        hosts, stores = usable_stores(self._session, cluster)
        reachable = [Files(self._session, cluster, store) for store in stores if store.record.accessible]
        cached = set[str]()
        if len(reachable) > 1:
            cached = {files.store.name for files in reachable if image.id in self._images.cached(files)}
        store = choose(stores, image.size_bytes, cached=cached, place=cluster.title)
        self._ensure(
            _Site(files=Files(self._session, cluster, store), hosts=hosts, source=source, progress=progress), image
        )
        return store.name

    def _ensure(self, site: _Site, image: ImageRef) -> Ready:
        folder = self._inventory.top_folder(site.files.cluster)
        return self._images.ensure(site.files, image, site.source, site.progress, hosts=site.hosts, vm_folder=folder)

    def create(
        self, cluster: Cluster, datastore: str, spec: GuestSpec, source: ImageSource, progress: Progress
    ) -> None:
        """Make the guest, powered off. One that is there is complete. Raises HypervisorError."""
        if self._guests.find_or_refuse(spec.server_id) is None:
            self._make(cluster, datastore, spec, source, progress)
        if spec.nics:
            self._filters.apply_to(cluster, self._guests.need(spec.server_id)[0], spec.nics)

    def _make(self, cluster: Cluster, datastore: str, spec: GuestSpec, source: ImageSource, progress: Progress) -> None:
        hosts, stores = usable_stores(self._session, cluster)
        store = choose(stores, self._needed_bytes(spec), wished=datastore, place=cluster.title)
        files = Files(self._session, cluster, store)
        site = _Site(files=files, hosts=hosts, source=source, progress=progress)
        self._groups.check(cluster, site.host_keys, spec.nics)
        self._filters.check(cluster, spec.nics)
        self._config_spec(spec, files, GuestFiles())  # refuses what cannot be, before anything is laid
        fresh = files.make_folder(vm_folder(spec.server_id))
        if not fresh and self._came_through(spec.server_id):
            return
        laid = self._lay_root(site, spec, spec.image, fresh=fresh) if spec.image else GuestFiles()
        if spec.config_drive:
            files.put(f"{vm_folder(spec.server_id)}/{CONFIG_DRIVE}", config_drive.build(spec))
        made = GuestFiles(root_bytes=laid.root_bytes, boot_disc=laid.boot_disc, config_drive=spec.config_drive)
        self._create_vm(site, spec, made)

    def _came_through(self, server_id: str) -> bool:
        """Whether an earlier call, of this process or of one before it, has made the VM after all. Its tasks run on
        though it was killed or its place was taken, and what they do must not meet with what is done now."""
        if not wait_for_others(self._session, CREATE_VM | LAY_DISK, "make a server"):
            return False
        return self._guests.find_or_refuse(server_id) is not None

    def _config_spec(self, spec: GuestSpec, files: Files, laid: GuestFiles, backings: tuple[Any, ...] = ()) -> Any:
        return config_spec(spec, self._cloud_id, files.store, laid, self._session.settings.disk_provisioning, backings)

    def _provisioning(self, spec: GuestSpec) -> disks.Provisioning:
        properties = spec.image.properties if spec.image else {}
        return disks.provisioning_of(properties, self._session.settings.disk_provisioning)

    def _needed_bytes(self, spec: GuestSpec) -> int:
        """What must be free: all of thick disks, of thin ones what the image fills at once."""
        if self._provisioning(spec) is disks.Provisioning.THIN:
            return spec.image.size_bytes if spec.image else 0
        root = max(spec.root_gib * GIB, spec.image.virtual_size_bytes if spec.image else 0)
        return root + spec.ephemeral_gib * GIB + (spec.swap_mib << 20)

    def _lay_root(self, site: _Site, spec: GuestSpec, image: ImageRef, *, fresh: bool) -> GuestFiles:
        """Copy the cached image into the guest's folder, and make it as large as the flavor says."""
        try:
            return self._copy(site, spec, self._ensure(site, image), fresh=fresh)
        except FileMissing:
            # Somebody removed the cached disk from the datastore, and left its mark.
            log.warning("image %s has gone from %s; it is uploaded again", image.id, site.files.store.name)
            self._images.drop(site.files, image.id)
            return self._copy(site, spec, self._ensure(site, image), fresh=False)

    def _copy(self, site: _Site, spec: GuestSpec, ready: Ready, *, fresh: bool) -> GuestFiles:
        cached, folder = f"{self._images.folder(ready.image_id)}/{ready.file}", vm_folder(spec.server_id)
        tell = site.tell("copying the image to the server's disk")
        if ready.file.endswith(".iso"):
            site.files.copy_file(cached, f"{folder}/{BOOT_DISC}", tell)
            return GuestFiles(boot_disc=True)
        if spec.root_gib and spec.root_gib * GIB < ready.capacity_bytes:
            raise HypervisorError(
                f"The image's disk has {-(-ready.capacity_bytes // GIB)} GiB, and the flavor's root disk "
                f"{spec.root_gib} GiB. Choose a flavor with a larger root disk."
            )
        properties = spec.image.properties if spec.image else {}
        provisioning, target = self._provisioning(spec), f"{folder}/{ROOT_DISK}"
        if not fresh:
            site.files.delete_disk(target)
        copy = disks.copy_spec(disks.adapter_of(properties), ready.capacity_bytes, provisioning)
        site.files.copy_disk(cached, target, copy, tell)
        wanted = max(spec.root_gib * GIB, ready.capacity_bytes)
        if wanted > ready.capacity_bytes:
            eager = provisioning is disks.Provisioning.EAGER_ZEROED
            site.files.extend_disk(target, wanted, eager_zero=eager)
        return GuestFiles(root_bytes=wanted)

    def _create_vm(self, site: _Site, spec: GuestSpec, laid: GuestFiles) -> None:
        try:
            vm = self._try_create(site, spec, laid)
        except TaskFailed as failed:
            if isinstance(failed.fault, _WENT):
                vm = self._try_create(site, spec, laid)
            elif isinstance(failed.fault, _IS_THERE) and self._guests.find_or_refuse(spec.server_id) is not None:
                return  # an earlier call of ours, whose reply was lost, came through
            else:
                raise
        self._keep_one(vm, spec.server_id)

    def _try_create(self, site: _Site, spec: GuestSpec, laid: GuestFiles) -> Any:
        cluster = site.files.cluster
        with (
            self._groups.plugs(cluster, site.host_keys, spec.nics) as plugs,
            self._inventory.folder_for(cluster, spec.project_id, spec.project_name) as folder,
        ):
            made = self._config_spec(spec, site.files, laid, plugs.backings)
            reaching = [host for host in site.hosts if host.reference._moId in plugs.hosts]
            host = roomiest(reaching, site.files.store)
            start = lambda: folder.CreateVm(made, cluster.pool, host)  # noqa: E731
            return finish(self._session, start, f"create the VM {made.name}")

    def _keep_one(self, vm: Any, server_id: str) -> None:
        """vCenter changes a VM's instanceUuid where one has it already: then an earlier call of ours came through."""
        props = read(self._session, vm, ["config.instanceUuid"]) or {}
        if props.get("config.instanceUuid") != server_id:
            log.warning("the server %s was made twice at once; the second VM is removed", server_id)
            with contextlib.suppress(vmodl.MethodFault):
                vm.Unregister()  # its files are those of the first
