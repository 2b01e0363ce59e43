"""The clock that leases are measured by: steady when the machine's clock is set, and the database's own time.

It runs on the monotonic clock, and follows a reference slowly: on PostgreSQL the database's clock, which all servers
share, else the machine's. A reference that jumps by an hour makes this clock run a tenth faster or slower for ten
hours; no lease runs out early, and none stays for ever.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import text

from polyvisor.store.database import Database

log = logging.getLogger(__name__)

MOST_SLEW = 0.1
"""How much faster or slower than real time it runs while it is off."""
FOLLOW_SECONDS = 10.0
"""How often it looks at its reference."""
TOLERANCE_SECONDS = 0.005
"""It is right within this: looking at a database takes about as long."""
WORTH_TELLING_SECONDS = 5.0
_NOW = text("SELECT extract(epoch FROM clock_timestamp())")


class SteadyClock:
    """Call it for the time: aware, in UTC, never going back. It may be called from any thread."""

    def __init__(
        self,
        reference: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`reference`: seconds since 1970, asked now and at each `follow`. Raises what it raises: a process that began
        by another clock could be an hour away from its fellows, and would stay so for ten hours."""
        self._reference, self._monotonic = reference, monotonic
        self._lock = threading.Lock()
        self._slew = 0.0
        self._slew_until = 0.0
        self._told = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._at, self._value = self._asked()

    def __call__(self) -> datetime:
        """The time."""
        with self._lock:
            return datetime.fromtimestamp(self._advance(self._monotonic()), UTC)

    def follow(self) -> float:
        """Compare with the reference, and run towards it from now on; returns by how many seconds it is ahead."""
        at, ahead_of = self._asked()
        with self._lock:
            off = ahead_of - self._advance(at)
            if abs(off) <= TOLERANCE_SECONDS:
                self._slew = 0.0
            else:
                self._slew = MOST_SLEW if off > 0 else -MOST_SLEW
                self._slew_until = self._at + abs(off) / MOST_SLEW
        self._tell(off)
        return off

    def start(self) -> None:
        """Follow the reference on a thread, until `stop`."""
        self._thread = threading.Thread(target=self._loop, name="clock", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Follow no longer; the clock runs on."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(FOLLOW_SECONDS)

    def _loop(self) -> None:
        while not self._stopping.wait(FOLLOW_SECONDS):
            try:
                self.follow()
            except Exception as error:  # noqa: BLE001 - it runs on by itself meanwhile
                log.debug("the reference clock could not be read: %s", error)

    def _asked(self) -> tuple[float, float]:
        """A moment of the monotonic clock, and what the reference said at it: in the middle of the asking."""
        before = self._monotonic()
        said = self._reference()
        return (before + self._monotonic()) / 2, said

    def _advance(self, at: float) -> float:
        """Move on to a moment; one before the last is the last. The lock is held."""
        at = max(at, self._at)
        passed = at - self._at
        slewed = max(0.0, min(at, self._slew_until) - self._at)
        self._value += passed + self._slew * slewed
        self._at = at
        return self._value

    def _tell(self, off: float) -> None:
        far = abs(off) > WORTH_TELLING_SECONDS
        if far and not self._told:
            log.warning(
                "the clock is %.0f seconds %s its reference, and follows it slowly: see to the time service of this "
                "machine and of the database's", abs(off), "behind" if off > 0 else "ahead of"
            )  # fmt: skip
        self._told = far


def clock_of(database: Database) -> SteadyClock:
    """The clock of a process on this database, not started yet. Raises DBAPIError where that does not answer."""
    if database.is_sqlite:
        return SteadyClock(time.time)

    def reference() -> float:
        with database.read() as store:
            return float(store.connection.execute(_NOW).scalar_one())

    return SteadyClock(reference)
