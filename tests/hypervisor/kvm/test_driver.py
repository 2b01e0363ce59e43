"""What the KVM driver does beyond what all drivers do."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from polyvisor.hypervisor.driver import GuestSpec, HypervisorError
from polyvisor.hypervisor.kvm import domain_xml
from polyvisor.hypervisor.kvm.driver import KvmDriver
from polyvisor.hypervisor.kvm.instance import Instance
from polyvisor.model.image import ImageRef
from polyvisor.model.power import Power
from tests.hypervisor.conformance import Source, image_of, no_progress, spec_of, wait_for, wait_until
from tests.hypervisor.conformance_child import Child
from tests.hypervisor.kvm.bed import FOREIGN, KvmBed

pytestmark = pytest.mark.xdist_group("kvm-driver")


def make(driver: KvmDriver, source: Source, spec: GuestSpec) -> Instance:
    host = driver.hosts()[0].name
    driver.create(host, "", spec, source, no_progress)
    return Instance(driver._instances, spec.server_id)


@pytest.fixture
def guest(bed: KvmBed, driver: KvmDriver, image: ImageRef, source: Source) -> Iterator[GuestSpec]:
    spec = spec_of(image)
    make(driver, source, spec)
    yield spec
    driver.destroy(spec.server_id)


@contextlib.contextmanager
def domain_of(bed: KvmBed, server_id: str) -> Iterator[Any]:
    link = bed.host.connect()
    try:
        yield link.lookupByUUIDString(server_id)
    finally:
        link.close()


def test_the_disks_are_as_large_as_the_flavor_says_and_take_no_room(
    bed: KvmBed, driver: KvmDriver, image: ImageRef, source: Source
) -> None:
    spec = spec_of(image, root_gib=3, ephemeral_gib=2, swap_mib=64)
    instance = make(driver, source, spec)
    told = subprocess.run(["qemu-img", "info", "--output=json", instance.root], capture_output=True, check=True).stdout
    root = msgspec.json.decode(told)
    assert root["virtual-size"] == 3 << 30
    assert root["full-backing-filename"].startswith(str(bed.state_dir / "image-cache"))
    assert root["backing-filename-format"] == "qcow2"
    assert instance.ephemeral.stat().st_size == 2 << 30
    assert instance.swap.stat().st_size == 64 << 20
    assert sum(file.stat().st_blocks * 512 for file in instance.directory.iterdir()) < 80 << 20
    blkid = shutil.which("blkid") or "/usr/sbin/blkid"
    for file, kind in ((instance.ephemeral, "ext4"), (instance.swap, "swap")):
        assert (
            f"TYPE={kind}" in subprocess.run([blkid, "-p", "-o", "export", file], capture_output=True, text=True).stdout
        )
    driver.destroy(spec.server_id)


def test_a_root_disk_of_0_gib_is_as_large_as_the_image(driver: KvmDriver, image: ImageRef, source: Source) -> None:
    spec = spec_of(image, root_gib=0)
    instance = make(driver, source, spec)
    told = subprocess.run(["qemu-img", "info", "--output=json", instance.root], capture_output=True, check=True).stdout
    assert msgspec.json.decode(told)["virtual-size"] == image.virtual_size_bytes
    driver.destroy(spec.server_id)


def test_an_image_larger_than_the_root_disk_is_refused_and_leaves_nothing(
    bed: KvmBed, driver: KvmDriver, source: Source, tmp_path: Path
) -> None:
    disk = tmp_path / "large.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "2G"], check=True)
    large = image_ref(disk, "qcow2", 2 << 30)
    before = bed.traces()
    spec = spec_of(large, root_gib=1)
    with pytest.raises(HypervisorError, match="needs 2 GiB"):
        make(driver, Source(disk), spec)
    driver.destroy(spec.server_id)
    assert bed.traces() == before


def test_an_installer_disc_is_booted_beside_a_blank_disk(bed: KvmBed, driver: KvmDriver, tmp_path: Path) -> None:
    from polyvisor.hypervisor.config_drive import build_image

    disc = tmp_path / "installer.iso"
    disc.write_bytes(build_image({"install/README": b"put your system here"}))
    spec = spec_of(image_ref(disc, "iso", disc.stat().st_size), root_gib=2)
    instance = make(driver, Source(disc), spec)
    with domain_of(bed, spec.server_id) as domain:
        definition = domain.XMLDesc()
    assert "disk.iso" in definition
    told = subprocess.run(["qemu-img", "info", "--output=json", instance.root], capture_output=True, check=True).stdout
    assert "backing-filename" not in msgspec.json.decode(told)
    driver.set_power(spec.server_id, Power.ON)
    wait_for(driver, spec.server_id, Power.ON)
    driver.destroy(spec.server_id)


@pytest.mark.parametrize("properties", [{"hw_disk_bus": "nvme"}, {"hw_machine_type": "q36"}, {"kernel_id": "x"}])
def test_what_the_image_may_not_ask_for_is_refused_and_leaves_nothing(
    bed: KvmBed, driver: KvmDriver, image: ImageRef, source: Source, properties: dict[str, str]
) -> None:
    before = bed.traces()
    spec = spec_of(msgspec.structs.replace(image, properties=image.properties | properties))
    with pytest.raises(HypervisorError):
        make(driver, source, spec)
    driver.destroy(spec.server_id)
    assert bed.traces() == before


def test_more_vcpus_than_qemu_has_are_refused(driver: KvmDriver, image: ImageRef, source: Source) -> None:
    with pytest.raises(HypervisorError, match="vCPUs"):
        make(driver, source, spec_of(image, vcpus=100_000))


def test_another_hosts_guest_is_not_made_here(driver: KvmDriver, image: ImageRef, source: Source) -> None:
    with pytest.raises(HypervisorError, match="kvm-1"):
        driver.create("kvm-7", "", spec_of(image), source, no_progress)


@pytest.mark.parametrize("server_id", ["../../etc", "", "3D6AD1B3-1C62-4A35-A1F4-8A8D6F2AC001"])
def test_an_id_that_is_no_uuid_touches_no_file(driver: KvmDriver, server_id: str) -> None:
    with pytest.raises(HypervisorError, match="not a server's id"):
        driver.destroy(server_id)


def test_a_guest_that_crashed_is_told_and_starts_again(bed: KvmBed, driver: KvmDriver, guest: GuestSpec) -> None:
    driver.set_power(guest.server_id, Power.ON)
    wait_for(driver, guest.server_id, Power.ON)
    os.kill(bed.host.guests()[domain_xml.domain_name(guest.server_id)], signal.SIGKILL)
    wait_for(driver, guest.server_id, Power.CRASHED)
    assert [each.power for each in driver.guests() if each.server_id == guest.server_id] == [Power.CRASHED]
    driver.set_power(guest.server_id, Power.ON)
    wait_for(driver, guest.server_id, Power.ON)


def test_a_reset_defines_a_guest_anew_that_someone_removed(bed: KvmBed, driver: KvmDriver, guest: GuestSpec) -> None:
    bed.vanish(driver, guest.server_id)
    assert driver.look(guest.server_id) is None
    driver.reset(guest.server_id)
    wait_for(driver, guest.server_id, Power.ON)


def test_a_reset_makes_what_is_missing_and_can_be_made(bed: KvmBed, driver: KvmDriver, guest: GuestSpec) -> None:
    instance = Instance(driver._instances, guest.server_id)
    drive = instance.config_drive.read_bytes()
    instance.config_drive.unlink()
    instance.swap.unlink()
    with pytest.raises(HypervisorError):
        driver.set_power(guest.server_id, Power.ON)
    driver.reset(guest.server_id)
    wait_for(driver, guest.server_id, Power.ON)
    assert instance.config_drive.read_bytes() == drive


def test_a_guest_someone_defined_on_our_files_keeps_them(bed: KvmBed, driver: KvmDriver, guest: GuestSpec) -> None:
    bed.vanish(driver, guest.server_id)
    link = bed.host.connect()
    foreign = link.defineXML(FOREIGN.format(name="rescued-by-hand", uuid=guest.server_id))
    with pytest.raises(HypervisorError, match="someone else"):
        driver.destroy(guest.server_id)
    with pytest.raises(HypervisorError, match="did not make"):
        driver.reset(guest.server_id)
    assert Instance(driver._instances, guest.server_id).root.exists()
    foreign.undefine()
    link.close()


def test_two_servers_of_one_name_are_two_guests(driver: KvmDriver, image: ImageRef, source: Source) -> None:
    specs = [spec_of(image, name="same") for _ in range(2)]
    for spec in specs:
        make(driver, source, spec)
    assert [each.name for each in driver.guests() if each.server_id].count("same") == 2
    for spec in specs:
        driver.destroy(spec.server_id)


def test_the_console_asks_for_a_password_that_no_process_list_shows(
    bed: KvmBed, driver: KvmDriver, guest: GuestSpec
) -> None:
    driver.set_power(guest.server_id, Power.ON)
    wait_for(driver, guest.server_id, Power.ON)
    console = driver.console(guest.server_id)
    assert console.host == "127.0.0.1"
    command_line = Path(f"/proc/{bed.host.guests()[domain_xml.domain_name(guest.server_id)]}/cmdline").read_bytes()
    assert console.password.encode() not in command_line
    with socket.create_connection((console.host, console.port), timeout=30) as vnc:
        assert vnc.recv(12).startswith(b"RFB 003")
        vnc.sendall(b"RFB 003.008\n")
        offered = vnc.recv(16)
    assert set(offered[1:]) == {2}, "RFB security type 2 is the password; 1 would be none"


def test_secrets_of_the_guest_are_for_root_alone(driver: KvmDriver, guest: GuestSpec) -> None:
    directory = Instance(driver._instances, guest.server_id).directory
    assert directory.stat().st_mode & 0o777 == 0o711
    assert {file.stat().st_mode & 0o077 for file in directory.iterdir()} == {0}


def test_a_full_disk_is_said_in_a_sentence(
    bed: KvmBed, driver: KvmDriver, image: ImageRef, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    from polyvisor.hypervisor.kvm import disks

    before = bed.traces()

    def full(path: Path, size_bytes: int) -> None:
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"x")

    monkeypatch.setattr(disks, "swap", full)
    spec = spec_of(image)
    with pytest.raises(HypervisorError, match="No space left"):
        make(driver, source, spec)
    driver.destroy(spec.server_id)
    assert bed.traces() == before


def test_an_end_that_came_while_libvirtd_was_away_is_told(bed: KvmBed, driver: KvmDriver, guest: GuestSpec) -> None:
    told: list[str] = []
    driver.watch(told.append)
    driver.set_power(guest.server_id, Power.ON)
    wait_for(driver, guest.server_id, Power.ON)
    process = bed.host.guests()[domain_xml.domain_name(guest.server_id)]
    bed.host.kill()
    os.kill(process, signal.SIGKILL)
    told.clear()
    bed.host.start()
    wait_until(lambda: guest.server_id in told, lambda: "nobody told of it")
    seen = driver.look(guest.server_id)
    assert seen
    assert seen.power in (Power.OFF, Power.CRASHED)


def test_a_kill_while_an_image_is_made_ready_leaves_nothing(bed: KvmBed, driver: KvmDriver, source: Source) -> None:
    host, cache = driver.hosts()[0].name, bed.state_dir / "image-cache"
    driver.forget_images(host, frozenset())
    with Child(bed) as child:
        for moment in range(0, 24, 2):
            image = image_of(bed)
            assert child.make(host, spec_of(image), die_at=moment).killed
            if moment % 4:
                driver.prepare_image(host, image, source, no_progress)
                assert image.id in driver.hosts()[0].cached_images
            for guest in bed.traces():
                if guest.startswith("guest "):
                    driver.destroy(guest.removeprefix("guest "))
            for directory in (bed.state_dir / "instances").glob("[!.]*"):
                driver.destroy(directory.name)
            driver.forget_images(host, frozenset())
            assert {path.name for path in cache.iterdir() if not path.name.startswith(".")} == set()
            assert not [path for path in cache.rglob("*") if path.stat().st_size > 4096], f"killed at {moment}"


def test_the_trial_guest_is_nobodys(bed: KvmBed, driver: KvmDriver) -> None:
    from polyvisor.hypervisor.kvm import trial_guest
    from polyvisor.hypervisor.kvm.settings import KvmSettings

    disk, output = bed.host.directory / "trial.raw", bed.host.directory / "trial.log"
    disk.write_bytes(trial_guest.disk())
    link = bed.host.connect()
    trial = link.createXML(trial_guest.definition("qemu", KvmSettings(), disk, output))
    assert not [each for each in driver.guests() if each.name.startswith("polyvisor-trial")]
    trial.destroy()
    link.close()


def image_ref(file: Path, disk_format: str, virtual_size_bytes: int) -> ImageRef:
    import hashlib

    data = file.read_bytes()
    return ImageRef(
        id=str(uuid.uuid4()),
        disk_format=disk_format,
        container_format="bare",
        size_bytes=len(data),
        virtual_size_bytes=virtual_size_bytes,
        sha512=hashlib.sha512(data).hexdigest(),
    )
