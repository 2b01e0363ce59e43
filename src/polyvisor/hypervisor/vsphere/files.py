"""The files of one datastore: folders, disks copied and moved by vSphere itself, and small files over HTTPS."""

import http.client
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from pyVmomi import vim, vmodl

from polyvisor.hypervisor.driver import HypervisorError, Unreachable
from polyvisor.hypervisor.vsphere.datastore import Store
from polyvisor.hypervisor.vsphere.faults import translated
from polyvisor.hypervisor.vsphere.inventory import Cluster
from polyvisor.hypervisor.vsphere.properties import read
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.hypervisor.vsphere.tasks import TaskFailed, finish
from polyvisor.hypervisor.vsphere.tls import BROKEN

CHUNK_BYTES = 1 << 20
_GONE = (vim.fault.FileNotFound, vmodl.fault.ManagedObjectNotFound)


class FileMissing(HypervisorError):
    """There is no such file on the datastore."""


class Files:
    """The files of a datastore. Paths are relative to its root."""

    def __init__(self, session: Session, cluster: Cluster, store: Store) -> None:
        self.session, self.cluster, self.store = session, cluster, store

    # Folders

    def make_folder(self, folder: str) -> bool:
        """Make a folder and those above it; False when it is there already. One of several callers gets True."""
        top, _, below = folder.partition("/")
        if not self.store.makes_folders:
            made = self._make_namespace(top)
            if not below:
                return made
        try:
            with translated(f"make the folder {self.store.path(folder)}"):
                # Without its parents: only so is it a refusal when the folder is there.
                self.session.content.fileManager.MakeDirectory(self.store.path(folder), self.cluster.datacenter, False)
        except HypervisorError as error:
            if isinstance(error.__cause__, vim.fault.FileAlreadyExists):
                return False
            if isinstance(error.__cause__, vim.fault.FileNotFound) and below:
                self.make_folder(folder.rpartition("/")[0])
                return self.make_folder(folder)
            raise
        return True

    def _make_namespace(self, name: str) -> bool:
        """vSAN and vVols keep each folder at the root as an object of its own."""
        try:
            self.session.content.datastoreNamespaceManager.CreateDirectory(self.store.reference, name, None)
        except (vim.fault.FileAlreadyExists, vim.fault.CannotCreateFile):
            return False
        return True

    def delete(self, path: str) -> bool:
        """Remove a file, or a folder with all in it; False when there is none."""
        manager = self.session.content.fileManager
        start = lambda: manager.DeleteFile(self.store.path(path), self.cluster.datacenter)  # noqa: E731
        return self._unless_gone(start, f"delete {self.store.path(path)}")

    def search(self, folder: str, pattern: str, *, below: bool = False) -> list[tuple[str, str]]:
        """(folder, name) of the files that match a shell pattern, in the folder or in all below it too."""
        props = read(self.session, self.store.reference, ["browser"])
        if props is None:
            return []
        spec = vim.host.DatastoreBrowser.SearchSpec(matchPattern=[pattern])
        ask = props["browser"].SearchSubFolders if below else props["browser"].Search
        try:
            found = finish(
                self.session, lambda: ask(self.store.path(folder), spec), f"search {self.store.path(folder)}"
            )
        except TaskFailed as failed:
            if isinstance(failed.fault, _GONE):
                return []
            raise
        results = found if isinstance(found, list) else [found]
        prefix = f"[{self.store.name}]"
        return [
            (result.folderPath.removeprefix(prefix).strip().rstrip("/"), each.path)
            for result in results
            for each in result.file or ()
        ]

    # Disks

    def copy_disk(self, source: str, target: str, spec: Any, progress: Callable[[float], None] | None) -> None:
        """Copy a disk within the datastore, which its hosts and arrays do by themselves. `spec`: what an ESXi host
        needs to be told of the copy's kind; vCenter takes none, and keeps the source's. Raises FileMissing."""
        manager, datacenter = self.session.content.virtualDiskManager, self.cluster.datacenter
        try:
            finish(
                self.session,
                lambda: manager.CopyVirtualDisk(
                    self.store.path(source), datacenter, self.store.path(target), datacenter,
                    spec if self.cluster.standalone else None, force=False,
                ),
                f"copy the disk {self.store.path(source)}",
                progress=progress,
            )  # fmt: skip
        except TaskFailed as failed:
            if isinstance(failed.fault, _GONE):
                raise FileMissing(str(failed)) from failed
            if isinstance(failed.fault, vim.fault.FileAlreadyExists):
                raise Unreachable(f"{self.store.path(target)} is still being copied by an earlier call.") from failed
            raise

    def move_disk(self, source_path: str, target: str) -> None:
        """Move a disk, given by its whole datastore path, to its place on this datastore: a rename."""
        manager, datacenter = self.session.content.virtualDiskManager, self.cluster.datacenter
        try:
            finish(
                self.session,
                lambda: manager.MoveVirtualDisk(source_path, datacenter, self.store.path(target), datacenter, False),
                f"move the disk {source_path}",
            )
        except TaskFailed as failed:
            if isinstance(failed.fault, vim.fault.FileAlreadyExists):
                raise Unreachable(f"Another agent has put {self.store.path(target)} there meanwhile.") from failed
            raise

    def copy_file(self, source: str, target: str, progress: Callable[[float], None] | None = None) -> None:
        """Copy a file that is no disk, over one that is there. Raises FileMissing."""
        manager, datacenter = self.session.content.fileManager, self.cluster.datacenter
        try:
            finish(
                self.session,
                lambda: manager.CopyFile(
                    self.store.path(source), datacenter, self.store.path(target), datacenter, force=True
                ),
                f"copy {self.store.path(source)}",
                progress=progress,
            )
        except TaskFailed as failed:
            if isinstance(failed.fault, _GONE):
                raise FileMissing(str(failed)) from failed
            raise

    def extend_disk(self, path: str, capacity_bytes: int, *, eager_zero: bool) -> None:
        """Make a disk larger."""
        manager, datacenter = self.session.content.virtualDiskManager, self.cluster.datacenter
        finish(
            self.session,
            lambda: manager.ExtendVirtualDisk(self.store.path(path), datacenter, capacity_bytes // 1024, eager_zero),
            f"extend the disk {self.store.path(path)}",
        )

    def delete_disk(self, path: str) -> bool:
        """Remove a disk, descriptor and extents; False when there is none."""
        manager = self.session.content.virtualDiskManager
        start = lambda: manager.DeleteVirtualDisk(self.store.path(path), self.cluster.datacenter)  # noqa: E731
        return self._unless_gone(start, f"delete the disk {self.store.path(path)}")

    def _unless_gone(self, start: Callable[[], Any], what: str) -> bool:
        try:
            finish(self.session, start, what)
        except TaskFailed as failed:
            if isinstance(failed.fault, _GONE):
                return False
            raise
        return True

    # Bytes

    def put(self, path: str, body: bytes | Path, progress: Callable[[float], None] | None = None) -> None:
        """Write a file, whole or over one that is there."""
        size = len(body) if isinstance(body, bytes) else body.stat().st_size
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}

        def send() -> http.client.HTTPResponse:
            data = iter([body]) if isinstance(body, bytes) else read_chunks(body, progress)
            return self._request("PUT", path, headers, data, timeout=self.session.settings.upload_timeout_seconds)

        self._answered(send, path).read()

    def get(self, path: str, *, last_bytes: int | None = None) -> bytes:
        """A file's bytes, or the last of them. Raises FileMissing."""
        headers = {"Range": f"bytes=-{last_bytes}"} if last_bytes else {}
        response = self._answered(lambda: self._request("GET", path, headers, iter(())), path)
        if response.status == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return b""  # the file is empty
        return response.read() if last_bytes is None else read_tail(response, last_bytes)

    def _answered(self, send: Callable[[], http.client.HTTPResponse], path: str) -> http.client.HTTPResponse:
        """The response; asked twice when the session had ended or the connection broke: the same bytes do no harm."""
        generation = self.session.generation
        for again in (False, True):
            try:
                response = send()
            except (OSError, http.client.HTTPException) as error:
                if again or not isinstance(error, BROKEN):
                    raise self.session.unreachable(error) from error
                continue
            if response.status == http.client.UNAUTHORIZED and not again:
                response.close()
                self.session.renew(generation)
                continue
            return self._checked(response, path)
        raise AssertionError("the second answer is always returned")

    def _checked(self, response: http.client.HTTPResponse, path: str) -> http.client.HTTPResponse:
        where, status = self.store.path(path), response.status
        if status < 400 or status == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return response
        response.close()
        if status == http.client.NOT_FOUND:
            raise FileMissing(f"There is no {where}.")
        if status == http.client.UNAUTHORIZED:
            raise Unreachable(
                f"The session at {self.session.host} ended while {where} was asked for; it is tried again."
            )
        if status in (http.client.BAD_GATEWAY, http.client.SERVICE_UNAVAILABLE, http.client.GATEWAY_TIMEOUT):
            raise Unreachable(f"{self.session.host} cannot reach {where} now: {status} {response.reason}.")
        raise HypervisorError(
            f"{self.session.host} refuses access to {where}: {status} {response.reason}. The user needs the "
            "privileges Datastore.Browse and Datastore.FileManagement on the datastore."
        )

    def _request(
        self, method: str, path: str, headers: dict[str, str], data: Iterator[bytes], timeout: float = 0
    ) -> http.client.HTTPResponse:
        """One request to the datastore's folder, as the Web Services SDK guide has it for HTTP access."""
        where = urlencode({"dcPath": self.cluster.datacenter_path, "dsName": self.store.name}, quote_via=quote)
        connection = self.session.open(timeout=timeout)
        connection.putrequest(method, f"/folder/{quote(path)}?{where}", skip_accept_encoding=True)
        for name, value in {**headers, "Cookie": self.session.cookie, "Connection": "close"}.items():
            connection.putheader(name, value)
        connection.endheaders()
        for chunk in data:
            connection.send(chunk)
        return connection.getresponse()


def read_tail(response: http.client.HTTPResponse, last_bytes: int) -> bytes:
    """The end of a body, also where the server takes no ranges and sends it all."""
    tail = b""
    while chunk := response.read(CHUNK_BYTES):
        tail = (tail + chunk)[-last_bytes:]
    return tail


def read_chunks(path: Path, progress: Callable[[float], None] | None) -> Iterator[bytes]:
    """A file's bytes, a MiB at a time, telling how much of it is gone."""
    size = path.stat().st_size
    done = 0
    with path.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            yield chunk
            done += len(chunk)
            if progress:
                progress(done / size)
