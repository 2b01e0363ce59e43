"""Traffic between two guests that does not stop: numbered datagrams, and which of them arrived."""

import contextlib
import socket
import threading
import time
from typing import Self

from testbed.frames import within
from testbed.ovn_guest import TestGuest
from testbed.process import wait_for

EVERY_SECONDS = 0.02
PATIENCE_SECONDS = 180.0
_PORT = 5001
_RECEIVE_BUFFER_FORCE, _RECEIVE_BYTES = 33, 4_000_000
"""SO_RCVBUFFORCE of socket(7), which Python does not name."""


class Stream:
    """Fifty datagrams a second, from `with` to the end of the block: `with Stream(one, two, "10.0.0.2") as stream`."""

    def __init__(self, sender: TestGuest, receiver: TestGuest, address: str) -> None:
        self._target = (address, _PORT)
        self._out = within(sender.namespace, _datagrams)
        self._in = within(receiver.namespace, _datagrams)
        # What arrives while this process has to wait for its turn is not lost.
        self._in.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_FORCE, _RECEIVE_BYTES)
        self._in.bind(self._target)
        self._in.settimeout(0.2)
        self._sent, self._arrived = 0, set[int]()
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._send, self._receive)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.until_it_flows()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()
        self._out.close()
        self._in.close()

    def mark(self) -> int:
        """The number of the next datagram, for `lost`."""
        return self._sent

    def lost(self, since: int) -> int:
        """How many of those sent since then have not arrived; the last ones are waited for."""
        last = self._sent
        self.until_it_flows()
        return sum(number not in self._arrived for number in range(since, last))

    def until_it_flows(self, count: int = 25) -> None:
        """Return when so many datagrams of those that are sent from now on have arrived."""
        first = self._sent
        wait_for(
            lambda: sum(number >= first for number in list(self._arrived)) >= count,
            PATIENCE_SECONDS,
            lambda: (
                f"of the datagrams since number {first} only {sorted(n for n in self._arrived if n >= first)} arrived"
            ),
        )

    def until_it_stops(self) -> None:
        """Return when none of half a second's has arrived."""

        def is_still() -> bool:
            first = self._sent
            time.sleep(0.5)
            return not any(number >= first for number in list(self._arrived))

        wait_for(is_still, PATIENCE_SECONDS, lambda: "datagrams arrive all the time")

    def _send(self) -> None:
        while not self._ending.wait(EVERY_SECONDS):
            with contextlib.suppress(OSError):  # no neighbour: what is not sent is lost as well
                self._out.sendto(str(self._sent).encode(), self._target)
            self._sent += 1

    def _receive(self) -> None:
        while not self._ending.is_set():
            try:
                self._arrived.add(int(self._in.recv(64)))
            except OSError:
                continue


def _datagrams() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
