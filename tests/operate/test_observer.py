"""Observers: they look on a period and on a change, and say so when they cannot."""

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from polyvisor.hypervisor.driver import Unreachable
from polyvisor.hypervisor.simulated import SimulatedDriver, SimulatedSettings
from polyvisor.hypervisor.simulated.estate import SimulatedGuest
from polyvisor.model.guest import GuestReport
from polyvisor.model.link import Beat, Glimpse, Held, Inventory, Lease, Report
from polyvisor.model.power import Power
from polyvisor.operate.observer import Observer
from polyvisor.operate.turned_off import TurnedOff

PATIENCE_SECONDS = 180


class Told:
    """A link that keeps what it is told."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.inventories: list[Inventory] = []
        self.glimpses: list[Glimpse] = []

    def inventory(self, found: Inventory) -> None:
        """Keep it."""
        with self.changed:
            self.inventories.append(found)
            self.changed.notify_all()

    def glimpse(self, found: Glimpse) -> None:
        """Keep it."""
        with self.changed:
            self.glimpses.append(found)
            self.changed.notify_all()

    def exchange(
        self, places: tuple[str, ...], reports: list[Report], most: int, running: tuple[str, ...] = ()
    ) -> list[Lease]:
        """Not used by observers."""
        raise AssertionError

    def wait(self, places: tuple[str, ...], timeout_seconds: float) -> None:
        """Not used by observers."""
        raise AssertionError

    def poke(self) -> None:
        """Not used by observers."""
        raise AssertionError

    def beat(self, beat: Beat) -> Held:
        """Not used by observers."""
        raise AssertionError

    def note(self, place: str, epoch: int, notes: dict[str, str]) -> None:
        """Simulated drivers have nothing to note."""
        raise AssertionError

    def until(self, true: Callable[[], bool]) -> None:
        """Wait for a condition."""
        with self.changed:
            assert self.changed.wait_for(true, PATIENCE_SECONDS)


@pytest.fixture
def driver() -> Iterator[SimulatedDriver]:
    """Two simulated hosts."""
    made = SimulatedDriver("sim", SimulatedSettings(hosts=2))
    yield made
    made.close()


@pytest.fixture
def told() -> Told:
    """What was said."""
    return Told()


class OnePlace:
    """Whether the place is ours, as the test says."""

    def __init__(self, epoch: int | None = 7) -> None:
        self.answered = threading.Event()
        self.answered.set()
        self.current = epoch

    def epoch(self, place: str) -> int | None:
        """As the table of holds has it."""
        return self.current


def observing(told: Told, driver: SimulatedDriver, period_seconds: float, held: OnePlace | None = None) -> Observer:
    """An observer at work."""
    observer = Observer(told, driver, lambda: datetime.now(UTC), period_seconds, held or OnePlace())
    observer.start()
    return observer


def test_it_looks_at_once_and_again_on_its_period(told: Told, driver: SimulatedDriver) -> None:
    observer = observing(told, driver, 0.05)
    told.until(lambda: len(told.inventories) >= 3)
    observer.stop()
    assert {len(each.hosts) for each in told.inventories} == {2}


def test_it_looks_when_it_is_asked_to(told: Told, driver: SimulatedDriver) -> None:
    observer = observing(told, driver, 3600)
    told.until(lambda: len(told.inventories) == 1)
    observer.look_now()
    told.until(lambda: len(told.inventories) == 2)
    observer.stop()


def test_what_the_fence_turned_off_is_told_with_the_whole_and_once(told: Told, driver: SimulatedDriver) -> None:
    for id in ("on", "off"):
        driver.estate.put(SimulatedGuest(server_id=id, name=id, host="sim-0001", power=Power.OFF))
    turned_off = TurnedOff()
    turned_off.add("sim", "on")
    observer = Observer(told, driver, lambda: datetime.now(UTC), 3600, OnePlace(), turned_off)
    observer.start()
    told.until(lambda: len(told.inventories) == 1)
    observer.look_now()
    told.until(lambda: len(told.inventories) == 2)
    observer.stop()
    fenced = [{guest.server_id for guest in each.guests if guest.fenced} for each in told.inventories]
    assert fenced == [{"on"}, set()]


def test_a_change_behind_our_back_is_told_without_waiting(told: Told, driver: SimulatedDriver) -> None:
    observer = observing(told, driver, 3600)
    told.until(lambda: len(told.inventories) == 1)
    driver.change_behind_our_back("gone", Power.OFF)
    told.until(lambda: [each.server_id for each in told.glimpses] == ["gone"])
    observer.stop()
    assert told.glimpses[0].guest is None


@pytest.mark.parametrize(
    ("error", "words"),
    [(Unreachable("vc1 does not answer."), "vc1 does not answer."), (KeyError("x"), "unexpected KeyError")],
)
def test_a_look_that_fails_says_so_and_does_not_end_the_watch(
    told: Told, driver: SimulatedDriver, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(driver, "hosts", fail)
    observer = observing(told, driver, 0.05)
    told.until(lambda: len(told.inventories) >= 2)
    monkeypatch.undo()
    told.until(lambda: len(told.inventories[-1].hosts) == 2)
    observer.stop()
    assert words in told.inventories[0].unreachable


def test_a_standby_looks_and_keeps_it_to_itself_until_the_place_is_its_own(told: Told, driver: SimulatedDriver) -> None:
    held = OnePlace(epoch=None)
    observer = observing(told, driver, 3600, held)
    assert observer.looked.wait(PATIENCE_SECONDS)
    driver.change_behind_our_back("gone", Power.OFF)
    assert (told.inventories, told.glimpses, observer.trouble) == ([], [], "")

    held.current = 3
    observer.look_now()
    told.until(lambda: len(told.inventories) == 1)
    assert told.inventories[0].epoch == 3
    driver.change_behind_our_back("gone", Power.OFF)
    told.until(lambda: [each.epoch for each in told.glimpses] == [3])

    held.current = None
    driver.change_behind_our_back("gone", Power.OFF)
    observer.look_now()
    observer.stop()
    assert len(told.inventories) == 1
    assert len(told.glimpses) == 1


def test_a_standby_says_why_it_could_not_serve(told: Told, driver: SimulatedDriver) -> None:
    driver.reachable = False
    observer = observing(told, driver, 0.05, OnePlace(epoch=None))
    assert observer.looked.wait(PATIENCE_SECONDS)
    assert observer.trouble == "sim does not answer."
    observer.stop()
    assert told.inventories == []


def test_what_was_seen_under_a_hold_that_ended_meanwhile_is_not_told(
    told: Told, driver: SimulatedDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = OnePlace(epoch=1)
    looked = threading.Event()
    real = driver.guests

    def guests() -> list[GuestReport]:
        held.current = 2
        looked.set()
        return real()

    monkeypatch.setattr(driver, "guests", guests)
    observer = observing(told, driver, 3600, held)
    assert observer.looked.wait(PATIENCE_SECONDS)
    assert looked.is_set()
    assert told.inventories == []
    observer.look_now()
    told.until(lambda: [each.epoch for each in told.inventories] == [2])
    observer.stop()


class Named(SimulatedDriver):
    """It must remember the names that it gives."""

    def __init__(self) -> None:
        super().__init__("sim", SimulatedSettings(hosts=1))
        self.names = {"one": "first"}
        self.taken = 0

    def notes(self) -> dict[str, str]:
        """As Remembering has it."""
        return dict(self.names)

    def recall(self, notes: Mapping[str, str]) -> None:
        """As Remembering has it."""
        self.names |= notes

    def end_predecessor(self) -> None:
        """As Remembering has it."""
        self.taken += 1


class Noting(Told):
    """Keeps notes too, in the order of what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[Any] = []

    def note(self, place: str, epoch: int, notes: dict[str, str]) -> None:
        """Keep them."""
        self.order.append((place, epoch, notes))

    def inventory(self, found: Inventory) -> None:
        """Keep it."""
        self.order.append("inventory")
        super().inventory(found)


def test_what_must_be_remembered_is_noted_once_and_before_what_follows_from_it() -> None:
    noting, driver = Noting(), Named()
    observer = observing(noting, driver, 0.05)
    noting.until(lambda: len(noting.inventories) >= 2)
    driver.names["two"] = "second"
    noting.until(lambda: len([each for each in noting.order if each != "inventory"]) == 2)
    observer.stop()
    driver.close()
    assert noting.order[:2] == [("sim", 7, {"one": "first"}), "inventory"]
    assert [each for each in noting.order if each != "inventory"][1] == ("sim", 7, {"one": "first", "two": "second"})


def test_what_others_have_noted_is_recalled_and_not_noted_again() -> None:
    noting, driver = Noting(), Named()
    observer = Observer(noting, driver, lambda: datetime.now(UTC), 3600, OnePlace())
    observer.recall({"one": "theirs", "three": "third"})
    observer.start()
    noting.until(lambda: len(noting.inventories) == 1)
    observer.stop()
    driver.close()
    assert driver.names == {"one": "theirs", "three": "third"}
    assert noting.order == ["inventory"]


def test_a_place_is_taken_over_once_for_each_hold() -> None:
    noting, driver, held = Noting(), Named(), OnePlace(epoch=1)
    observer = observing(noting, driver, 0.02, held)
    noting.until(lambda: len(noting.inventories) >= 3)
    assert driver.taken == 1
    held.current = None
    held.current = 2
    noting.until(lambda: noting.inventories[-1].epoch == 2)
    observer.stop()
    driver.close()
    assert driver.taken == 2
