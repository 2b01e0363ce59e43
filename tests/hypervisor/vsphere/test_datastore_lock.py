"""Several agents and one image: one uploads it, the others wait, and a dead one does not stop them."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from pyVmomi import vim

from polyvisor.hypervisor.vsphere import datastore_lock
from polyvisor.hypervisor.vsphere.driver import VsphereDriver
from testbed.vcenter import TestVcenter

from .conftest import Connect
from .kit import CLOUD, DiskImage, Person, cached, ignore


@pytest.fixture
def host(driver: VsphereDriver) -> str:
    return driver.hosts()[0].name


@pytest.fixture
def image(tmp_path: Path) -> DiskImage:
    return DiskImage(tmp_path)


def test_agents_that_know_nothing_of_each_other_upload_once(
    vcenter: TestVcenter, connect: Connect, image: DiskImage, person: Person
) -> None:
    drivers = [connect(vcenter, state=f"agent-{number}") for number in range(3)]
    host = drivers[0].hosts()[0].name
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda driver: driver.prepare_image(host, image.ref, image, ignore), drivers))
    assert sum(driver.images.uploads for driver in drivers) == 1
    assert sorted(cached(person, image)) == [f"{image.ref.id}-flat.vmdk", f"{image.ref.id}.vmdk", "ready.json"]


def test_a_lock_whose_holder_died_is_taken_over(
    vcenter: TestVcenter, driver: VsphereDriver, host: str, image: DiskImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datastore_lock, "STALE_SECONDS", 1.5)
    monkeypatch.setattr(datastore_lock, "POLL_SECONDS", 0.1)
    (files,) = driver.stores_of(host)
    files.make_folder(f"{driver.images.folder(image.ref.id)}/lock.1")
    files.put(f"{driver.images.folder(image.ref.id)}/lock.1/holder.json", b'{"owner": "elsewhere", "beat": 7}')
    told: list[str] = []
    since = time.monotonic()
    driver.prepare_image(host, image.ref, image, lambda _, what: told.append(what))
    assert time.monotonic() - since > 1.5
    assert any("waiting" in what for what in told)


def test_a_lock_of_an_earlier_life_of_ours_is_taken_over_at_once(
    vcenter: TestVcenter, connect: Connect, image: DiskImage
) -> None:
    first = connect(vcenter, state="kept")
    host = first.hosts()[0].name
    (files,) = first.stores_of(host)
    folder = first.images.folder(image.ref.id)
    files.make_folder(f"{folder}/lock.1")
    left = datastore_lock.DatastoreLock(files, folder, first.images._owner)
    files.put(f"{folder}/lock.1/holder.json", f'{{"owner": "{left._owner}", "beat": 3}}'.encode())
    since = time.monotonic()
    connect(vcenter, state="kept").prepare_image(host, image.ref, image, ignore)
    assert time.monotonic() - since < datastore_lock.STALE_SECONDS / 2


CHILD = """
import sys, msgspec
from pathlib import Path
from polyvisor.hypervisor.vsphere.driver import VsphereDriver
from polyvisor.hypervisor.vsphere.settings import VsphereSettings
from polyvisor.model.image import ImageRef

class Source:
    def fetch(self, image, target): raise AssertionError
    def local(self, image): return Path(sys.argv[4])

def progress(fraction, what):
    if what == sys.argv[5]:
        print("there", flush=True)
        sys.stdin.read()

settings = msgspec.json.decode(sys.argv[1], type=VsphereSettings)
driver = VsphereDriver("vc1", settings, sys.argv[2], Path(sys.argv[3]))
image = msgspec.json.decode(sys.argv[6], type=ImageRef)
driver.prepare_image(driver.hosts()[0].name, image, Source(), progress)
"""


def test_an_upload_that_is_killed_is_recognised_and_redone(
    vcenter: TestVcenter, connect: Connect, image: DiskImage, person: Person, tmp_path: Path
) -> None:
    driver = connect(vcenter, state="kept")
    settings = msgspec.json.encode(driver.session.settings).decode()
    arguments = [settings, CLOUD, str(tmp_path / "kept"), str(image.path), "uploading the image"]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments, msgspec.json.encode(image.ref).decode()],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"there\n"
        assert len(person.all(vim.VirtualMachine)) == 1  # the VM that takes the upload
        os.kill(child.pid, signal.SIGKILL)
    finally:
        child.kill()
        child.communicate()
    assert driver.hosts()[0].cached_images == frozenset()
    driver.prepare_image(driver.hosts()[0].name, image.ref, image, ignore)
    assert driver.images.uploads == 1
    assert sorted(cached(person, image)) == [f"{image.ref.id}-flat.vmdk", f"{image.ref.id}.vmdk", "ready.json"]
    assert person.all(vim.VirtualMachine) == []
