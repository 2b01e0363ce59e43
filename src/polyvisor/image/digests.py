"""Hashes of a stream, computed beside whatever else is done with it."""

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor, wait


class Digests:
    """Several hashes of the same bytes, each on a thread of its own: hashing takes longer than writing does."""

    def __init__(self, *algorithms: str) -> None:
        """`algorithms` by hashlib's names."""
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
        self._threads = ThreadPoolExecutor(len(algorithms), thread_name_prefix="digest")
        self._pending: list[Future[None]] = []

    def update(self, chunk: bytes) -> None:
        """Take the next bytes, once the ones before are through; does not wait for these."""
        self._settle()
        self._pending = [self._threads.submit(each.update, chunk) for each in self._hashes.values()]

    def hex(self, algorithm: str) -> str:
        """One hash of all bytes so far."""
        self._settle()
        return self._hashes[algorithm].hexdigest()

    def close(self) -> None:
        """Let the threads go. May be called twice."""
        self._threads.shutdown()

    def _settle(self) -> None:
        wait(self._pending)
        for done in self._pending:
            done.result()
        self._pending = []
