"""Asks the API for something small without pause, and so knows how long nobody answered."""

import threading
import time
from itertools import pairwise

from ha.client import Client, NoAnswer, Refused

PAUSE_SECONDS = 0.1
_PATH = "/compute/v2.1/servers?limit=1"


class Probe:
    """A thread, from `start` to `stop`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._answers: list[float] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="probe", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self._thread.join()
        self._client.close()

    def longest_silence(self, since: float) -> float:
        """The longest time without an answer since a moment of time.monotonic, the one that lasts still included."""
        with self._lock:
            before = max((each for each in self._answers if each <= since), default=since)
            answers = [before, *(each for each in self._answers if each > since), time.monotonic()]
        return max(later - earlier for earlier, later in pairwise(answers))

    def answered_after(self, moment: float) -> bool:
        """Whether there was an answer after a moment of time.monotonic."""
        with self._lock:
            return bool(self._answers) and self._answers[-1] > moment

    def _loop(self) -> None:
        while not self._stopping.wait(PAUSE_SECONDS):
            try:
                self._client.ask("GET", _PATH)
            except (NoAnswer, Refused):
                continue
            with self._lock:
                self._answers.append(time.monotonic())
