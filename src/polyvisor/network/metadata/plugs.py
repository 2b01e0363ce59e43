"""Tells when guests' cards are plugged into Open vSwitch and taken out, as its database tells of it."""

import contextlib
import logging
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from polyvisor.network.metadata.switch import MARK

log = logging.getLogger(__name__)

PAUSE_SECONDS = 5.0
_STANDARD = "unix:/run/openvswitch/db.sock"


class Plugs(Protocol):
    """What a station has itself woken by."""

    def start(self, changed: Callable[[], None]) -> None:
        """Begin; `changed` is called by another thread from then on, once too often rather than once too seldom."""

    def stop(self) -> None:
        """End. May be called without a start."""


class OpenVSwitchPlugs:
    """By ovsdb-client, which is started again where it ends. Nothing is told while it is away: look at times, too."""

    def __init__(self, database: str = "") -> None:
        """`database`: where Open vSwitch's database answers; empty = its default."""
        # It ends with us, however we end.
        monitor = ["setpriv", "--pdeathsig", "TERM", "ovsdb-client", "--format=json", "monitor"]
        self._command = [*monitor, database or _STANDARD, "Open_vSwitch", "Interface", "external_ids"]
        kind, _, path = (database or _STANDARD).partition(":")
        self._socket = Path(path) if kind == "unix" else None
        self._changed: Callable[[], None] = lambda: None
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._client: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._loop, name="metadata-plugs", daemon=True)

    def start(self, changed: Callable[[], None]) -> None:
        """Begin."""
        self._changed = changed
        self._thread.start()

    def stop(self) -> None:
        """End, and the client with it."""
        self._ending.set()
        with self._lock:
            if self._client is not None:
                self._client.terminate()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    def _loop(self) -> None:
        while not self._ending.is_set():
            try:
                if self._socket is None or self._socket.exists():  # this host may have no switch at all
                    self._listen()
            except OSError as error:
                log.info("plugged cards are not heard of, only looked for: %s", error)
            self._ending.wait(PAUSE_SECONDS)

    def _listen(self) -> None:
        """Until the client ends."""
        with self._lock:
            if self._ending.is_set():
                return
            self._client = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        with self._client as client:
            for line in client.stdout or ():
                if _tells_of_a_guest(line):
                    self._changed()


def _tells_of_a_guest(line: str) -> bool:
    """Whether an update names a card that is a port's, and not one of the metadata service's own."""
    with contextlib.suppress(msgspec.DecodeError, AttributeError, KeyError, TypeError, ValueError):
        rows: list[list[Any]] = msgspec.json.decode(line)["data"]
        told = [dict(row[-1][1]) for row in rows]
        return any("iface-id" in each and MARK not in each for each in told)
    return True  # it cannot be read: look
