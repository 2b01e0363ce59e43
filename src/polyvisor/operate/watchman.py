"""Looks after hosts that fall silent: marks them down, and has their servers evacuated where policy says so."""

import logging
from datetime import datetime

from polyvisor.operate.reconcile import automatic_evacuation, lost_host, silent_place
from polyvisor.operate.tools import ControlTools
from polyvisor.store.database import Database

log = logging.getLogger(__name__)


class Watchman:
    """Called by the control loop each time it comes by."""

    def __init__(self, database: Database, tools: ControlTools) -> None:
        self._database, self._tools = database, tools
        self._vigil = silent_place.Vigil()
        self._refused = ""

    def look(self, now: datetime) -> None:
        """One look. The database has just answered the loop, so this process is at work."""
        self._vigil.note(now)
        if not self._vigil.may_judge(now):
            return
        with self._database.write() as store:
            silent_place.sweep(store, self._vigil, now)
        with self._database.write() as store:
            lost_host.sweep(store, now)
        with self._database.write() as store:
            verdict = automatic_evacuation.sweep(store, self._tools, now)
        if verdict.refused and verdict.refused != self._refused:
            log.error("%s", verdict.refused)
        self._refused = verdict.refused
