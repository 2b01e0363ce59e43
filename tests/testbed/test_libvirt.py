"""The test bed's libvirt hosts: apart from each other, alive after a crash, and gone without a trace."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from testbed.libvirt import TestLibvirt
from testbed.process import alive, program

IDLE_GUEST = """
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>32</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices>
</domain>
"""


@pytest.fixture
def host() -> Iterator[TestLibvirt]:
    with TestLibvirt() as made:
        yield made


def names(host: TestLibvirt) -> list[str]:
    connection = host.connect()
    try:
        return [domain.name() for domain in connection.listAllDomains()]
    finally:
        connection.close()


def boot(host: TestLibvirt, name: str) -> None:
    connection = host.connect()
    try:
        connection.defineXML(IDLE_GUEST.format(name=name)).create()
    finally:
        connection.close()


def runs(pid: int) -> bool:
    return alive(pid) and program(pid).startswith("qemu")


def test_two_hosts_stand_side_by_side_and_know_only_their_own_guests(host: TestLibvirt) -> None:
    with TestLibvirt("kvm-2") as other:
        boot(host, "here")
        boot(other, "there")
        one, two = host.connect(), other.connect()
        assert (one.getHostname(), two.getHostname()) == ("kvm-1", "kvm-2")
        assert host.host_uuid in one.getCapabilities()
        assert other.host_uuid in two.getCapabilities()
        one.close()
        two.close()
        assert names(host) == ["here"]
        assert names(other) == ["there"]


def test_a_guest_outlives_a_killed_libvirtd_and_is_known_to_the_next(host: TestLibvirt) -> None:
    boot(host, "survivor")
    pid = host.guests()["survivor"]
    host.kill()
    with pytest.raises(libvirt.libvirtError):
        host.connect()
    assert runs(pid)
    host.start()
    connection = host.connect()
    assert connection.lookupByName("survivor").state()[0] == libvirt.VIR_DOMAIN_RUNNING
    connection.close()
    assert host.guests() == {"survivor": pid}


def test_a_guest_outlives_a_restart(host: TestLibvirt) -> None:
    boot(host, "survivor")
    before = host.guests()
    host.restart()
    assert host.guests() == before
    assert names(host) == ["survivor"]


def test_nothing_is_left_when_a_host_is_gone() -> None:
    with TestLibvirt() as host:
        boot(host, "guest")
        pids = [*host.guests().values()]
        assert all(runs(pid) for pid in pids)
    assert pids
    assert not any(runs(pid) for pid in pids)
    assert not host.directory.exists()


def test_the_next_host_removes_what_a_killed_owner_left() -> None:
    script = (
        "import time; from testbed.libvirt import TestLibvirt; from tests.testbed.test_libvirt import boot\n"
        "host = TestLibvirt(); host.start(); boot(host, 'orphan')\n"
        "print(host.directory, host.guests()['orphan'], flush=True); time.sleep(600)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert owner.stdout is not None
    directory, pid = owner.stdout.readline().split()
    assert runs(int(pid))
    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate()
    with TestLibvirt():
        assert not runs(int(pid))
        assert not Path(directory).exists()
