"""Tells systemd that this process is up, that it still works, and that it is about to stop."""

import threading
from collections.abc import Callable

from polyvisor.agent.notify import notify, watchdog_seconds


class Watched:
    """From `begin` to `end`, on a thread of its own; does nothing where no systemd asks."""

    def __init__(self, alive: Callable[[], bool]) -> None:
        """`alive`: whether every loop of the process still turns. One that hangs is not to be called alive."""
        self._alive = alive
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, status: str) -> None:
        """It takes requests from now on; `status` is what `systemctl status` shows."""
        notify("READY=1", f"STATUS={status}")
        seconds = watchdog_seconds()
        if seconds is not None:
            self._thread = threading.Thread(target=self._tell, args=(seconds,), name="watchdog", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """It is about to stop: from now on systemd counts the time that stopping takes."""
        notify("STOPPING=1")
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _tell(self, seconds: float) -> None:
        while not self._stopping.is_set():
            if self._alive():
                notify("WATCHDOG=1")
            self._stopping.wait(seconds)
