"""Counts the hosts of a place as down when the process that served it has fallen silent and nobody took its place."""

import logging
from collections import deque
from datetime import datetime, timedelta

from polyvisor.model.held_place import HeldPlace
from polyvisor.operate.holding import HOLD_SECONDS
from polyvisor.store.store import Store

log = logging.getLogger(__name__)

GRACE = timedelta(seconds=5)
"""How long after a hold has run out nobody is judged: a standby takes over first."""
SILENCE = timedelta(seconds=HOLD_SECONDS) + GRACE
"""From the last sign of life until the hosts are down."""
MOST_AT_ONCE = 8
"""So many places a transaction: it holds them, and the counter of hosts, and beats and inventories wait for its end."""


class Vigil:
    """When this process was at work itself. What it did not see it holds against nobody: after an outage of the
    database, or when it was stopped itself, everybody seems silent.
    """

    GAP = timedelta(seconds=8)
    """The control loop comes by at least every five seconds; between two visits further apart it saw nothing."""
    WINDOW = timedelta(seconds=60)
    """So much of it is remembered."""

    def __init__(self) -> None:
        self._seen: deque[tuple[datetime, datetime]] = deque()
        self._last: datetime | None = None

    def note(self, now: datetime, late: timedelta = timedelta(0)) -> None:
        """The control loop came by, and the database answered it.

        `late`: signs of life have waited here for so long: what came meanwhile was not taken in.
        """
        if self._last is not None and now < self._last:
            self._seen.clear()
        elif self._last is not None and now - self._last <= self.GAP:
            self._seen.append((self._last, now))
        if late:
            self._miss(now - late)
        while self._seen and self._seen[0][1] < now - self.WINDOW:
            self._seen.popleft()
        self._last = now

    def _miss(self, since: datetime) -> None:
        while self._seen and self._seen[-1][1] > since:
            begin, _ = self._seen.pop()
            if begin < since:
                self._seen.append((begin, since))

    def watched(self, since: datetime) -> timedelta:
        """For how long it was at work after a moment, gaps taken off; at most about WINDOW."""
        return sum((end - max(since, begin) for begin, end in self._seen if end > since), timedelta(0))

    def may_judge(self, now: datetime) -> bool:
        """Whether it was at work for longer than the silence that it judges by, of late."""
        return self.watched(now - self.WINDOW) > SILENCE


def sweep(store: Store, vigil: Vigil, now: datetime) -> list[str]:
    """Mark the hosts of silent places as down, of MOST_AT_ONCE at most; returns those places.

    Any number of processes may do it at once.
    """
    served = store.hypervisor.places_up()
    silent = [place for place in store.place.list() if place.name in served and _is_silent(place, vigil, now)]
    found = []
    for each in silent[:MOST_AT_ONCE]:
        place = store.place.find(each.name, lock=True)  # a beat that came at this moment wins
        if place is None or not _is_silent(place, vigil, now):
            continue
        if store.host.down(place.name, _sentence(store, place)):
            log.warning("hosts of %s are down: nothing was heard of it since %s", place.name, _time(place.seen_at))
            store.server.unknown_power(place.name)
            found.append(place.name)
    return found


def _is_silent(place: HeldPlace, vigil: Vigil, now: datetime) -> bool:
    return bool(place.holder) and now - place.held_until > GRACE and vigil.watched(place.seen_at) > SILENCE


def _sentence(store: Store, place: HeldPlace) -> str:
    agent = store.agent.find(place.agent_id) if place.agent_id else None
    if agent is not None:
        who, what = f"The agent {agent.name}", "its machine and `polyvisor agent` run, and reach a server"
    else:
        who, what = "The process", "`polyvisor up` runs"
    return f"{who}, which serves {place.name}, has been silent since {_time(place.seen_at)}: see whether {what}."


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
