"""Guests: made as a whole, found by id, left alone when they are another's, and removed without a trace."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from polyvisor.hypervisor import config_drive
from polyvisor.hypervisor.driver import GuestSpec, HypervisorError
from polyvisor.hypervisor.vsphere.driver import VsphereDriver
from polyvisor.hypervisor.vsphere.files import FileMissing
from polyvisor.model.power import Power
from testbed.vcenter import TestVcenter

from .conftest import Connect, StartVcenter
from .kit import NO_IMAGES, OTHER_CLOUD, PROJECT, Person, eventually, ignore, spec_of


@pytest.fixture
def host(driver: VsphereDriver) -> str:
    return driver.hosts()[0].name


def make(driver: VsphereDriver, host: str, **changes: Any) -> GuestSpec:
    spec = spec_of(**changes)
    driver.create(host, "", spec, NO_IMAGES, ignore)
    return spec


def power(driver: VsphereDriver, spec: GuestSpec) -> Power | None:
    guest = driver.look(spec.server_id)
    return guest.power if guest else None


def test_a_guest_lies_in_its_projects_folder_under_a_readable_name(
    driver: VsphereDriver, host: str, person: Person
) -> None:
    spec = make(driver, host, name="web")
    vm = person.vm(spec.server_id)
    folder = person.get(vm, "parent")
    assert person.get(vm, "name") == f"web ({spec.server_id[:8]})"
    assert person.get(folder, "name") == f"demo ({PROJECT})"
    assert person.get(person.get(folder, "parent"), "name") == "polyvisor"


def test_a_name_with_slashes_is_kept(driver: VsphereDriver, host: str, person: Person) -> None:
    spec = make(driver, host, name="a/b\\c 100%")
    guest = driver.look(spec.server_id)
    assert guest is not None
    assert guest.name == "a/b\\c 100%"
    assert person.get(person.vm(spec.server_id), "name") == f"a%2fb%5cc 100%25 ({spec.server_id[:8]})"


def test_servers_of_the_same_name_stand_side_by_side(driver: VsphereDriver, host: str) -> None:
    for _ in range(2):
        make(driver, host, name="web")
    assert len(driver.guests()) == 2


def test_a_project_that_was_renamed_keeps_its_folder(driver: VsphereDriver, host: str, person: Person) -> None:
    folders = {
        person.get(person.vm(make(driver, host, project_name=name).server_id), "parent")._moId
        for name in ("old", "new")
    }
    assert len(folders) == 1


def test_the_guest_is_as_large_as_asked(driver: VsphereDriver, host: str, person: Person) -> None:
    spec = make(driver, host, vcpus=2, memory_mib=256, root_gib=3, ephemeral_gib=2, swap_mib=64)
    vm = person.vm(spec.server_id)
    devices = person.get(vm, "config.hardware.device")
    disks = [each for each in devices if isinstance(each, vim.vm.device.VirtualDisk)]
    assert [disk.capacityInKB for disk in disks] == [3 << 20, 2 << 20, 64 << 10]
    assert (person.get(vm, "config.hardware.numCPU"), person.get(vm, "config.hardware.memoryMB")) == (2, 256)


def test_making_a_guest_again_changes_nothing(driver: VsphereDriver, host: str, person: Person) -> None:
    spec = make(driver, host, config_drive=True)
    before = person.files()
    driver.create(host, "", spec, NO_IMAGES, ignore)
    assert person.files() == before
    assert len(driver.guests()) == 1


def test_what_an_unfinished_create_laid_is_used_or_made_anew(
    vcenter: TestVcenter, driver: VsphereDriver, host: str, person: Person
) -> None:
    spec = spec_of(config_drive=True)
    folder = vcenter.data_dir / "datastores" / "DC0" / "datastore1" / f"pv-{spec.server_id}"
    folder.mkdir()
    (folder / "config-drive.iso").write_bytes(b"half")
    driver.create(host, "", spec, NO_IMAGES, ignore)
    assert (folder / "config-drive.iso").read_bytes() == config_drive.build(spec)
    driver.destroy(spec.server_id)
    assert person.files() == []


def test_the_config_drive_is_attached(vcenter: TestVcenter, driver: VsphereDriver, host: str, person: Person) -> None:
    spec = make(driver, host, config_drive=True, user_data=base64.b64encode(b"#!/bin/sh\n").decode())
    devices = person.get(person.vm(spec.server_id), "config.hardware.device")
    cdrom: Any
    (cdrom,) = [each for each in devices if isinstance(each, vim.vm.device.VirtualCdrom)]
    assert cdrom.backing.fileName == f"[datastore1] pv-{spec.server_id}/config-drive.iso"
    assert cdrom.connectable.startConnected


def test_guestinfo_is_in_the_configuration(driver: VsphereDriver, host: str, person: Person) -> None:
    spec = make(driver, host)
    options = {each.key: each.value for each in person.get(person.vm(spec.server_id), "config.extraConfig")}
    assert options["guestinfo.metadata.encoding"] == "gzip+base64"
    assert json.loads(spec.metadata["openstack/latest/meta_data.json"])["uuid"] == "u"


def test_removing_a_guest_leaves_no_file_and_no_folder(driver: VsphereDriver, host: str, person: Person) -> None:
    spec = make(driver, host, config_drive=True, ephemeral_gib=1, swap_mib=16)
    driver.set_power(spec.server_id, Power.ON)
    driver.destroy(spec.server_id)
    assert driver.look(spec.server_id) is None
    assert person.files() == []
    assert not [props["name"] for _, props in person.all(vim.Folder) if "demo" in props["name"]]


def test_removing_a_guest_again_does_nothing(driver: VsphereDriver, host: str) -> None:
    spec = make(driver, host)
    for _ in range(2):
        driver.destroy(spec.server_id)
    assert driver.guests() == []


def test_removing_a_guest_leaves_the_projects_others(driver: VsphereDriver, host: str) -> None:
    first, second = make(driver, host), make(driver, host)
    driver.destroy(first.server_id)
    assert [guest.server_id for guest in driver.guests()] == [second.server_id]


def test_leftovers_of_an_unfinished_create_are_found_without_a_vm(
    start_vcenter: StartVcenter, connect: Connect
) -> None:
    vcenter = start_vcenter(datastores=2)
    driver = connect(vcenter)
    driver.hosts()
    spec = spec_of()
    left = vcenter.data_dir / "datastores" / "DC0" / "datastore2" / f"pv-{spec.server_id}"
    left.mkdir()
    (left / "root.vmdk").write_bytes(b"half a disk")
    driver.destroy(spec.server_id)
    assert not left.exists()


def test_a_vm_of_somebody_else_is_reported_and_never_touched(driver: VsphereDriver, host: str, person: Person) -> None:
    spec = spec_of()
    person.make_vm("theirs", instanceUuid=spec.server_id)
    (guest,) = driver.guests()
    assert (guest.server_id, guest.name, guest.host) == (None, "theirs", host)
    assert guest.member in {"DC0_C0_H0", "DC0_C0_H1"}
    assert driver.look(spec.server_id) is None
    driver.destroy(spec.server_id)
    with pytest.raises(HypervisorError, match="theirs"):
        driver.create(host, "", spec, NO_IMAGES, ignore)
    with pytest.raises(HypervisorError, match="no VM"):
        driver.set_power(spec.server_id, Power.ON)
    with pytest.raises(HypervisorError, match="no VM"):
        driver.reset(spec.server_id)
    assert len(driver.guests()) == 1


def test_a_guest_of_another_cloud_is_somebody_elses(
    vcenter: TestVcenter, driver: VsphereDriver, host: str, connect: Connect
) -> None:
    spec = make(driver, host)
    other = connect(vcenter, cloud_id=OTHER_CLOUD)
    assert [guest.server_id for guest in other.guests()] == [None]
    other.destroy(spec.server_id)
    assert power(driver, spec) is Power.OFF


def test_a_copy_that_someone_made_of_a_guest_is_somebody_elses(
    driver: VsphereDriver, host: str, person: Person
) -> None:
    spec = make(driver, host)
    vm = person.vm(spec.server_id)
    options = [vim.option.OptionValue(key=each.key, value=each.value) for each in person.get(vm, "config.extraConfig")]
    person.make_vm("copy", extraConfig=options)  # a clone has the marks, and an instanceUuid of its own
    assert sorted(guest.server_id or "" for guest in driver.guests()) == ["", spec.server_id]


def test_power_goes_from_every_state_to_every_other(driver: VsphereDriver, host: str) -> None:
    spec = make(driver, host)
    states = (Power.ON, Power.SUSPENDED, Power.OFF, Power.OFF, Power.ON, Power.ON, Power.SUSPENDED, Power.ON, Power.OFF)
    for wanted in states:
        driver.set_power(spec.server_id, wanted)
        assert eventually(lambda: power(driver, spec), wanted.__eq__) is wanted


def test_pausing_is_refused_in_a_sentence(driver: VsphereDriver, host: str) -> None:
    spec = make(driver, host)
    with pytest.raises(HypervisorError, match="Suspend"):
        driver.set_power(spec.server_id, Power.PAUSED)


def test_a_reset_brings_a_guest_up_from_any_state(driver: VsphereDriver, host: str) -> None:
    spec = make(driver, host)
    for before in (Power.OFF, Power.ON, Power.SUSPENDED):
        driver.set_power(spec.server_id, before)
        driver.reset(spec.server_id)
        eventually(lambda: power(driver, spec), lambda seen: seen is Power.ON)


def test_a_guest_without_tools_is_reset_where_a_reboot_is_asked_for(
    start_vcenter: StartVcenter, connect: Connect
) -> None:
    driver = connect(start_vcenter(tools=False))
    spec = make(driver, driver.hosts()[0].name)
    driver.set_power(spec.server_id, Power.ON)
    driver.restart(spec.server_id)
    driver.shut_down(spec.server_id)  # it cannot be asked, and so does not obey
    assert power(driver, spec) is Power.ON


def test_a_host_that_disconnects_makes_its_guests_unknown_not_off(
    driver: VsphereDriver, host: str, person: Person
) -> None:
    spec = make(driver, host)
    driver.set_power(spec.server_id, Power.ON)
    member = person.get(person.vm(spec.server_id), "runtime.host")
    person.do(member.Disconnect)
    assert power(driver, spec) is Power.UNKNOWN
    assert [guest.power for guest in driver.guests()] == [Power.UNKNOWN]
    assert any("Reconnect" in sentence for sentence in driver.hosts()[0].warnings)


def test_files_that_are_not_there_are_told_from_those_that_cannot_be_read(driver: VsphereDriver, host: str) -> None:
    (files,) = driver.stores_of(host)
    with pytest.raises(FileMissing):
        files.get("nothing/here")
    files.make_folder("here")
    files.put("here/file", b"")
    assert files.get("here/file", last_bytes=10) == b""
    assert not files.make_folder("here")
    assert files.delete("here")
    assert not files.delete("here")


def test_a_large_file_is_put_and_got_whole(driver: VsphereDriver, host: str, tmp_path: Path) -> None:
    (files,) = driver.stores_of(host)
    source, told = tmp_path / "source", list[float]()
    source.write_bytes(b"0123456789abcdef" * (200 << 10))
    files.put("file", source, told.append)
    assert files.get("file") == source.read_bytes()
    assert told[-1] == 1.0


def test_guests_of_one_project_come_and_go_at_once_and_leave_no_folder(
    driver: VsphereDriver, host: str, person: Person
) -> None:
    def come_and_go(_: int) -> None:
        for _ in range(3):  # the folder is found empty by some while others put their VM into it
            driver.destroy(make(driver, host).server_id)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(come_and_go, range(6)))
    assert driver.guests() == []
    assert person.files() == []
    assert not [props["name"] for _, props in person.all(vim.Folder) if "demo" in props["name"]]
