"""A host as distributions set it up: QEMU runs as a user of its own, and libvirt hands it the files of its guest."""

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from polyvisor.hypervisor.driver import GuestSpec
from polyvisor.hypervisor.kvm import domain_xml
from polyvisor.hypervisor.kvm.driver import KvmDriver
from polyvisor.hypervisor.kvm.instance import Instance
from polyvisor.hypervisor.kvm.settings import KvmSettings, VirtType
from polyvisor.model.power import Power
from testbed.guest import build
from testbed.libvirt import TestLibvirt
from tests.hypervisor.conformance import CLOUD_ID, Source, no_progress, spec_of, wait_for, wait_until
from tests.hypervisor.kvm.test_driver import image_ref

pytestmark = pytest.mark.xdist_group("kvm-confined")

USER = "libvirt-qemu"


class ConfinedLibvirt(TestLibvirt):
    """libvirt with Debian's own settings of users, and a /dev/kvm that QEMU's user may open as udev leaves it.

    One that root alone may open has libvirt ask QEMU anew what it can do, for seconds, at every call.
    """

    def _configure(self) -> None:
        super()._configure()
        self.directory.chmod(0o711)
        settings = self.directory / "etc/qemu.conf"
        changed = {"user": f'"{USER}"', "group": f'"{USER}"', "dynamic_ownership": "1", "remember_owner": "1"}
        lines = [line for line in settings.read_text().splitlines() if line.split(" ")[0] not in changed]
        settings.write_text("\n".join([*lines, *(f"{name} = {value}" for name, value in changed.items()), ""]))
        if Path("/dev/kvm").exists():
            node = self.directory / "kvm"
            os.mknod(node, stat.S_IFCHR, Path("/dev/kvm").stat().st_rdev)
            os.chown(node, 0, grp.getgrnam("kvm").gr_gid)
            node.chmod(0o660)
            self.nodes["/dev/kvm"] = node


@pytest.fixture(scope="module")
def host() -> Iterator[TestLibvirt]:
    with ConfinedLibvirt("kvm-2") as host:
        yield host


@pytest.fixture
def driver(host: TestLibvirt) -> Iterator[KvmDriver]:
    settings = KvmSettings(uri=host.uri, virt_type=VirtType.QEMU)
    driver = KvmDriver("kvm-2", settings, CLOUD_ID, host.directory / "state")
    yield driver
    driver.close()


def start(driver: KvmDriver, **properties: str) -> GuestSpec:
    file = build().qcow2
    image = image_ref(file, "qcow2", 96 << 20)
    image = type(image)(**{name: getattr(image, name) for name in image.__struct_fields__} | {"properties": properties})
    spec = spec_of(image, memory_mib=192)
    driver.create("kvm-2", "", spec, Source(file), no_progress)
    driver.set_power(spec.server_id, Power.ON)
    wait_for(driver, spec.server_id, Power.ON)
    return spec


def test_a_guest_runs_as_qemus_user_and_all_of_it_can_be_removed(host: TestLibvirt, driver: KvmDriver) -> None:
    spec = start(driver)
    process = Path(f"/proc/{host.guests()[domain_xml.domain_name(spec.server_id)]}/status").read_text()
    assert f"\nUid:\t{pwd.getpwnam(USER).pw_uid}\t" in process
    instance = Instance(driver._instances, spec.server_id)
    assert instance.root.stat().st_uid == pwd.getpwnam(USER).pw_uid
    driver.set_power(spec.server_id, Power.SUSPENDED)
    driver.destroy(spec.server_id)
    assert not instance.exists()
    assert not [path for path in (host.directory / "lib/qemu").rglob("*") if spec.server_id in path.name]


@pytest.mark.timeout(600)
def test_a_guest_boots_by_uefi_and_keeps_its_variables_beside_its_disks(host: TestLibvirt, driver: KvmDriver) -> None:
    spec = start(driver, hw_firmware_type="uefi", hw_disk_bus="sata", hw_cdrom_bus="scsi")
    wait_until(
        lambda: b"CLOUD-READY" in driver.console_log(spec.server_id),
        lambda: f"it did not boot: {driver.console_log(spec.server_id)[-2000:]!r}",
    )
    assert f"host={spec.hostname} ".encode() in driver.console_log(spec.server_id)
    instance = Instance(driver._instances, spec.server_id)
    written = instance.nvram.stat().st_ino
    driver.reset(spec.server_id)
    wait_for(driver, spec.server_id, Power.ON)
    assert instance.nvram.stat().st_ino == written
    driver.destroy(spec.server_id)
    assert not instance.exists()


def test_a_closed_data_directory_lets_qemu_pass_and_nobody_else(host: TestLibvirt) -> None:
    data = host.directory / "private"
    data.mkdir(mode=0o700)
    settings = KvmSettings(uri=host.uri, virt_type=VirtType.QEMU)
    driver = KvmDriver("kvm-2", settings, CLOUD_ID, data / "kvm/kvm-2")
    spec = start(driver)
    assert not [warning for warning in driver.hosts()[0].warnings if "pass through" in warning]
    assert data.stat().st_mode & 0o007 == 0
    driver.destroy(spec.server_id)
    data.chmod(0o700)
    assert [warning for warning in driver.hosts()[0].warnings if str(data) in warning]
    driver.close()


def test_the_directories_open_themselves_to_qemu_whatever_the_umask(host: TestLibvirt) -> None:
    before = os.umask(0o077)
    try:
        settings = KvmSettings(uri=host.uri, virt_type=VirtType.QEMU)
        driver = KvmDriver("kvm-2", settings, CLOUD_ID, host.directory / "closed")
        warnings = driver.hosts()[0].warnings
        spec = start(driver)
        driver.destroy(spec.server_id)
        driver.close()
    finally:
        os.umask(before)
    assert not [warning for warning in warnings if "pass through" in warning]
