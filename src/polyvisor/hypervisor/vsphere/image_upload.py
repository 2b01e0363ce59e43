"""The upload of a disk to a datastore: an NFC import lease for a VM that exists for this only, and its disk taken
from it.

A streamOptimized VMDK is sent, which holds the image's allocated bytes, compressed; the ESXi host writes it out as a
disk of the kind asked for. Source: ResourcePool.ImportVApp and HttpNfcLease in the vSphere Web Services API reference.
"""

import contextlib
import contextvars
import http.client
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pyVmomi import vim, vmodl

from polyvisor.hypervisor.driver import HypervisorError, Unreachable
from polyvisor.hypervisor.vsphere.disks import Provisioning, new_disk, scsi_or_ide
from polyvisor.hypervisor.vsphere.faults import told, translated
from polyvisor.hypervisor.vsphere.files import Files, read_chunks
from polyvisor.hypervisor.vsphere.marks import mark_of_image, options
from polyvisor.hypervisor.vsphere.properties import read
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.hypervisor.vsphere.settings import HTTPS_PORT
from polyvisor.hypervisor.vsphere.tasks import TaskFailed, finish
from polyvisor.hypervisor.vsphere.tls import Trust

log = logging.getLogger(__name__)
LEASE_BEAT_SECONDS = 15.0
"""How often a lease is told that we are still at it; it ends after five minutes of silence."""
READY_SECONDS = 300.0
REMOVE_TRIES = 3
_STREAM_TYPE = "application/x-vnd.vmware-streamVmdk"


def upload_disk(
    files: Files, source: Path, capacity_bytes: int, target: str, *, name: str, cloud_id: str, image_id: str,
    adapter: str, provisioning: Provisioning, host: Any, folder: Any, progress: Callable[[float], None],
) -> None:  # fmt: skip
    """Bring a streamOptimized VMDK to the datastore as the disk `target`, which must not exist yet.

    `name`: the passing VM's; `host`: the ESXi host that takes the bytes; `folder`: the VM folder for it. Raises what
    `progress` raises, HypervisorError or Unreachable; then neither VM nor disk are left, where vSphere can be reached.
    """
    session = files.session
    spec = vim.vm.VmImportSpec(
        configSpec=vim.vm.ConfigSpec(
            name=name,
            guestId="otherGuest64",
            numCPUs=1,
            memoryMB=4,
            annotation="Polyvisor uploads an image with this VM, and removes it afterwards.",
            files=vim.vm.FileInfo(vmPathName=files.store.path("")),
            extraConfig=options(mark_of_image(cloud_id, image_id)),
            deviceChange=_devices(files, capacity_bytes, adapter, provisioning),
        )
    )
    with translated("begin the upload of an image"):
        lease = files.cluster.pool.ImportVApp(spec, folder, host)
    vm = _send(session, lease, source, progress)
    try:
        disk = _take_disk(session, vm)
        files.move_disk(disk, target)
    finally:
        remove_vm(session, vm)


def _devices(files: Files, capacity_bytes: int, adapter: str, provisioning: Provisioning) -> list[Any]:
    controller = scsi_or_ide(adapter)
    disk = new_disk(files.store, "", capacity_bytes, provisioning, controller=controller.key, unit=0)
    add = vim.vm.device.VirtualDeviceSpec.Operation.add
    changes = [vim.vm.device.VirtualDeviceSpec(operation=add, device=controller)] if adapter != "ide" else []
    create = vim.vm.device.VirtualDeviceSpec.FileOperation.create
    return [*changes, vim.vm.device.VirtualDeviceSpec(operation=add, fileOperation=create, device=disk)]


def _send(session: Session, lease: Any, source: Path, progress: Callable[[float], None]) -> Any:
    """Send the bytes under the lease; returns the VM that has them."""
    info = None
    try:
        info = _ready(session, lease)
        urls = [url for url in info.deviceUrl or () if url.disk]
        if len(urls) != 1:
            raise HypervisorError(f"vSphere gives {len(urls)} addresses for the upload of one disk.")
        with _Beat(lease) as beat:
            _post(session, urls[0], source, beat.tell(progress))
        with translated("finish the upload of an image"):
            lease.Complete()
    except BaseException:
        with contextlib.suppress(vmodl.MethodFault, HypervisorError):
            lease.Abort()  # vSphere removes the VM with it
        if info is not None:
            remove_vm(session, info.entity)  # unless the lease had ended, and the answer was lost
        raise
    return info.entity


def _ready(session: Session, lease: Any) -> Any:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        with translated("follow the lease of an upload"):
            props = read(session, lease, ["state", "error"]) or {}
        state = props.get("state")
        if state == "ready":
            with translated("follow the lease of an upload"):
                info = (read(session, lease, ["info"]) or {}).get("info")
            if info is not None:
                return info
            state = None  # it ended after we had asked
        if state == "error":
            raise told("take the upload of an image", props.get("error"))
        if state is None or time.monotonic() > deadline:
            raise Unreachable("vSphere does not get ready for the upload of an image; it is tried again.")
        time.sleep(0.1)


def _post(session: Session, url: Any, source: Path, progress: Callable[[float], None]) -> None:
    parts = urlsplit(url.url.replace("*", session.host))
    host, port = parts.hostname or session.host, parts.port or HTTPS_PORT
    if "*" in url.url:
        port = session.port
    ours = host == session.host
    # The lease came over a connection that we trust, and names the certificate of the ESXi host that takes the bytes.
    pinned = None if ours or not url.sslThumbprint else _trust_of(url.sslThumbprint)
    connection = session.open(host, port, pinned, session.settings.upload_timeout_seconds)
    try:
        connection.putrequest(
            "POST", f"{parts.path}?{parts.query}" if parts.query else parts.path, skip_accept_encoding=True
        )
        connection.putheader("Content-Length", str(source.stat().st_size))
        connection.putheader("Content-Type", _STREAM_TYPE)
        connection.putheader("Overwrite", "t")
        if ours:
            connection.putheader("Cookie", session.cookie)
        connection.endheaders()
        for chunk in read_chunks(source, progress):
            connection.send(chunk)
        response = connection.getresponse()
        if response.status >= 300:
            raise HypervisorError(
                f"{host} refuses the upload of an image: {response.status} {response.reason}. {_said(response)}"
            )
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(
            f"The upload of an image to {host}:{port} broke off: {error or type(error).__name__}. It is tried "
            "again; ESXi hosts must be reachable from here on that port."
        ) from error
    finally:
        connection.close()


def _trust_of(thumbprint: str) -> Trust:
    return Trust(digest=thumbprint.replace(":", "").lower(), setting="thumbprint of that ESXi host in vCenter")


def _said(response: http.client.HTTPResponse) -> str:
    return response.read(500).decode(errors="replace").strip()


def _take_disk(session: Session, vm: Any) -> str:
    """Detach the VM's disk; returns its datastore path."""
    props = read(session, vm, ["config.hardware.device"]) or {}
    found = props.get("config.hardware.device", ())
    disks: list[Any] = [each for each in found if isinstance(each, vim.vm.device.VirtualDisk)]
    if len(disks) != 1:
        raise HypervisorError(f"The VM that took the image has {len(disks)} disks, and should have one.")
    # Without a file operation, the disk's file stays.
    remove = vim.vm.device.VirtualDeviceSpec(operation="remove", device=disks[0])
    spec = vim.vm.ConfigSpec(deviceChange=[remove])
    finish(session, lambda: vm.Reconfigure(spec), "take the image's disk from the VM that it was uploaded to")
    return str(disks[0].backing.fileName)


def remove_vm(session: Session, vm: Any) -> None:
    """Remove a VM that served an upload, as well as can be: one that stays is found and removed by the next upload."""
    for attempt in range(REMOVE_TRIES):
        try:
            finish(session, vm.Destroy, "remove the VM that an image was uploaded with", within_seconds=120)
        except TaskFailed as failed:
            if isinstance(failed.fault, vmodl.fault.ManagedObjectNotFound):
                return
            log.warning("a VM that served an upload stays for now: %s", failed)
        except HypervisorError as error:
            if isinstance(error, Unreachable) and attempt + 1 < REMOVE_TRIES:
                continue
            log.warning("a VM that served an upload stays for now: %s", error)
        return


class _Beat:
    """Keeps a lease alive from a thread of its own: the host may be silent for long while it writes."""

    def __init__(self, lease: Any) -> None:
        self._lease = lease
        self._percent = 0
        self._stop = threading.Event()
        # In the step's own context: a step that may do no more must not keep its lease alive either.
        beat = contextvars.copy_context()
        self._thread = threading.Thread(target=beat.run, args=(self._run,), name="nfc-lease", daemon=True)

    def tell(self, progress: Callable[[float], None]) -> Callable[[float], None]:
        """The same, also remembered for the lease."""

        def both(fraction: float) -> None:
            self._percent = int(fraction * 100)
            progress(fraction)

        return both

    def _run(self) -> None:
        while not self._stop.wait(LEASE_BEAT_SECONDS):
            with contextlib.suppress(vmodl.MethodFault, HypervisorError):
                self._lease.Progress(min(self._percent, 99))

    def __enter__(self) -> "_Beat":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
