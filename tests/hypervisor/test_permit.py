"""Every driver asks for leave right before it acts for a step; without a step there is nothing to ask."""

import threading
from pathlib import Path
from typing import Any

import pytest

from polyvisor.hypervisor.driver import GuestSpec
from polyvisor.hypervisor.kvm.connection import Connection
from polyvisor.hypervisor.kvm.link import Link
from polyvisor.hypervisor.permit import Fenced, ensure_permitted, permitted
from polyvisor.hypervisor.simulated import SimulatedDriver, SimulatedSettings
from polyvisor.hypervisor.vsphere.tls import Connection as HttpsConnection
from polyvisor.hypervisor.vsphere.tls import Trust


class Leave:
    """To act, until it is taken."""

    def __init__(self) -> None:
        self.given = True

    def __call__(self) -> None:
        if not self.given:
            raise Fenced("taken")


def test_leave_is_one_steps_own() -> None:
    leave = Leave()
    leave.given = False
    with permitted(leave), pytest.raises(Fenced):
        ensure_permitted()
    ensure_permitted()
    refused: list[str] = []

    def elsewhere() -> None:
        try:
            ensure_permitted()
        except Fenced as error:
            refused.append(str(error))

    with permitted(leave):
        other = threading.Thread(target=elsewhere)
        other.start()
        other.join()
    assert refused == [], "another thread, such as an observer's, is no step"


def test_a_simulated_guest_is_not_made_by_one_that_wakes_up_too_late() -> None:
    leave = Leave()

    def sleep(_seconds: float) -> None:
        leave.given = False  # the process was stopped, and another has the place

    driver = SimulatedDriver("sim", SimulatedSettings(delay_seconds=1.0), sleep=sleep)
    spec = GuestSpec(
        server_id="s", name="s", hostname="s", project_id="p", project_name="p", vcpus=1, memory_mib=1, root_gib=1,
        image=None,
    )  # fmt: skip
    source: Any = object()
    with permitted(leave), pytest.raises(Fenced):
        driver.create("sim-0001", "", spec, source, lambda _fraction, _what: None)
    assert driver.estate.guests() == []
    driver.close()


def test_libvirt_is_not_called_for_a_step_that_may_do_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Connection("kvm1", "test:///default")
    monkeypatch.setattr(connection, "_take", lambda _seconds: Link(object(), "close"))
    leave, called = Leave(), []
    with permitted(leave):
        assert connection.run(lambda _link: called.append("with leave")) is None
        leave.given = False
        for act in (connection.run, lambda work: connection.start(work, wait_seconds=5)):
            with pytest.raises(Fenced):
                act(lambda _link: called.append("without leave"))
    connection.run(lambda _link: called.append("no step"))
    assert called == ["with leave", "no step"]


def test_libvirt_is_not_called_where_leave_was_taken_just_before(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Connection("kvm1", "test:///default")
    monkeypatch.setattr(connection, "_take", lambda _seconds: Link(object(), "close"))
    asked, called = [0], []

    def once() -> None:
        asked[0] += 1
        if asked[0] > 1:
            raise Fenced("taken")

    with permitted(once), pytest.raises(Fenced):
        connection.run(lambda _link: called.append("too late"))
    assert called == []


def test_no_byte_goes_to_vcenter_once_leave_is_taken(tmp_path: Path) -> None:
    leave, sent = Leave(), []

    class Socket:
        def sendall(self, data: Any) -> None:
            sent.append(bytes(data))

    connection = HttpsConnection("vc", trust=Trust(insecure=True), connect_timeout=1, timeout=1)
    with permitted(leave):
        connection.sock = Socket()
        connection.send(b"first")
        leave.given = False
        with pytest.raises(Fenced):
            connection.send(b"second")
        connection.sock = None
        with pytest.raises(Fenced):
            connection.putrequest("POST", "/sdk")
    assert sent == [b"first"]
