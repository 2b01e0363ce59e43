"""A link has one call at a time, and is closed by the call that is on it: libvirt crashes the process, else."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import libvirt
import pytest

from polyvisor.hypervisor.driver import Unreachable
from polyvisor.hypervisor.kvm import connection as connection_module
from polyvisor.hypervisor.kvm import link as module
from polyvisor.hypervisor.kvm.connection import Connection
from polyvisor.hypervisor.kvm.link import Link
from tests.hypervisor.conformance import wait_until
from tests.hypervisor.kvm.bed import KvmBed
from tests.hypervisor.kvm.test_connection import answers, frozen

pytestmark = pytest.mark.xdist_group("kvm-link")


class Raw:
    """What libvirt would hand out."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def unregisterCloseCallback(self) -> None:  # noqa: N802 - libvirt's name
        assert not self.closed.is_set()

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def raw() -> Raw:
    return Raw()


@pytest.fixture
def link(raw: Raw) -> Iterator[Link]:
    link = Link(raw, "close")
    yield link
    link.give_up()
    assert link.closed.wait(60)


def test_it_is_closed_as_it_is_given_up_with_no_call_on_it(raw: Raw, link: Link) -> None:
    assert link.enter()
    link.leave()
    assert not raw.closed.is_set()
    link.give_up()
    assert link.closed.wait(60)
    assert raw.closed.is_set()


def test_the_call_on_it_closes_it(raw: Raw, link: Link) -> None:
    assert link.enter()
    link.give_up()
    assert not link.closed.wait(0.2)
    link.leave()
    assert link.closed.wait(60)
    assert not link.enter()


def test_it_has_one_call_at_a_time(link: Link) -> None:
    assert link.enter()
    assert not link.enter()
    assert not link.is_free()
    link.leave()
    assert link.enter()
    link.leave()


def is_open(raw: Any) -> bool:
    try:
        return bool(raw.isAlive() == 1)
    except libvirt.libvirtError:
        return False


def test_calls_that_meet_have_a_link_each_and_leave_few_behind(bed: KvmBed) -> None:
    connection = Connection("kvm-1", bed.host.uri)
    together = threading.Barrier(8)
    seen: list[Any] = []

    def call(raw: Any) -> None:
        seen.append(raw)
        together.wait(60)

    with ThreadPoolExecutor(8) as threads:
        for each in [threads.submit(connection.run, call) for _ in range(8)]:
            each.result(60)
    assert len({id(raw) for raw in seen}) == 8
    assert connection.generation == 1
    wait_until(lambda: sum(map(is_open, seen)) <= 4, lambda: "links are kept that nobody needs")
    connection.close()


def test_more_calls_than_links_wait_for_each_other(bed: KvmBed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "_MOST_LINKS", 1)
    connection = Connection("kvm-1", bed.host.uri)
    begun, go = threading.Event(), threading.Event()

    def hang(_raw: Any) -> bool:
        begun.set()
        return go.wait(60)

    with ThreadPoolExecutor(2) as threads:
        long = threads.submit(connection.run, hang)
        assert begun.wait(60)
        with pytest.raises(Unreachable, match=r"1 calls to libvirt of kvm-1 were under way for 0\.2 s"):
            connection.run(lambda link: link.getHostname(), timeout_seconds=0.2)
        after = threads.submit(connection.run, lambda link: link.getHostname())
        go.set()
        assert long.result(60)
        assert after.result(60)
    connection.close()


def test_calls_that_hang_as_the_link_breaks_come_back(bed: KvmBed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEPALIVE_SECONDS", 1)
    connection = Connection("kvm-1", bed.host.uri, timeout_seconds=120)
    wait_until(lambda: answers(connection), lambda: "it is not served")
    ready, over = threading.Barrier(7), threading.Event()

    def ask() -> None:
        ready.wait(60)
        while not over.is_set():
            connection.run(lambda link: link.listAllDomains())

    with ThreadPoolExecutor(6) as threads:
        calls = [threads.submit(ask) for _ in range(6)]
        ready.wait(60)
        try:
            with frozen(bed):
                wait_until(lambda: any(call.done() for call in calls), lambda: "keepalive ended no call")
                with monkeypatch.context() as soon:
                    soon.setattr(connection_module, "_OPEN_SECONDS", 1)
                    assert not answers(connection)  # another link is tried for, while calls are on the one before
                wait_until(lambda: all(call.done() for call in calls), lambda: "some calls go on")
        finally:
            over.set()
        for call in calls:
            assert isinstance(call.exception(60), Unreachable)
    wait_until(lambda: answers(connection), lambda: "it is not served again")
    connection.close()
