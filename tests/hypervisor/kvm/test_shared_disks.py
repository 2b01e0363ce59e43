"""Two real libvirtds whose guests' files lie in one directory: a guest goes from one to the other, and runs once."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from polyvisor.hypervisor.driver import GuestSpec, HypervisorError
from polyvisor.hypervisor.kvm.driver import KvmDriver
from polyvisor.hypervisor.kvm.instance import Instance
from polyvisor.hypervisor.kvm.settings import KvmSettings, VirtType
from polyvisor.model.host import disks_shared
from polyvisor.model.image import ImageRef
from polyvisor.model.power import Power
from testbed.libvirt import TestLibvirt
from tests.hypervisor.conformance import CLOUD_ID, Source, no_progress, spec_of, wait_until
from tests.hypervisor.kvm.bed import KvmBed

pytestmark = pytest.mark.xdist_group("kvm-shared_disks")


@pytest.fixture(scope="module")
def beds(bed: KvmBed) -> Iterator[tuple[TestLibvirt, TestLibvirt]]:
    with TestLibvirt("kvm-2") as second:
        yield bed.host, second


@pytest.fixture
def drivers(
    beds: tuple[TestLibvirt, TestLibvirt], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[KvmDriver]]:
    """Each with an image cache of its own, and the same instances directory."""
    shared = beds[0].directory / f"shared-{tmp_path_factory.mktemp('x').name}"
    with ExitStack() as ended:
        made = []
        for number, host in enumerate(beds):
            settings = KvmSettings(uri=host.uri, virt_type=VirtType.QEMU, instances_path=str(shared))
            driver = KvmDriver(f"kvm-{number + 1}", settings, CLOUD_ID, Path(host.directory) / "shared-state")
            ended.callback(driver.close)
            made.append(driver)
        yield made


@pytest.fixture
def guest(drivers: list[KvmDriver], image: ImageRef, source: Source) -> Iterator[GuestSpec]:
    """Made and running on the first host."""
    spec = spec_of(image)
    drivers[0].prepare_image("kvm-1", image, source, no_progress)
    drivers[0].create("kvm-1", "", spec, source, no_progress)
    drivers[0].set_power(spec.server_id, Power.ON)
    wait_until(lambda: power(drivers[0], spec) is Power.ON, lambda: "the guest does not run")
    yield spec
    for driver in drivers:
        driver.destroy(spec.server_id)


def power(driver: KvmDriver, spec: GuestSpec) -> Power | None:
    """None where there is no guest."""
    found = driver.look(spec.server_id)
    return None if found is None else found.power


def files(driver: KvmDriver, spec: GuestSpec) -> Instance:
    return Instance(driver._instances, spec.server_id)


def test_hosts_find_out_that_they_share_their_disks(drivers: list[KvmDriver], tmp_path: Path) -> None:
    first, second = drivers
    first.hosts()
    [other] = second.hosts()
    [one] = first.hosts()
    assert disks_shared(one, other)
    settings = KvmSettings(uri=first._settings.uri, virt_type=VirtType.QEMU, instances_path=str(tmp_path / "own"))
    alone = KvmDriver("kvm-1", settings, CLOUD_ID, tmp_path)
    assert not disks_shared(alone.hosts()[0], other)
    alone.close()


def test_a_guest_moves_and_its_disk_with_it(drivers: list[KvmDriver], guest: GuestSpec, source: Source) -> None:
    first, second = drivers
    inode = files(first, guest).root.stat().st_ino
    first.set_power(guest.server_id, Power.OFF)
    first.let_go(guest.server_id, "kvm-2")
    first.let_go(guest.server_id, "kvm-2")
    assert power(first, guest) is None
    second.take_over("kvm-2", guest, source, no_progress)
    second.take_over("kvm-2", guest, source, no_progress)
    assert power(second, guest) is Power.OFF
    second.set_power(guest.server_id, Power.ON)
    wait_until(lambda: power(second, guest) is Power.ON, lambda: "the guest does not run")
    assert files(second, guest).root.stat().st_ino == inode
    first.destroy(guest.server_id)  # what is left there of it: nothing, and not the files
    assert power(second, guest) is Power.ON
    assert files(second, guest).root.exists()


def test_a_disk_that_still_runs_is_not_taken(drivers: list[KvmDriver], guest: GuestSpec, source: Source) -> None:
    """The host counted as down, and was not: QEMU's lock on the disk holds."""
    first, second = drivers
    with pytest.raises(HypervisorError, match="lock"):
        second.take_over("kvm-2", guest, source, no_progress)
    assert power(first, guest) is Power.ON
    assert power(second, guest) is None
    second.let_go(guest.server_id, "kvm-1")  # the undo
    first.set_power(guest.server_id, Power.OFF)
    first.set_power(guest.server_id, Power.ON)
    wait_until(lambda: power(first, guest) is Power.ON, lambda: "the guest does not run")


def test_the_host_that_returns_neither_starts_nor_removes_what_was_taken_over(
    drivers: list[KvmDriver], guest: GuestSpec, source: Source, beds: tuple[TestLibvirt, TestLibvirt]
) -> None:
    first, second = drivers
    first.set_power(guest.server_id, Power.OFF)  # the host failed: its guest is defined there still
    second.take_over("kvm-2", guest, source, no_progress)
    second.set_power(guest.server_id, Power.ON)
    wait_until(lambda: power(second, guest) is Power.ON, lambda: "the guest does not run")
    with pytest.raises(HypervisorError, match="taken over by kvm-2"):
        first.set_power(guest.server_id, Power.ON)
    with pytest.raises(HypervisorError, match="taken over by kvm-2"):
        first.reset(guest.server_id)
    with pytest.raises(HypervisorError, match="taken over by kvm-2"):
        first.create("kvm-1", "", guest, source, no_progress)
    first.destroy(guest.server_id)
    assert power(first, guest) is None
    assert power(second, guest) is Power.ON
    second.destroy(guest.server_id)
    assert not files(second, guest).exists()


def test_disks_that_are_not_there_cannot_be_taken(drivers: list[KvmDriver], image: ImageRef, source: Source) -> None:
    with pytest.raises(HypervisorError, match="do not share"):
        drivers[1].take_over("kvm-2", spec_of(image), source, no_progress)
