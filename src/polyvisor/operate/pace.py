"""Whether this process answers signs of life in time: one that is late itself may call nobody silent."""

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

LATE_SECONDS = 2.5
"""Who waits for longer for the answer to a beat misses the next one."""
QUIET_SECONDS = 30.0
"""After so long without a late answer the log says that it is over."""


class Pace:
    """How long this process lets agents wait. All threads may use it."""

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady = steady
        self._lock = threading.Lock()
        self._since: float | None = None
        self._longest = 0.0
        self._late_at: float | None = None

    def waits_since(self, moment: float | None) -> None:
        """When the oldest sign of life that is not answered yet came, by the steady clock; None where all are."""
        with self._lock:
            self._longest = max(self._longest, self._waited())
            self._since = moment

    def lagged(self, seconds: float) -> None:
        """The listener did nothing for so long, and read nothing of what had come."""
        with self._lock:
            self._longest = max(self._longest, seconds)

    def _waited(self) -> float:
        return 0.0 if self._since is None else self._steady() - self._since

    def late_seconds(self) -> float:
        """For how long somebody has waited, or waited since the last call, where that was too long; 0 where not."""
        with self._lock:
            longest, self._longest = max(self._longest, self._waited()), 0.0
        now, late = self._steady(), longest > LATE_SECONDS
        if late and self._late_at is None:
            log.warning(
                "this server is late: agents have waited %.1f seconds for the answer to a sign of life, and no host is "
                "marked down for what it missed. Where this stays so, add a server, or give it more processors.",
                longest,
            )
        if late:
            self._late_at = now
        elif self._late_at is not None and now - self._late_at > QUIET_SECONDS:
            self._late_at = None
            log.warning("this server answers signs of life in time again")
        return longest if late else 0.0
