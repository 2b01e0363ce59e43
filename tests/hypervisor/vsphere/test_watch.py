"""What others do in vCenter is heard of within seconds, also what they did while nobody listened."""

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from pyVmomi import vim

from polyvisor.hypervisor.driver import GuestSpec, Unreachable
from polyvisor.hypervisor.vsphere import watch
from polyvisor.hypervisor.vsphere.driver import VsphereDriver
from polyvisor.model.power import Power
from testbed.vcenter import TestVcenter

from .conftest import Connect, StartVcenter
from .kit import NO_IMAGES, WAIT_SECONDS, Person, eventually, ignore, spec_of


class Heard:
    """Remembers when changes were told of."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._ids: list[str] = []

    def __call__(self, server_id: str) -> None:
        with self._lock:
            self._ids.append(server_id)
            self._lock.notify_all()

    def after(self, act: Callable[[], Any], server_id: str) -> None:
        """Act; a change of this server must be told of."""
        with self._lock:
            self._ids.clear()
        act()
        with self._lock:
            assert self._lock.wait_for(lambda: server_id in self._ids, WAIT_SECONDS), "nothing was heard"

    @property
    def ids(self) -> set[str]:
        with self._lock:
            return set(self._ids)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def spec(driver: VsphereDriver, heard: Heard) -> Iterator[GuestSpec]:
    """A running server that is watched."""
    spec = spec_of()
    driver.create(driver.hosts()[0].name, "", spec, NO_IMAGES, ignore)
    driver.set_power(spec.server_id, Power.ON)
    listen(driver, heard)
    yield spec
    driver.destroy(spec.server_id)


def listen(driver: VsphereDriver, heard: Heard) -> None:
    driver.watch(heard)
    assert driver.watcher.connected.wait(WAIT_SECONDS)


def test_a_move_by_drs_is_seen_with_the_new_host(
    driver: VsphereDriver, heard: Heard, spec: GuestSpec, person: Person
) -> None:
    guest = driver.look(spec.server_id)
    assert guest is not None
    vm = person.vm(spec.server_id)
    other = next(props["name"] for _, props in person.all(vim.HostSystem) if props["name"] != guest.member)
    heard.after(lambda: person.behind("POST", "migrate", vm=vm._moId, host=other), spec.server_id)
    moved = driver.look(spec.server_id)
    assert moved is not None
    assert moved.member != guest.member
    assert moved.host == guest.host
    assert moved.power is Power.ON


def test_a_restart_by_ha_is_seen_with_the_new_host(
    driver: VsphereDriver, heard: Heard, spec: GuestSpec, person: Person
) -> None:
    guest = driver.look(spec.server_id)
    assert guest is not None
    heard.after(lambda: person.behind("POST", "host-failure", host=guest.member), spec.server_id)
    moved = eventually(lambda: driver.look(spec.server_id), lambda seen: seen is not None and seen.power is Power.ON)
    assert moved is not None
    assert moved.member != guest.member


def test_a_power_off_by_a_person_is_seen(driver: VsphereDriver, heard: Heard, spec: GuestSpec, person: Person) -> None:
    heard.after(lambda: person.do(person.vm(spec.server_id).PowerOff), spec.server_id)
    guest = driver.look(spec.server_id)
    assert guest is not None
    assert guest.power is Power.OFF


def test_a_vm_that_a_person_removes_is_seen(
    driver: VsphereDriver, heard: Heard, spec: GuestSpec, person: Person
) -> None:
    vm = person.vm(spec.server_id)
    person.do(vm.PowerOff)
    heard.after(lambda: person.do(vm.Destroy), spec.server_id)
    assert driver.look(spec.server_id) is None


def test_the_watch_goes_on_after_its_session_ended(heard: Heard, spec: GuestSpec, person: Person) -> None:
    person.end_sessions_but_mine()
    heard.after(lambda: person.do(person.vm(spec.server_id).PowerOff), spec.server_id)


def test_what_happened_while_the_server_was_away_is_told_of_afterwards(
    start_vcenter: StartVcenter, connect: Connect, heard: Heard
) -> None:
    vcenter = start_vcenter(guests_die_with_me=True)
    driver = connect(vcenter)
    spec, idle = spec_of(), spec_of()
    for each in (spec, idle):
        driver.create(driver.hosts()[0].name, "", each, NO_IMAGES, ignore)
    driver.set_power(spec.server_id, Power.ON)
    listen(driver, heard)

    def restart() -> None:
        vcenter.kill()  # its guest dies with it
        eventually(lambda: driver.watcher.connected.is_set(), lambda connected: not connected)
        vcenter.restart()

    heard.after(restart, spec.server_id)
    assert eventually(lambda: _power(driver, spec.server_id), lambda seen: seen is not None) is Power.OFF
    # Of every VM, for a change may have come and gone unheard.
    assert eventually(lambda: idle.server_id in heard.ids, bool)


def _power(driver: VsphereDriver, server_id: str) -> Power | None:
    try:
        guest = driver.look(server_id)
    except Unreachable:
        return None
    return guest.power if guest else None


def test_vms_of_others_are_not_told_of(driver: VsphereDriver, heard: Heard, spec: GuestSpec, person: Person) -> None:
    theirs = person.make_vm("theirs")
    person.do(theirs.PowerOn)
    heard.after(lambda: person.do(person.vm(spec.server_id).PowerOff), spec.server_id)
    assert heard.ids == {spec.server_id}


def test_closing_the_connection_ends_the_watch(
    vcenter: TestVcenter, connect: Connect, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though its question would wait on the server for longer than anybody has patience."""
    monkeypatch.setattr(watch, "WAIT_SECONDS", 600)
    driver = connect(vcenter)
    listen(driver, heard)
    watching = driver.watcher._thread
    assert watching is not None
    driver.close()
    watching.join(WAIT_SECONDS)
    assert not watching.is_alive()


def test_a_question_that_is_asked_as_the_watch_is_closed_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancel ends no question that comes after it."""
    listening, cancelled, ended = threading.Event(), threading.Event(), threading.Event()

    class Collector:
        def CancelWaitForUpdates(self) -> None:  # noqa: N802 - vSphere's name
            (ended if cancelled.is_set() else cancelled).set()

    def listen(watcher: watch.Watcher) -> None:
        watcher._collector = Collector()
        listening.set()
        assert cancelled.wait(WAIT_SECONDS)
        assert ended.wait(WAIT_SECONDS)

    monkeypatch.setattr(watch.Watcher, "_listen", listen)
    session: Any = SimpleNamespace(host="vc.example")
    watcher = watch.Watcher(session, session, session)
    watcher.tell(lambda _server_id: None)
    assert listening.wait(WAIT_SECONDS)
    watcher.close()
    assert ended.is_set()
