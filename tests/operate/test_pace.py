"""A process that is late with its answers knows it, and says so once."""

import logging

import pytest

from polyvisor.operate.pace import LATE_SECONDS, QUIET_SECONDS, Pace


class Clock:
    """Moved by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_is_late_while_somebody_waits_and_once_after(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.waits_since(clock.now)
    clock.now += LATE_SECONDS
    assert pace.late_seconds() == 0.0
    clock.now += 1.5
    assert pace.late_seconds() == LATE_SECONDS + 1.5  # not answered yet
    pace.waits_since(None)
    assert pace.late_seconds() == LATE_SECONDS + 1.5
    assert pace.late_seconds() == 0.0
    clock.now += QUIET_SECONDS + 1
    assert pace.late_seconds() == 0.0
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [("is late" in line, "in time again" in line) for line in told] == [(True, False), (False, True)]


def test_what_was_late_between_two_looks_is_not_forgotten() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.waits_since(clock.now)
    clock.now += 7
    pace.waits_since(clock.now)  # the next in line came at this moment
    clock.now += 1
    pace.waits_since(None)
    assert pace.late_seconds() == 7


def test_a_listener_that_stood_still_was_late_too() -> None:
    pace = Pace(Clock())
    pace.lagged(LATE_SECONDS / 2)
    assert pace.late_seconds() == 0.0
    pace.lagged(2 * LATE_SECONDS)
    assert pace.late_seconds() == 2 * LATE_SECONDS
    assert pace.late_seconds() == 0.0
