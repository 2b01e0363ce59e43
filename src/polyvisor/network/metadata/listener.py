"""Serves the sockets of many namespaces: one event loop on one thread, and a few threads that fetch answers."""

import asyncio
import logging
import math
import resource
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from polyvisor.model.metadata import MetadataAnswer, MetadataAsked
from polyvisor.network.metadata.connection import Connection
from polyvisor.network.metadata.limit import Limit

log = logging.getLogger(__name__)

T = TypeVar("T")
Answer = Callable[[MetadataAsked], MetadataAnswer]
BURST = 128
"""So many requests a guest may send at once: cloud-init reads EC2's whole tree in about forty."""
PER_SECOND = 8.0
"""So many it may send for long."""
MOST_OF_ONE = 16
"""Connections of one address in one network."""
MOST_OF_NETWORK = 512
MOST_IN_ALL = 4096
"""Or a quarter of the files that the process may open, where that is less: the rest is for what else it does."""
MOST_AT_ONCE = 4
"""Requests of one address whose answers are being fetched: one guest does not hold up the others."""
_MOST_WAITING = 256
"""Requests whose answers are being fetched; the others are told to come again."""
_STOP_SECONDS = 10.0


class Listener:
    """From `start` to `stop`; all but `opened`, `closed` and `answer` may be called by any thread but its own."""

    def __init__(
        self, answer: Answer, threads: int = 8, limit: Limit | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`answer` fetches an answer, and may take its time. `clock`: steady seconds."""
        self._fetch, self._clock = answer, clock
        self._limit = limit or Limit(BURST, PER_SECOND)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="metadata")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="metadata-listener", daemon=True)
        self._servers: dict[str, list[asyncio.Server]] = {}
        self._connections: set[Connection] = set()
        self._count: Counter[object] = Counter()
        self._fetching: Counter[tuple[str, str]] = Counter()
        self.answered: Counter[int] = Counter()
        """Answers by status, since the start."""
        self._most = min(MOST_IN_ALL, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def add(self, network_id: str, sockets: Sequence[socket.socket]) -> None:
        """Serve a network's sockets, which stay the caller's."""
        self._do(self._add(network_id, sockets))

    def remove(self, network_id: str) -> None:
        """Serve them no more, and end their connections."""
        self._do(self._remove(network_id))

    def stop(self) -> None:
        """End."""
        if self._thread.is_alive():
            for network_id in list(self._servers):
                self.remove(network_id)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_STOP_SECONDS)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_STOP_SECONDS)

    async def _add(self, network_id: str, sockets: Sequence[socket.socket]) -> None:
        for each in sockets:
            # A socket of the server's own, so that closing the server leaves the caller's as it is.
            server = await self._loop.create_server(lambda: Connection(network_id, self), sock=each.dup())
            self._servers.setdefault(network_id, []).append(server)

    async def _remove(self, network_id: str) -> None:
        for server in self._servers.pop(network_id, ()):
            server.close()
        for connection in [each for each in self._connections if each.network_id == network_id]:
            connection.abort()

    # What connections call, on the loop

    def opened(self, connection: Connection) -> bool:
        """Count a connection; whether it may stay."""
        one, network = (connection.network_id, connection.address), connection.network_id
        self._connections.add(connection)
        self._count.update((one, network))
        return (
            self._count[one] <= MOST_OF_ONE
            and self._count[network] <= MOST_OF_NETWORK
            and len(self._connections) <= self._most
        )

    def closed(self, connection: Connection) -> None:
        """Count it no more."""
        self._connections.discard(connection)
        for key in ((connection.network_id, connection.address), connection.network_id):
            self._count[key] -= 1
            if self._count[key] <= 0:
                del self._count[key]

    def answer(self, asked: MetadataAsked) -> "asyncio.Future[MetadataAnswer]":
        """The answer that is to come; never an exception."""
        who = (asked.network_id, asked.address)
        wait = self._limit.wait(who, self._clock())
        if wait or self._fetching[who] >= MOST_AT_ONCE or self._fetching.total() >= _MOST_WAITING:
            future: asyncio.Future[MetadataAnswer] = self._loop.create_future()
            future.set_result(_too_many(wait) if wait else _busy())
            return future
        self._fetching[who] += 1
        fetched = self._loop.run_in_executor(self._pool, self._fetched, asked)
        fetched.add_done_callback(lambda _future: self._done(who))
        return fetched

    def _done(self, who: tuple[str, str]) -> None:
        self._fetching[who] -= 1
        if not self._fetching[who]:
            del self._fetching[who]

    def _fetched(self, asked: MetadataAsked) -> MetadataAnswer:
        try:
            return self._fetch(asked)
        except Exception:
            log.exception("a request for metadata from %s in network %s failed", asked.address, asked.network_id)
            return MetadataAnswer(status=500, body=b"The metadata could not be read; ask again.\n")


def _too_many(wait_seconds: float) -> MetadataAnswer:
    seconds = math.ceil(wait_seconds)
    return MetadataAnswer(
        status=429,
        body=f"Too many requests for metadata came from this address: ask again in {seconds} s.\n".encode(),
        retry_after_seconds=seconds,
    )


def _busy() -> MetadataAnswer:
    return MetadataAnswer(
        status=503, body=b"Too many questions for metadata wait for an answer here: ask again.\n", retry_after_seconds=1
    )
