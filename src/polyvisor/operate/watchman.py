"""Looks after hosts that fall silent: marks them down, and has their servers evacuated where policy says so."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from polyvisor.operate.reconcile import automatic_evacuation, lost_host, silent_place
from polyvisor.operate.tools import ControlTools
from polyvisor.store.database import Database

log = logging.getLogger(__name__)

LOOK_EVERY = timedelta(seconds=2)


class Watchman:
    """Called by the control loop each time it comes by."""

    def __init__(
        self, database: Database, tools: ControlTools, late_seconds: Callable[[], float] = lambda: 0.0
    ) -> None:
        """`late_seconds`: for how long this process has let signs of life wait since the last look, 0 where in time."""
        self._database, self._tools, self._late_seconds = database, tools, late_seconds
        self._vigil = silent_place.Vigil()
        self._refused = ""
        self._looked_at: datetime | None = None

    def look(self, now: datetime) -> None:
        """One look. The database has just answered the loop, so this process is at work."""
        self._vigil.note(now, timedelta(seconds=self._late_seconds()))
        if not self._vigil.may_judge(now) or not self._is_due(now):
            return
        self._looked_at = now
        self._judge(now)
        with self._database.write() as store:
            lost_host.sweep(store, now)
        with self._database.write() as store:
            verdict = automatic_evacuation.sweep(store, self._tools, now)
        if verdict.refused and verdict.refused != self._refused:
            log.error("%s", verdict.refused)
        self._refused = verdict.refused

    def _is_due(self, now: datetime) -> bool:
        """The loop comes by at each thing to do: to look at all places each time would cost more than that."""
        return self._looked_at is None or not timedelta(0) <= now - self._looked_at < LOOK_EVERY

    def _judge(self, now: datetime) -> None:
        marked = silent_place.MOST_AT_ONCE
        while marked == silent_place.MOST_AT_ONCE:
            with self._database.write() as store:
                marked = len(silent_place.sweep(store, self._vigil, now))
