"""The link to libvirtd: bounded when it hangs, opened anew when it broke."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from polyvisor.hypervisor.driver import Driver, HypervisorError, Unreachable
from polyvisor.hypervisor.kvm import connection as module
from polyvisor.hypervisor.kvm import link as link_module
from polyvisor.hypervisor.kvm.connection import Connection
from tests.hypervisor.conformance import PATIENCE_SECONDS, wait_until
from tests.hypervisor.kvm.bed import KvmBed

pytestmark = pytest.mark.xdist_group("kvm-connection")


@pytest.fixture
def connection(bed: KvmBed) -> Iterator[Connection]:
    connection = Connection("kvm-1", bed.host.uri, timeout_seconds=PATIENCE_SECONDS)
    yield connection
    connection.close()


@contextmanager
def frozen(bed: KvmBed) -> Iterator[None]:
    """libvirtd holds its sockets open, and does nothing."""
    pid = int((bed.host.directory / "run/libvirtd.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def answers(connection: Connection) -> bool:
    try:
        return bool(connection.run(lambda link: link.getHostname()))
    except Unreachable:
        return False


def test_a_call_that_hangs_ends_in_time_and_the_next_one_is_served(bed: KvmBed, connection: Connection) -> None:
    wait_until(lambda: answers(connection), lambda: "it is not served")
    with frozen(bed):
        start = time.monotonic()
        with pytest.raises(Unreachable, match="did not answer within 1 s"):
            connection.run(lambda link: link.getHostname(), timeout_seconds=1)
        assert time.monotonic() - start < PATIENCE_SECONDS / 2
    wait_until(lambda: answers(connection), lambda: "it is not served again")


def test_keepalive_finds_out_that_libvirtd_hangs(
    bed: KvmBed, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "KEEPALIVE_SECONDS", 1)
    broke: list[float] = []
    connection.on_break(lambda: broke.append(time.monotonic()))
    wait_until(lambda: answers(connection), lambda: "it is not served")
    with frozen(bed):
        wait_until(lambda: bool(broke), lambda: "the link did not break")
    wait_until(lambda: answers(connection), lambda: "it is not served again")


def test_opening_a_link_that_hangs_ends_in_time(bed: KvmBed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_OPEN_SECONDS", 1)
    connection = Connection("kvm-1", bed.host.uri)
    with frozen(bed):
        for _ in range(2):
            with pytest.raises(Unreachable, match="does not answer"):
                connection.ensure()
    monkeypatch.undo()
    wait_until(lambda: answers(connection), lambda: "it is not served after all")
    connection.close()


def test_a_libvirtd_that_is_not_there_is_named(tmp_path: Path) -> None:
    connection = Connection("kvm-9", f"qemu+unix:///system?socket={tmp_path}/none")
    with pytest.raises(Unreachable, match="kvm-9 cannot be reached"):
        connection.run(lambda link: link.getHostname())
    connection.close()


def test_a_refusal_of_libvirt_is_no_lost_link(connection: Connection) -> None:
    wait_until(lambda: answers(connection), lambda: "it is not served")
    before = connection.generation
    with pytest.raises(HypervisorError) as refused:
        connection.run(lambda link: link.defineXML("<domain/>"))
    assert not isinstance(refused.value, Unreachable)
    assert connection.run(lambda link: link.getHostname())
    assert connection.generation == before


def test_the_link_is_opened_again_after_a_restart_of_libvirtd(bed: KvmBed, connection: Connection) -> None:
    opened: list[object] = []
    connection.on_open(opened.append)
    wait_until(lambda: answers(connection), lambda: "it is not served")
    before = connection.generation
    bed.host.restart()
    wait_until(lambda: answers(connection) and connection.generation > before, lambda: "it is not served again")
    assert len(opened) == connection.generation


def test_restarts_of_libvirtd_leave_no_open_files(bed: KvmBed) -> None:
    driver = bed.connect(bed.recipe)
    driver.hosts()
    driver.watch(lambda server_id: None)
    seen = []

    def restart() -> None:
        bed.host.restart()
        wait_until(lambda: bool(served(driver)), lambda: "it is not served again")
        seen.append(open_files())

    # The first rounds may bring what stays: libvirt's own files, a second connection.
    for _ in range(4):
        restart()
    # A link that was given up is closed some time later.
    wait_until(lambda: open_files() <= seen[1], lambda: f"{open_files()} files are open, after {seen}")
    driver.close()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def served(driver: Driver) -> bool:
    try:
        return bool(driver.hosts())
    except Unreachable:
        return False


def test_what_takes_long_goes_on_without_us(connection: Connection) -> None:
    go_on, ended = threading.Event(), threading.Event()

    def slow(link: object) -> None:
        if go_on.wait(PATIENCE_SECONDS):
            ended.set()

    assert not connection.start(slow, wait_seconds=0.1)
    go_on.set()
    assert ended.wait(PATIENCE_SECONDS), "it was given up"
    assert connection.start(lambda link: None, wait_seconds=PATIENCE_SECONDS)


def test_a_closed_connection_stays_closed(bed: KvmBed) -> None:
    connection = Connection("kvm-1", bed.host.uri)
    wait_until(lambda: answers(connection), lambda: "it is not served")
    connection.close()
    with pytest.raises(Unreachable, match="closed"):
        connection.ensure()
