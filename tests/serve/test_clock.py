"""The clock that leases are measured by runs on when every other clock is set."""

from datetime import timedelta

import pytest

from polyvisor.model.agent import Party
from polyvisor.model.held_place import HeldPlace
from polyvisor.operate.holding import HOLD_SECONDS, active, taken
from polyvisor.serve.clock import FOLLOW_SECONDS, MOST_SLEW, SteadyClock, clock_of
from polyvisor.store.database import Database

HOUR = 3600.0


class World:
    """A monotonic clock, and a reference that can be set, drift, or be away."""

    def __init__(self) -> None:
        self.passed = 1000.0
        self.set_by = 1_700_000_000.0
        self.drift = 0.0
        self.away = False

    def monotonic(self) -> float:
        return self.passed

    def reference(self) -> float:
        if self.away:
            raise ConnectionError("nobody answers")
        return self.set_by + self.passed * (1 + self.drift)

    def clock(self) -> SteadyClock:
        return SteadyClock(self.reference, self.monotonic)

    def live(self, clock: SteadyClock, seconds: float) -> None:
        """Time passes, and the clock looks at its reference as often as it does."""
        until = self.passed + seconds
        while self.passed < until:
            self.passed = min(until, self.passed + FOLLOW_SECONDS)
            if not self.away:
                clock.follow()


@pytest.fixture
def world() -> World:
    return World()


def test_it_begins_with_the_reference_s_time_and_runs_with_real_time(world: World) -> None:
    clock = world.clock()
    assert clock().timestamp() == pytest.approx(world.reference())
    began = clock()
    world.passed += 42.0
    assert (clock() - began).total_seconds() == pytest.approx(42.0)


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_lease_is_as_long_as_it_was_when_the_clock_is_set_by_an_hour(world: World, jump: float) -> None:
    """Thirty seconds of lease take between 27 and 34 seconds of real time, and never none or an hour."""
    clock = world.clock()
    until = clock() + timedelta(seconds=30)
    world.set_by += jump
    began = world.passed
    clock.follow()
    while clock() < until:
        world.live(clock, 0.5)
    assert 30 / (1 + MOST_SLEW) - 1 <= world.passed - began <= 30 / (1 - MOST_SLEW) + 1


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_it_reaches_a_reference_that_was_set_and_never_goes_back(world: World, jump: float) -> None:
    clock = world.clock()
    world.set_by += jump
    last = clock()
    for _ in range(100):
        world.live(clock, HOUR / MOST_SLEW / 90)
        assert clock() >= last
        last = clock()
    assert clock().timestamp() == pytest.approx(world.reference(), abs=0.01)


def test_it_stops_where_its_reference_is_though_nobody_looks_any_more(world: World) -> None:
    """A database that goes away in the middle of following must not leave the clock too fast for good."""
    clock = world.clock()
    world.set_by += 60.0
    clock.follow()
    world.away = True
    world.live(clock, HOUR)
    world.away = False
    assert clock().timestamp() == pytest.approx(world.reference(), abs=0.01)


def test_it_follows_a_reference_that_drifts(world: World) -> None:
    clock = world.clock()
    world.drift = 0.001
    world.live(clock, HOUR)
    assert abs(clock().timestamp() - world.reference()) < 0.1


def test_a_failover_to_a_database_whose_clock_differs_moves_no_lease_s_end_at_once(world: World) -> None:
    clock = world.clock()
    before = clock()
    world.away = True
    world.live(clock, 5.0)
    world.away = False
    world.set_by += 7.0
    clock.follow()
    assert (clock() - before).total_seconds() == pytest.approx(5.0)
    world.live(clock, 100.0)
    assert clock().timestamp() == pytest.approx(world.reference(), abs=0.01)


def test_two_servers_agree_on_the_database_s_time_whatever_their_machines_say(world: World) -> None:
    one = SteadyClock(world.reference, world.monotonic)
    other = SteadyClock(world.reference, lambda: world.monotonic() + 77.0)
    world.passed += 10.0
    assert abs((one() - other()).total_seconds()) < 0.001


def test_no_clock_begins_without_its_reference(world: World) -> None:
    """By its machine's clock it might be an hour away from the other servers', and would stay so for ten hours."""
    world.away = True
    with pytest.raises(ConnectionError, match="nobody answers"):
        world.clock()


def test_an_agent_has_stopped_acting_when_a_server_with_the_fastest_clock_lets_another_take_over(world: World) -> None:
    """One server notes the hold just before it hears of the jump; the other's clock has run fast for ten seconds."""
    one, other = world.clock(), world.clock()
    world.set_by += HOUR
    other.follow()
    world.passed += FOLLOW_SECONDS
    place = HeldPlace(name="kvm1", driver="kvm", held_until=one(), seen_at=one())
    held = taken(place, Party(agent_id="a", session="s"), "kvm", one())
    granted_at = world.passed
    while held.is_held(other()):
        world.passed += 0.1
    assert active(held).lease_seconds < world.passed - granted_at < HOLD_SECONDS


def test_a_clock_that_is_far_off_is_told_of_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    clock = world.clock()
    world.set_by += HOUR
    world.live(clock, 100.0)
    assert len(caplog.records) == 1
    assert "behind its reference" in caplog.text


def test_on_postgresql_the_reference_is_the_database_s_clock(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    clock = clock_of(database)
    with database.read() as store:
        said = store.connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
    assert abs((clock() - said).total_seconds()) < 30
    assert abs(clock.follow()) < 1
    clock.start()
    clock.stop()
    database.close()
