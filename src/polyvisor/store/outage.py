"""When the database does not answer: which errors say so, and saying it once instead of at every try."""

import logging
import sqlite3
import threading

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from polyvisor.model.errors import Unavailable

log = logging.getLogger(__name__)

_UNDONE = frozenset(("40001", "40P01"))
"""SQLSTATEs of a transaction that was undone so that another could go on: serialization failure, deadlock."""
_BUSY = frozenset(("55P03", "57014", "53300", "25P03"))
"""Lock not available, statement cancelled by its time limit, too many connections, idle in transaction for too long."""
_NOT_NOW = frozenset(("57P01", "57P02", "57P03", "25006"))
"""Shut down, crashed, starting up, and read-only: a standby, or a primary that is one no longer."""


def was_undone(error: BaseException) -> bool:
    """Whether the database undid the transaction to let another go on: running it again is right."""
    return isinstance(error, DBAPIError) and _sqlstate(error) in _UNDONE


def is_busy(error: BaseException) -> bool:
    """Whether the database answers, and could not do it now."""
    if isinstance(error, NoConnectionFree):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.OperationalError):
        return "locked" in str(error.orig) or "busy" in str(error.orig)
    return _sqlstate(error) in _BUSY | _UNDONE


def is_outage(error: BaseException) -> bool:
    """Whether the database does not answer, or is not the one that takes writes."""
    if isinstance(error, MaybeCommitted):
        return True
    if not isinstance(error, DBAPIError) or isinstance(error.orig, sqlite3.Error):
        return False
    state = _sqlstate(error)
    if state in _NOT_NOW or state[:2] in ("08", "XX"):
        return True
    # A connection that could not be made, or was cut off, has no SQLSTATE.
    return error.connection_invalidated or (not state and type(error).__name__ == "OperationalError")


def said_elsewhere(error: BaseException) -> bool:
    """Whether there is no need to log the error with its trace at each try: the database undid the work for another's
    sake, or is away, which is logged once when that begins."""
    return was_undone(error) or is_outage(error)


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


class MaybeCommitted(Unavailable):
    """The database went away while a commit was under way: nobody knows whether the change has become true."""

    def __init__(self) -> None:
        super().__init__(
            "The database went away while the change was being written, so it may have become true or not. Look, and "
            "ask again if it has not."
        )


class Outage:
    """Whether the database is away, told in the log when that begins and when it ends."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._away = False

    @property
    def away(self) -> bool:
        """Whether the last transaction found nobody."""
        return self._away

    def note(self, error: BaseException) -> None:
        """A transaction failed in this way."""
        if not is_outage(error):
            return
        with self._lock:
            began, self._away = not self._away, True
        if began:
            log.error("%s does not answer; trying again until it does: %s", self._what, _first_line(error))

    def over(self) -> None:
        """A transaction went well."""
        if self._away:
            with self._lock:
                ended, self._away = self._away, False
            if ended:
                log.warning("%s answers again", self._what)


def _first_line(error: BaseException) -> str:
    reason = getattr(error, "orig", None) or error
    return str(reason).strip().partition("\n")[0]
