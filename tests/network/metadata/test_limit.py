"""How often somebody may ask."""

import pytest

from polyvisor.network.metadata.limit import Limit


def test_a_burst_is_allowed_and_then_so_many_a_second() -> None:
    limit = Limit(burst=3, per_second=2.0)
    assert [limit.wait("a", 10.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert limit.wait("a", 10.0) == pytest.approx(0.5)
    assert limit.wait("a", 10.25) == pytest.approx(0.25)
    assert limit.wait("a", 10.5) == 0.0
    assert limit.wait("a", 10.5) == pytest.approx(0.5)


def test_asking_in_vain_costs_nothing() -> None:
    limit = Limit(burst=1, per_second=1.0)
    limit.wait("a", 0.0)
    for moment in range(1, 100):
        assert limit.wait("a", moment / 100) > 0
    assert limit.wait("a", 1.0) == 0.0


def test_nobody_waits_for_another() -> None:
    limit = Limit(burst=1, per_second=1.0)
    assert limit.wait(("net", "10.0.0.5"), 0.0) == 0.0
    assert limit.wait(("net", "10.0.0.5"), 0.0) > 0
    assert limit.wait(("other", "10.0.0.5"), 0.0) == 0.0


def test_a_pause_earns_no_more_than_a_burst() -> None:
    limit = Limit(burst=2, per_second=1.0)
    limit.wait("a", 0.0)
    assert [limit.wait("a", 1000.0) == 0.0 for _ in range(3)] == [True, True, False]


def test_what_is_remembered_is_bounded() -> None:
    limit = Limit(burst=1, per_second=1.0, most_keys=10)
    for number in range(1000):
        limit.wait(number, 0.0)
    assert len(limit._left) == 10
    assert limit.wait(999, 0.0) > 0
