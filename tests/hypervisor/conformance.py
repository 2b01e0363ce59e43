"""What the conformance suite asks of a driver's test bed, and what it gives every driver to work on.

A bed is one kind of hypervisor, real or simulated, for the length of a test module. To bring a driver under the suite,
subclass Bed in `tests/hypervisor/KIND/bed.py` and add the class to BEDS.
"""

import abc
import hashlib
import importlib
import json
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from polyvisor.hypervisor.driver import Driver, GuestSpec
from polyvisor.model.guest import GuestReport
from polyvisor.model.image import ImageRef
from polyvisor.model.network import SegmentRef
from polyvisor.model.nic import Nic
from polyvisor.model.power import Power

BEDS = {
    "simulated": "tests.hypervisor.simulated.bed:SimulatedBed",
    "kvm": "tests.hypervisor.kvm.bed:NetworkedKvmBed",
    "vsphere": "tests.hypervisor.vsphere.bed:VsphereBed",
    "esxi": "tests.hypervisor.vsphere.bed:EsxiBed",
}

CLOUD_ID = "5c3a8b9e-8f0b-4a3f-9d0c-2f0a4f6f7a10"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDWzI3Uq2m9wq3l0c8Hh0o1m7x3lq8K0oJ2n1vY5rTzQ conformance"
PATIENCE_SECONDS = 300.0
"""Bounds every wait; what takes longer is broken, however loaded the machine."""


class Bed(AbstractContextManager["Bed"], abc.ABC):
    """One hypervisor to test a driver on. Entering it brings the hypervisor up, leaving it removes all of it."""

    kind: str
    boots: bool = True
    """Whether guests really boot the image, and obey a request to shut down or reboot."""
    has_console: bool = True
    """Whether guests have a graphical console."""
    has_images: bool = True
    """Whether images are fetched."""
    most_moments: int = 40
    """At how many moments of a create the suite kills it; evenly chosen where there are more."""

    @property
    @abc.abstractmethod
    def recipe(self) -> dict[str, Any]:
        """What `connect` needs, as JSON: it crosses to another process."""

    @staticmethod
    @abc.abstractmethod
    def connect(recipe: dict[str, Any]) -> Driver:
        """A new driver object for the hypervisor, under CLOUD_ID, with the state directory of every other."""

    @property
    @abc.abstractmethod
    def image_file(self) -> Path:
        """A bootable image, in a form that has to be converted or copied for this hypervisor."""

    @property
    @abc.abstractmethod
    def image_format(self) -> str:
        """Its `disk_format`."""

    @property
    def image_properties(self) -> dict[str, str]:
        """The properties the image needs here."""
        return {}

    @abc.abstractmethod
    def traces(self) -> set[str]:
        """Everything that guests leave: files and folders (not the image cache, not the hypervisor's own logs),
        guests in
        the inventory, running processes. Read around the driver."""

    @abc.abstractmethod
    def plant_foreign(self) -> str:
        """Make a guest as someone else would, powered off or on; returns its uuid."""

    @abc.abstractmethod
    def foreign_state(self, guest_id: str) -> str:
        """All that can be known of that guest, read around the driver: equal texts mean that it was left alone."""

    @abc.abstractmethod
    def remove_foreign(self, guest_id: str) -> None:
        """Remove that guest."""

    @abc.abstractmethod
    def change_power(self, driver: Driver, server_id: str, power: Power) -> None:
        """Change a guest of ours to ON or OFF as someone at the hypervisor would; `driver` is only for a bed that has
        no
        other way to its world."""

    @abc.abstractmethod
    def vanish(self, driver: Driver, server_id: str) -> None:
        """Remove a guest of ours from the hypervisor as someone else would; its files may stay."""

    @property
    @abc.abstractmethod
    def segment(self) -> SegmentRef:
        """Of a network that guests here can be on."""

    @abc.abstractmethod
    def plugged(self, driver: Driver, server_id: str) -> list[str]:
        """The MAC addresses of the cards that the guest has in its definition and, while it runs, also has in
        itself; a card that is in only one of the two fails the assertion. Read around the driver, which is only for a
        bed that has no other way to its world."""

    @abc.abstractmethod
    def kill(self, driver: Driver) -> None:
        """End the hypervisor's control plane (libvirtd, vCenter) as a crash does."""

    @abc.abstractmethod
    def revive(self, driver: Driver) -> None:
        """Start it again."""


class Source:
    """An ImageSource that counts how often it is asked for the bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fetched = 0
        self._lock = threading.Lock()

    def fetch(self, image: ImageRef, target: Path) -> None:
        """Copy the file."""
        with self._lock:
            self.fetched += 1
        target.write_bytes(self.path.read_bytes())

    def local(self, image: ImageRef) -> Path | None:
        """Nowhere: each byte has to be fetched."""
        return None


def no_progress(fraction: float, what: str) -> None:
    """Takes what a step tells of its progress, and checks that it makes sense."""
    assert 0 <= fraction <= 1
    assert what


def image_of(bed: Bed) -> ImageRef:
    """The bed's image, under an id of its own, so that nothing of it is cached yet."""
    return image_of_file(bed.image_file, bed.image_format, bed.image_properties)


def image_of_file(file: Path, disk_format: str, properties: dict[str, str] | None = None) -> ImageRef:
    """A file as an image, under an id of its own."""
    data = file.read_bytes()
    return ImageRef(
        id=str(uuid.uuid4()),
        disk_format=disk_format,
        container_format="bare",
        size_bytes=len(data),
        virtual_size_bytes=96 << 20,
        sha512=hashlib.sha512(data).hexdigest(),
        properties=properties or {},
    )


def spec_of(image: ImageRef | None, **changes: Any) -> GuestSpec:
    """A small guest with everything a driver has to make: root, ephemeral and swap disks, config drive, user data."""
    server_id = str(uuid.uuid4())
    hostname = f"guest-{server_id[:8]}"
    document = {"uuid": server_id, "hostname": hostname, "name": hostname, "public_keys": {"mine": PUBLIC_KEY},
    "keys": [
        {"name": "mine", "type": "ssh", "data": PUBLIC_KEY}]}  # fmt: skip
    values: dict[str, Any] = {
        "server_id": server_id,
        "name": f"Guest {server_id[:8]} <&> größe",
        "hostname": hostname,
        "project_id": "0d0a5c3c6f8f4d9c8f3f2b1f0a9e8d7c",
        "project_name": "conformance",
        "vcpus": 1,
        "memory_mib": 128,
        "root_gib": 1,
        "ephemeral_gib": 1,
        "swap_mib": 16,
        "image": image,
        "config_drive": True,
        "metadata": {
            "openstack/latest/meta_data.json": json.dumps(document),
            "openstack/2018-08-27/meta_data.json": json.dumps(document),
        },
    }
    return GuestSpec(**(values | changes))


def nic_of(bed: Bed, number: int = 1) -> Nic:
    """A card on a network that guests of this bed can be on, of a port with an id of its own."""
    return Nic(
        port_id=str(uuid.uuid4()),
        network_id="0f0a5c3c-6f8f-4d9c-8f3f-2b1f0a9e8d7c",
        network_name="conformance",
        project_id="0d0a5c3c6f8f4d9c8f3f2b1f0a9e8d7c",
        mac_address=f"fa:16:3e:00:00:{number:02x}",
        mtu=1442,
        segment=bed.segment,
    )


def bed_class(kind: str) -> type[Bed]:
    """The bed of one kind."""
    module, _, name = BEDS[kind].partition(":")
    found: type[Bed] = getattr(importlib.import_module(module), name)
    return found


def wait_for(driver: Driver, server_id: str, power: Power | None) -> GuestReport | None:
    """Look until the guest has this power (None: until it is gone); returns the last look."""
    seen: list[GuestReport | None] = [None]

    def is_there() -> bool:
        seen[0] = driver.look(server_id)
        return (seen[0].power if seen[0] else None) is power

    wait_until(is_there, lambda: f"{server_id} did not become {power}: {seen[0]}")
    return seen[0]


def wait_until(true: Callable[[], bool], complaint: Callable[[], str]) -> None:
    """Ask until it is true, within PATIENCE_SECONDS."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.05)
