"""Observers: they look on a period and on a change, and say so when they cannot."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from polyvisor.hypervisor.driver import Unreachable
from polyvisor.hypervisor.simulated import SimulatedDriver, SimulatedSettings
from polyvisor.model.link import Beat, Glimpse, Held, Inventory, Lease, Report
from polyvisor.model.power import Power
from polyvisor.operate.observer import Observer

PATIENCE_SECONDS = 30


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

    def exchange(self, places: tuple[str, ...], reports: list[Report], most: int) -> list[Lease]:
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


def observing(told: Told, driver: SimulatedDriver, period_seconds: float) -> Observer:
    """An observer at work."""
    observer = Observer(told, driver, lambda: datetime.now(UTC), period_seconds)
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
