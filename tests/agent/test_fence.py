"""An agent that is cut off for as long as the place's policy allows turns its guests off, and no others."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from polyvisor.agent.fence import GRACE_SECONDS, Fence
from polyvisor.hypervisor.simulated import SimulatedDriver, SimulatedSettings
from polyvisor.hypervisor.simulated.estate import SimulatedGuest
from polyvisor.model.link import Held, Hold, Role
from polyvisor.model.power import Power
from polyvisor.operate.holds import Holds
from polyvisor.operate.turned_off import TurnedOff

LEASE, FENCE = 10.0, 40.0


class Site:
    """A simulated place with guests, a clock moved by hand, and the fence of its agent."""

    def __init__(self, folder: Path) -> None:
        self.now, self.boot = 1000.0, "boot-1"
        self.file = folder / "fence.json"
        self.driver = SimulatedDriver("sim", SimulatedSettings())
        for id, power, foreign in (
            ("on", Power.ON, False), ("paused", Power.PAUSED, False), ("off", Power.OFF, False),
            ("suspended", Power.SUSPENDED, False), ("theirs", Power.ON, True),
        ):  # fmt: skip
            guest = SimulatedGuest(server_id=id, name=id, host="sim-0001", power=power, foreign=foreign)
            self.driver.estate.put(guest)
        self.restart()

    def restart(self) -> None:
        """The agent's process is another."""
        self.holds = Holds(lambda: self.now)
        self.turned_off = TurnedOff()
        self.fence = Fence(self.holds, {"sim": self.driver}, lambda: self.now, self.file, self.boot, self.turned_off)

    def beat(self, role: Role = Role.ACTIVE, fence_seconds: float = FENCE) -> None:
        """A beat that is answered, and the fence's look after it."""
        hold = Hold(place="sim", role=role, epoch=1, lease_seconds=LEASE, fence_seconds=fence_seconds)
        self.holds.take(Held(holds=(hold,)), self.now)
        self.fence.look()

    def silence(self, seconds: float) -> None:
        """Nothing is answered; the fence looks every second."""
        for _ in range(int(seconds)):
            self.now += 1
            self.fence.look()

    def powers(self) -> dict[str, Power]:
        """Of all guests."""
        return {guest.server_id: guest.power for guest in self.driver.estate.guests()}

    def running(self) -> set[str]:
        """Those that are not off."""
        return {id for id, power in self.powers().items() if power in (Power.ON, Power.PAUSED)}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """One of them."""
    made = Site(tmp_path)
    yield made
    made.driver.close()


def test_guests_run_on_until_the_time_is_over_and_are_off_then(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.beat()
    site.silence(FENCE - 1)
    assert site.running() == {"on", "paused", "theirs"}
    with caplog.at_level(logging.ERROR):
        site.silence(3)
    assert site.running() == {"theirs"}
    assert site.powers()["suspended"] is Power.SUSPENDED
    assert site.fence.fenced == {"sim"}
    assert any("cut off from the cloud" in record.getMessage() for record in caplog.records)


def test_each_answer_begins_the_count_anew(site: Site) -> None:
    for _ in range(5):
        site.beat()
        site.silence(FENCE - 1)
    assert "on" in site.running()


def test_a_place_without_such_a_policy_runs_on_for_ever(site: Site) -> None:
    site.beat(fence_seconds=0.0)
    site.silence(10 * FENCE)
    assert "on" in site.running()


def test_a_place_that_the_cloud_gave_to_another_is_that_others(site: Site) -> None:
    site.beat()
    site.beat(role=Role.STANDBY)
    site.silence(10 * FENCE)
    assert "on" in site.running()


def test_an_agent_that_is_started_anew_while_cut_off_keeps_the_promise(site: Site) -> None:
    site.beat()
    site.silence(FENCE / 2)
    site.restart()
    site.silence(FENCE)
    assert site.running() == {"theirs"}


def test_an_agent_that_was_ended_for_long_asks_the_cloud_first(site: Site) -> None:
    site.beat()
    site.now += 10 * FENCE
    site.restart()
    site.silence(GRACE_SECONDS - 2)
    site.beat()
    site.silence(FENCE - 1)
    assert "on" in site.running()


def test_after_another_start_of_the_machine_nothing_is_owed(site: Site) -> None:
    site.beat()
    site.boot = "boot-2"
    site.restart()
    site.silence(10 * FENCE)
    assert "on" in site.running()


def test_a_hypervisor_that_does_not_answer_is_asked_until_it_does(site: Site) -> None:
    site.beat()
    site.driver.reachable = False
    site.silence(2 * FENCE)
    assert site.fence.fenced == frozenset()
    site.driver.reachable = True
    site.silence(2)
    assert site.running() == {"theirs"}


def test_what_the_cloud_starts_after_it_answers_again_stays_on(site: Site) -> None:
    site.beat()
    site.silence(FENCE + 2)
    site.beat()
    site.driver.set_power("on", Power.ON)
    site.silence(FENCE - 1)
    assert "on" in site.running()
    site.silence(3)
    assert "on" not in site.running(), "cut off once more"


def test_what_ran_is_kept_until_the_cloud_has_heard_of_it(site: Site) -> None:
    site.beat()
    site.silence(FENCE + 2)
    assert site.turned_off.of("sim") == {"on"}, "what was paused cannot be as it was"
    site.restart()
    assert site.turned_off.of("sim") == {"on"}
    site.beat()
    site.turned_off.told("sim", frozenset({"on"}))
    site.beat()
    site.restart()
    assert site.turned_off.of("sim") == frozenset()


def test_a_full_disk_does_not_keep_the_fence_from_its_work(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("polyvisor.agent.fence.write_private", full)
    site.beat()
    site.silence(FENCE + 2)
    assert site.running() == {"theirs"}
