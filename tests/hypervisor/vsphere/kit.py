"""What the tests of the vSphere driver share: specifications, images, waiting, and a person in vCenter."""

import hashlib
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import requests
from pyVmomi import vim

from polyvisor.hypervisor.driver import GuestSpec
from polyvisor.hypervisor.vsphere.properties import read, sweep
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.hypervisor.vsphere.tasks import finish
from polyvisor.model.image import ImageRef
from testbed.vcenter import TestVcenter

CLOUD = "6d0f35c5-3c4f-4b0e-9d3e-1f0a4c1b7a01"
OTHER_CLOUD = "6d0f35c5-3c4f-4b0e-9d3e-1f0a4c1b7a02"
PROJECT = "0123456789abcdef0123456789abcdef"
MIB = 1 << 20
INJECTIONS = "faults"
WAIT_SECONDS = 120.0
T = TypeVar("T")


def ignore(fraction: float, what: str) -> None:
    """A progress that nobody looks at."""


def spec_of(**changes: Any) -> GuestSpec:
    """A small server without an image, unless told otherwise."""
    given: dict[str, Any] = {
        "server_id": str(uuid.uuid4()), "name": "web", "hostname": "web", "project_id": PROJECT, "project_name": "demo",
        "vcpus": 1, "memory_mib": 128, "root_gib": 1, "image": None,
        "metadata": {"openstack/latest/meta_data.json": '{"uuid": "u", "public_keys": {"k": "ssh-ed25519 AAAA k"}}'},
    }  # fmt: skip
    return GuestSpec(**{**given, **changes})


def eventually(look: Callable[[], T], wanted: Callable[[T], bool], within_seconds: float = WAIT_SECONDS) -> T:
    """Look until it is as wanted; fails with what was seen last."""
    deadline = time.monotonic() + within_seconds
    while True:
        seen = look()
        if wanted(seen):
            return seen
        assert time.monotonic() < deadline, f"after {within_seconds} s it is still {seen!r}"
        time.sleep(0.05)


class DiskImage:
    """An image whose bytes lie in a file, and the source that hands them out, counting how often."""

    def __init__(self, folder: Path, *, data_mib: int = 4, size_mib: int = 64, **properties: str) -> None:
        raw, self.path = folder / "image.raw", folder / "image.qcow2"
        with raw.open("wb") as out:
            out.write(os.urandom(data_mib * MIB))
            out.truncate(size_mib * MIB)
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, self.path], check=True)
        self.raw = raw
        self.data_bytes, self.size_bytes = data_mib * MIB, size_mib * MIB
        self.fetched = 0
        stored = self.path.read_bytes()
        self.ref = ImageRef(
            id=str(uuid.uuid4()), disk_format="qcow2", container_format="bare", size_bytes=len(stored),
            virtual_size_bytes=self.size_bytes, sha512=hashlib.sha512(stored).hexdigest(), properties=properties,
        )  # fmt: skip

    def fetch(self, image: ImageRef, target: Path) -> None:
        """As ImageSource has it."""
        assert image.id == self.ref.id
        self.fetched += 1
        shutil.copyfile(self.path, target)

    def local(self, image: ImageRef) -> Path | None:
        """Elsewhere: it has to be fetched."""
        return None


class Person:
    """Somebody else at the vCenter: an administrator, DRS or HA."""

    def __init__(self, session: Session, vcenter: TestVcenter) -> None:
        self.session, self.vcenter = session, vcenter

    def all(self, kind: Any, *paths: str) -> list[tuple[Any, dict[str, Any]]]:
        """Every object of a type, with its name and the properties asked for."""
        return sweep(self.session, self.session.content.rootFolder, {kind: ["name", *paths]})[kind]

    def named(self, kind: Any, name: str) -> Any:
        """The one object of a type with this name."""
        (found,) = [reference for reference, props in self.all(kind) if props["name"] == name]
        return found

    def vm(self, server_id: str) -> Any:
        """A server's VM."""
        (found,) = self.session.content.searchIndex.FindAllByUuid(None, server_id, True, True)
        return found

    def get(self, reference: Any, path: str) -> Any:
        """One property."""
        return (read(self.session, reference, [path]) or {}).get(path)

    def do(self, start: Callable[[], Any]) -> Any:
        """Run a task to its end."""
        return finish(self.session, start, "do what the test asks for")

    def make_vm(self, name: str, *, memory_mib: int = 128, **config: Any) -> Any:
        """A VM of somebody else's, beside ours."""
        cluster = self.all(vim.ComputeResource if self.vcenter.options.esx else vim.ClusterComputeResource)[0][0]
        folder = self.all(vim.Datacenter, "vmFolder")[0][1]["vmFolder"]
        spec = vim.vm.ConfigSpec(
            name=name, guestId="otherGuest64", numCPUs=1, memoryMB=memory_mib,
            files=vim.vm.FileInfo(vmPathName="[datastore1]"), **config,
        )  # fmt: skip
        pool = self.get(cluster, "resourcePool")
        return self.do(lambda: folder.CreateVm(spec, pool, None))

    def end_sessions_but_mine(self) -> int:
        """As vCenter does with idle ones, or an administrator; returns how many."""
        manager = self.session.content.sessionManager
        mine = self.get(manager, "currentSession").key
        others = [each.key for each in self.get(manager, "sessionList") if each.key != mine]
        for key in others:
            manager.TerminateSession([key])
        return len(others)

    def behind(self, method: str, path: str, body: dict[str, Any] | None = None, **query: str) -> Any:
        """Reach behind the API of the test vCenter: trouble to come (`faults`), and what DRS and HA do."""
        response = requests.request(
            method, f"https://{self.vcenter.host}/polyvisor-test/{path}", params=query, json=body,
            auth=(self.vcenter.user, self.vcenter.password), verify=str(self.vcenter.cert_path), timeout=60,
        )  # fmt: skip
        response.raise_for_status()
        return response.json()

    def trouble(self, method: str, action: str, **more: Any) -> None:
        """Let the next call of an API method, or request such as "PUT /folder", meet with trouble."""
        self.behind("POST", INJECTIONS, {"method": method, "action": action, **more})

    def files(self) -> list[str]:
        """All that lies on the datastores: "datastore1/folder/file", folders with a slash at the end."""
        found = []
        for top in sorted((self.vcenter.data_dir / "datastores").glob("*/*")):
            # What goes while it is listed is passed over, as `Path.rglob` would not do.
            for place, folders, names in os.walk(top):
                found += [str(Path(place, name).relative_to(top.parent)) + "/" for name in folders]
                found += [str(Path(place, name).relative_to(top.parent)) for name in names]
        return sorted(found)


class NoImages:
    """A source that must not be asked."""

    def fetch(self, image: ImageRef, target: Path) -> None:
        """As ImageSource has it."""
        raise AssertionError("no image is asked for")

    def local(self, image: ImageRef) -> Path | None:
        """As ImageSource has it."""
        raise AssertionError("no image is asked for")


NO_IMAGES = NoImages()


def cached(person: Person, image: DiskImage) -> list[str]:
    """What lies in an image's folder on a datastore."""
    found = [path.partition(f"/{image.ref.id}/")[2] for path in person.files()]
    return [path for path in found if path]
