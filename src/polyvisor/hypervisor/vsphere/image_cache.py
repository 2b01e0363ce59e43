"""Images cached on datastores, once each, from which the servers' disks are copied by vSphere itself.

An image's folder is `polyvisor-images/CLOUD/IMAGE/`. It counts when its `ready.json` is there, which is written
last: what an upload that was killed left behind is removed by the next one.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import msgspec
from pyVmomi import vim

from polyvisor.hypervisor.driver import HypervisorError, ImageSource, Progress, Unreachable
from polyvisor.hypervisor.vsphere import marks
from polyvisor.hypervisor.vsphere.cluster import EsxiHost
from polyvisor.hypervisor.vsphere.datastore import Store
from polyvisor.hypervisor.vsphere.datastore_lock import DatastoreLock
from polyvisor.hypervisor.vsphere.disks import adapter_of, provisioning_of
from polyvisor.hypervisor.vsphere.files import FileMissing, Files
from polyvisor.hypervisor.vsphere.image_upload import remove_vm, upload_disk
from polyvisor.hypervisor.vsphere.placing import roomiest
from polyvisor.hypervisor.vsphere.properties import read, sweep
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.image.cache import CachedImage, ImageCache
from polyvisor.image.convert import ConvertOptions
from polyvisor.model.errors import PolyvisorError
from polyvisor.model.host import HypervisorType
from polyvisor.model.image import ImageRef
from polyvisor.model.image_format import DiskFormat, form_for, form_of
from polyvisor.model.record import Record

log = logging.getLogger(__name__)
READY = "ready.json"
STALE_UPLOAD_SECONDS = 6 * 3600
"""A VM that took an upload and is older than this was left behind by an agent that was killed."""
SEARCH_SECONDS = 600
"""How old our knowledge of what others put on a datastore may be; it only helps to choose."""
CONVERTED_KEPT_SECONDS = 24 * 3600
"""How long a converted image is kept beside the agent: until it has gone to the other datastores too."""


class Ready(Record):
    """What `ready.json` says of the image in its folder."""

    image_id: str
    sha512: str
    """Of the image's bytes as stored in the cloud."""
    file: str
    """The disk or disc, within the folder."""
    capacity_bytes: int


class DatastoreImages:
    """The cached images of one connection's datastores."""

    def __init__(self, session: Session, cloud_id: str, state_dir: Path, owner: str) -> None:
        """`owner` takes over at once what it has locked in an earlier life: the place, which one process has at a
        time."""
        self._session, self._cloud_id, self._owner = session, cloud_id, owner
        self._local = ImageCache(state_dir / "image-cache")
        self._lock = threading.Lock()
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._known: dict[str, tuple[float, frozenset[str]]] = {}
        self.uploads = 0
        """How many uploads were begun."""
        self.sent_bytes = 0
        """How many bytes they sent."""

    def folder(self, image_id: str = "") -> str:
        """Where an image is cached, or all of them."""
        return f"{self._session.settings.image_cache_folder}/{self._cloud_id}/{image_id}".rstrip("/")

    def cached(self, files: Files, *, fresh: bool = False) -> frozenset[str]:
        """Ids of the images that lie ready on a datastore: searched for now and then, and what we do counted in."""
        key = files.store.reference._moId
        since, known = self._known.get(key, (-SEARCH_SECONDS, frozenset()))
        if not fresh and time.monotonic() - since < SEARCH_SECONDS:
            return known
        found = files.search(self.folder(), READY, below=True)
        known = frozenset(folder.rpartition("/")[2] for folder, _ in found)
        self._known[key] = (time.monotonic(), known)
        return known

    def look_anew(self) -> None:
        """Another process has brought images here: what is known is from before."""
        with self._lock:
            self._known.clear()

    def _note(self, files: Files, image_id: str, *, there: bool) -> None:
        with self._lock:
            since, known = self._known.get(files.store.reference._moId, (-SEARCH_SECONDS, frozenset[str]()))
            known = known | {image_id} if there else known - {image_id}
            self._known[files.store.reference._moId] = (since, known)

    def ensure(
        self,
        files: Files,
        image: ImageRef,
        source: ImageSource,
        progress: Progress,
        *,
        hosts: list[EsxiHost],
        vm_folder: Any,
    ) -> Ready:
        """The image on this datastore, brought there now if it is not there yet, once for all who ask at the same time.

        `hosts`: the cluster's usable ESXi hosts; `vm_folder`: where the VM that takes the upload may be made.
        """
        if found := self._ready(files, image):
            return found
        with self._one_at_a_time(files.store, image.id):
            if found := self._ready(files, image):
                return found
            files.make_folder(self.folder(image.id))
            with DatastoreLock(files, self.folder(image.id), self._owner) as lock:
                found = lock.acquire(
                    lambda: self._ready(files, image),
                    lambda: progress(0.0, "waiting for another agent's upload of the image"),
                )
                return found or self._bring(files, image, source, progress, hosts, vm_folder)

    def _bring(
        self,
        files: Files,
        image: ImageRef,
        source: ImageSource,
        progress: Progress,
        hosts: list[EsxiHost],
        vm_folder: Any,
    ) -> Ready:
        """Convert and upload, over whatever an upload that was killed left behind."""
        local = self._converted(image, source, progress)
        disc = local.form.disk_format is DiskFormat.ISO
        made = Ready(
            image_id=image.id, sha512=image.sha512, capacity_bytes=local.virtual_size_bytes,
            file=f"{image.id}.iso" if disc else f"{image.id}.vmdk",
        )  # fmt: skip
        self.uploads += 1
        self.sent_bytes += local.path.stat().st_size
        target = f"{self.folder(image.id)}/{made.file}"
        tell: Callable[[float], None] = lambda fraction: progress(fraction, "uploading the image")  # noqa: E731
        if disc:
            files.put(target, local.path, tell)
        else:
            self._remove_left(files, image.id)
            files.delete_disk(target)
            upload_disk(
                files, local.path, local.virtual_size_bytes, target,
                name=f"polyvisor-upload-{image.id}-{os.urandom(4).hex()}",
                cloud_id=self._cloud_id, image_id=image.id, adapter=adapter_of(image.properties),
                provisioning=provisioning_of(image.properties, self._session.settings.disk_provisioning),
                host=roomiest(hosts, files.store), folder=vm_folder, progress=tell,
            )  # fmt: skip
        files.put(f"{self.folder(image.id)}/{READY}", msgspec.json.encode(made))
        self._note(files, image.id, there=True)
        log.info("image %s is ready on %s", image.id, files.store.name)
        return made

    def _remove_left(self, files: Files, image_id: str) -> None:
        """Remove the VMs that killed uploads of this image to this datastore left; its lock, which we hold, shows
        that none is at work."""
        kind, path = vim.VirtualMachine, "config.files.vmPathName"
        found = sweep(self._session, files.cluster.reference, {kind: [path, *marks.PATHS]})[kind]
        for vm, props in found:
            if marks.image_of(props, self._cloud_id) == image_id and props[path].startswith(files.store.path("")):
                remove_vm(self._session, vm)

    def _converted(self, image: ImageRef, source: ImageSource, progress: Progress) -> CachedImage:
        form = form_for(HypervisorType.VMWARE, form_of(image.disk_format, image.container_format, image.properties))
        if form is None:
            raise HypervisorError(f"vSphere cannot boot an image of the format {image.disk_format}; use a disk image.")
        try:
            return self._local.get(
                image,
                form,
                lambda path: source.fetch(image, path),
                local=source.local(image),
                options=ConvertOptions(adapter_type=adapter_of(image.properties)),
                progress=lambda percent: progress(percent / 100, "making the image ready for vSphere"),
            )
        except PolyvisorError as error:
            raise HypervisorError(error.sentence) from error
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise Unreachable(f"The bytes of image {image.id} cannot be had now: {why}. It is tried again.") from error

    def _ready(self, files: Files, image: ImageRef) -> Ready | None:
        try:
            found = msgspec.json.decode(files.get(f"{self.folder(image.id)}/{READY}"), type=Ready)
        except (FileMissing, msgspec.MsgspecError):
            return None
        return found if found.sha512 == image.sha512 else None

    @contextlib.contextmanager
    def _one_at_a_time(self, store: Store, image_id: str) -> Iterator[None]:
        with self._lock:
            lock = self._locks.setdefault((store.reference._moId, image_id), threading.Lock())
        with lock:
            yield

    def drop(self, files: Files, image_id: str) -> None:
        """Take an image off a datastore. The mark goes first: what is left after a crash is not taken for an image."""
        with self._one_at_a_time(files.store, image_id):
            self._note(files, image_id, there=False)
            files.delete(f"{self.folder(image_id)}/{READY}")
            files.delete(self.folder(image_id))

    def forget(self, all_files: list[Files], keep: Collection[str]) -> list[str]:
        """Take all images but those in `keep` off these datastores; returns their ids. Servers have copies."""
        gone: set[str] = set()
        for files in all_files:
            for image_id in sorted(self.cached(files, fresh=True) - set(keep)):
                self.drop(files, image_id)
                gone.add(image_id)
        for entry in self._local.entries():
            if entry.image_id not in keep:
                self._local.forget(entry.image_id)
        now = time.time()
        self._local.evict(now, unused_since=now - CONVERTED_KEPT_SECONDS)
        self._local.collect_stale()
        return sorted(gone)

    def remove_stale_uploads(self, vms: list[Any]) -> None:
        """Remove the VMs of uploads that were killed. One that is at work holds a lease, and vSphere refuses."""
        for vm in vms:
            props = read(self._session, vm, ["config.createDate"]) or {}
            made = props.get("config.createDate")
            if made is not None and time.time() - made.timestamp() > STALE_UPLOAD_SECONDS:
                remove_vm(self._session, vm)
