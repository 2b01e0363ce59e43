"""Holds: counted from when the beat was sent, on one's own clock; what is over is over."""

import pytest

from polyvisor.hypervisor.permit import Fenced, ensure_permitted, permitted
from polyvisor.model.link import Held, Hold, Role
from polyvisor.operate.holds import Holds

LEASE = 10.0


class Clock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Of the holds."""
    return Clock()


@pytest.fixture
def holds(clock: Clock) -> Holds:
    """Of nothing yet."""
    return Holds(clock)


def answer(**epochs: int) -> Held:
    """ACTIVE for these places under these epochs; 0 = STANDBY."""
    return Held(
        holds=tuple(
            Hold(place=place, role=Role.ACTIVE if epoch else Role.STANDBY, epoch=epoch, lease_seconds=LEASE)
            for place, epoch in epochs.items()
        )
    )


def test_a_hold_counts_from_when_its_beat_was_sent_not_from_its_answer(holds: Holds, clock: Clock) -> None:
    sent_at = clock.now
    clock.now += 9
    assert holds.take(answer(a=1), sent_at).gained == ("a",)
    assert holds.active() == ("a",)
    clock.now += 1
    assert holds.active() == ()
    assert holds.epoch("a") is None
    with pytest.raises(Fenced):
        holds.ensure("a", 1)


def test_an_answer_that_came_too_late_gives_nothing(holds: Holds, clock: Clock) -> None:
    sent_at = clock.now
    clock.now += LEASE
    holds.take(answer(a=1), sent_at)
    assert holds.active() == ()


def test_the_same_epoch_goes_on_and_another_is_a_loss_and_a_gain(holds: Holds, clock: Clock) -> None:
    holds.take(answer(a=1, b=5), clock.now)
    clock.now += LEASE + 1
    kept = holds.take(answer(a=1, b=6), clock.now)
    assert (kept.gained, kept.lost) == (("b",), ("b",))
    holds.ensure("a", 1)
    with pytest.raises(Fenced):
        holds.ensure("b", 5)


def test_a_place_that_is_given_to_another_is_lost_at_once(holds: Holds, clock: Clock) -> None:
    holds.take(answer(a=1, b=1), clock.now)
    changed = holds.take(answer(a=0), clock.now)
    assert (changed.gained, set(changed.lost)) == ((), {"a", "b"})
    assert holds.active() == ()
    assert holds.roles() == {"a": Role.STANDBY}


def test_within_a_step_nothing_is_permitted_once_its_hold_is_over(holds: Holds, clock: Clock) -> None:
    holds.take(answer(a=1), clock.now)
    ensure_permitted()
    with permitted(lambda: holds.ensure("a", 1)):
        ensure_permitted()
        clock.now += LEASE
        with pytest.raises(Fenced, match="does not hold a any more"):
            ensure_permitted()
    ensure_permitted()
