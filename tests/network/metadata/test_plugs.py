"""What is heard of cards that are plugged in, and a station that looks when it hears of one."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from polyvisor.model.metadata import MetadataAnswer, MetadataAsked, MetadataPort
from polyvisor.network.metadata import plugs as plugs_module
from polyvisor.network.metadata.plugs import OpenVSwitchPlugs
from polyvisor.network.metadata.switch import MARK
from polyvisor.operate.metadata_station import MetadataStation
from testbed.ovn import TestOvn
from testbed.process import wait_for

PATIENCE_SECONDS = 180.0


class Heard:
    """How often it was called."""

    def __init__(self) -> None:
        self._called = threading.Semaphore(0)

    def __call__(self) -> None:
        self._called.release()

    def once_more(self) -> None:
        """Wait for a call."""
        assert self._called.acquire(timeout=PATIENCE_SECONDS), "nothing is heard"

    def not_again(self) -> None:
        """There was no call but those that were waited for."""
        assert not self._called.acquire(blocking=False)


@pytest.fixture
def heard(ovn: TestOvn, monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    monkeypatch.setattr(plugs_module, "PAUSE_SECONDS", 0.1)
    told = Heard()
    plugs = OpenVSwitchPlugs(f"unix:{ovn.chassis[0].directory}/db.sock")
    ovn.chassis[0].plug("there before")
    plugs.start(told)
    yield told
    plugs.stop()
    for port in ("there before", "guest", "another"):
        ovn.chassis[0].unplug(port)


@pytest.mark.xdist_group("ovn")
def test_each_guest_that_is_plugged_in_or_out_is_heard_of_and_metadata_s_own_cards_are_not(
    ovn: TestOvn, heard: Heard
) -> None:
    chassis = ovn.chassis[0]
    heard.once_more()
    card = ("set", "interface", "pm-own", "type=internal", "external_ids:iface-id=own", f"external_ids:{MARK}=net")
    chassis.vsctl("add-port", "br-int", "pm-own", "--", *card)
    chassis.vsctl("del-port", "br-int", "pm-own")
    chassis.plug("guest")
    heard.once_more()
    chassis.unplug("guest")
    heard.once_more()
    heard.not_again()

    chassis.kill("ovsdb-server")
    chassis.start_again("ovsdb-server")
    heard.once_more()
    chassis.plug("another")
    heard.once_more()


class NoGuests:
    """A cloud that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def ports(self) -> tuple[MetadataPort, ...]:
        self.asked += 1
        return ()

    def ask(self, asked: MetadataAsked) -> MetadataAnswer:
        raise AssertionError(asked)


class Switchboard:
    """Plugs that a test pulls."""

    running = False

    def start(self, changed: Callable[[], None]) -> None:
        self.changed, self.running = changed, True

    def stop(self) -> None:
        self.running = False


def test_a_station_looks_when_a_card_is_plugged_in() -> None:
    link, plugs = NoGuests(), Switchboard()
    switch = cast(Any, None)  # without guests nothing is asked of it
    station = MetadataStation(link, switch, look_seconds=3600, plugs=plugs)
    station.start()
    try:
        for looks in (1, 2, 3):
            wait_for(lambda: link.asked == looks, PATIENCE_SECONDS, lambda: f"{link.asked} looks")  # noqa: B023
            plugs.changed()
    finally:
        station.stop()
    assert not plugs.running
