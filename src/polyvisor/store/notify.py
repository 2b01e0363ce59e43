"""Wake-ups between processes, by PostgreSQL's LISTEN and NOTIFY: sent in batches after commits, heard by one thread.

Nothing depends on them: whoever waits also looks on a period.
"""

import logging
import random
import threading
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from polyvisor.store.signals import Signals

log = logging.getLogger(__name__)

CHANNEL = "polyvisor"
MOST_BYTES = 7500
"""PostgreSQL takes less than 8,000 in one notification."""
_LOOK_SECONDS = 2.0
_MOST_PAUSE_SECONDS = 5.0
_LONGEST_FLUSH_SECONDS = 2.0

Connect = Callable[[], Any]
"""Makes a psycopg connection that commits each statement."""


class Notifier:
    """Tells other processes of this one's signals, and raises theirs here. It owns two connections and two threads."""

    def __init__(self, connect: Connect, signals: Signals) -> None:
        self._connect = connect
        self._signals = signals
        self._me = uuid.uuid4().hex[:16]
        self._changed = threading.Condition()
        self._pending: dict[str, None] = {}
        self._stopping = False
        self.listening = threading.Event()
        """Set while other processes' signals are heard."""
        self._threads: list[threading.Thread] = []

    def start(self, *, listen: bool = True) -> None:
        """Begin; without `listen` this process only tells."""
        loops = (self._send_loop, self._listen_loop) if listen else (self._send_loop,)
        self._threads = [threading.Thread(target=loop, name=loop.__name__.strip("_"), daemon=True) for loop in loops]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send what is waiting, and end."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(_LOOK_SECONDS + _LONGEST_FLUSH_SECONDS)

    def tell(self, subjects: Iterable[str]) -> None:
        """Have the other processes raise these; what is raised twice before it is sent is sent once."""
        with self._changed:
            self._pending.update(dict.fromkeys(subjects))
            self._changed.notify_all()

    # Sending

    def _send_loop(self) -> None:
        connection: Any = None
        failures = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._stopping)
                subjects, self._pending = list(self._pending), {}
                last = self._stopping
            try:
                if subjects:
                    connection = connection or self._connect()
                    for text in payloads(self._me, subjects):
                        connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, text))
                failures = 0
            except Exception as error:  # noqa: BLE001 - a wake-up that is lost costs a wait; the next one is tried anew
                log.debug("a wake-up could not be sent: %s", error)
                _close(connection)
                connection = None
                failures += 1
                with self._changed:
                    self._pending = {**dict.fromkeys(subjects), **self._pending}
                    self._changed.wait_for(lambda: self._stopping, _pause_seconds(failures))
            if last:
                _close(connection)
                return

    # Listening

    def _listen_loop(self) -> None:
        failures = 0
        while not self._stopping:
            connection: Any = None
            try:
                connection = self._connect()
                connection.execute(f"LISTEN {CHANNEL}")
                self.listening.set()
                # What was raised while nobody listened is not known: everybody looks.
                self._signals.wake_all()
                failures = 0
                self._listen(connection)
            except Exception as error:  # noqa: BLE001 - polling goes on meanwhile
                log.debug("wake-ups of other processes are not heard: %s", error)
                failures += 1
            finally:
                self.listening.clear()
                _close(connection)
            with self._changed:
                self._changed.wait_for(lambda: self._stopping, _pause_seconds(failures))

    def _listen(self, connection: Any) -> None:
        while not self._stopping:
            heard = False
            for notification in connection.notifies(timeout=_LOOK_SECONDS, stop_after=1):
                heard = True
                self._hear(notification.payload)
            if not heard:
                # A primary that has become a standby hears nothing any more: say so instead of listening on.
                [standby] = connection.execute("SELECT pg_is_in_recovery()").fetchone()
                if standby:
                    raise ConnectionError("the database has become a standby")

    def _hear(self, payload: str) -> None:
        who, *subjects = payload.split("\n")
        if who != self._me:
            for subject in subjects:
                self._signals.wake(subject)


def payloads(sender: str, subjects: Iterable[str]) -> Iterable[str]:
    """The subjects in as few notifications as hold them, the sender first in each."""
    text = sender
    for subject in subjects:
        if len(text.encode()) + len(subject.encode()) + 1 > MOST_BYTES and text != sender:
            yield text
            text = sender
        text = f"{text}\n{subject}"
    yield text


def _close(connection: Any) -> None:
    if connection is not None:
        try:
            connection.close()
        except Exception as error:  # noqa: BLE001 - it is gone either way
            log.debug("closing a connection failed: %s", error)


def _pause_seconds(failures: int) -> float:
    return random.uniform(0.0, min(_MOST_PAUSE_SECONDS, 0.2 * 2.0 ** min(failures, 8)))  # noqa: S311 - to spread load
