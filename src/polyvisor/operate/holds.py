"""Which places this process holds, and until when: counted on its own clock, from when each beat was sent."""

import threading
from collections.abc import Callable, Mapping

from polyvisor.hypervisor.permit import Fenced
from polyvisor.model.link import Held, Hold, Role
from polyvisor.model.record import Record


class HeldPlace(Record):
    """What was last heard of a place that is ours."""

    epoch: int
    answered_at: float
    """When the beat was sent that said so, on the steady clock."""
    until: float
    fence_seconds: float


class Changed(Record):
    """What a beat's answer changed."""

    gained: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


class Holds:
    """A table that the heartbeat fills, and all that act on hypervisors ask."""

    def __init__(self, steady: Callable[[], float]) -> None:
        """`steady`: seconds of a clock that nobody sets, and that counts while the machine sleeps."""
        self._steady = steady
        self._changed = threading.Condition()
        self._held: dict[str, HeldPlace] = {}
        self._roles: dict[str, Role] = {}
        self.answered = threading.Event()
        """Set once a beat was answered."""

    def take(self, answer: Held, sent_at: float) -> Changed:
        """Take in the answer to the beat that was sent at `sent_at`."""
        with self._changed:
            before = self._held
            self._roles = {hold.place: hold.role for hold in answer.holds}
            self._held = {hold.place: _held(hold, sent_at) for hold in answer.holds if hold.role is Role.ACTIVE}
            gained = [name for name, now in self._held.items() if name not in before or before[name].epoch != now.epoch]
            lost = [name for name, was in before.items() if name not in self._held or name in gained]
            self._changed.notify_all()
        self.answered.set()
        return Changed(gained=tuple(gained), lost=tuple(lost))

    def epoch(self, place: str) -> int | None:
        """The epoch under which the place is ours at this moment; None when it is not."""
        held = self._held.get(place)
        return held.epoch if held is not None and self._steady() < held.until else None

    def active(self) -> tuple[str, ...]:
        """The places that are ours at this moment."""
        return tuple(place for place in self._held if self.epoch(place) is not None)

    def ensure(self, place: str, epoch: int) -> None:
        """Raise Fenced unless the place is ours at this moment, and has been all the time since that epoch began."""
        if self.epoch(place) != epoch:
            raise Fenced(f"This process does not hold {place} any more: the step is left to the one that does.")

    def held(self) -> Mapping[str, HeldPlace]:
        """What was last heard of places that are ours, run out or not."""
        return self._held

    def roles(self) -> Mapping[str, Role]:
        """What the last answer made this process to each place."""
        return self._roles

    def wait(self, seconds: float) -> None:
        """Return after the next answer to a beat (or `nudge`), or when the time is out."""
        with self._changed:
            self._changed.wait(seconds)

    def nudge(self) -> None:
        """End a `wait` that is under way."""
        with self._changed:
            self._changed.notify_all()


def _held(hold: Hold, sent_at: float) -> HeldPlace:
    return HeldPlace(
        epoch=hold.epoch,
        answered_at=sent_at,
        until=sent_at + hold.lease_seconds,
        fence_seconds=hold.fence_seconds,
    )
