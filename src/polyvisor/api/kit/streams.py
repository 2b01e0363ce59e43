"""Bytes between the event loop and a thread: a body that is read as it comes, chunks that are sent as they are made."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any

from polyvisor.model.errors import Invalid, TooLarge

_GATHER_BYTES = 512 << 10
_GATHER_SECONDS = 0.05
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Upload(Iterator[bytes]):
    """The chunks of a request's body, read on a worker thread while the event loop receives them."""

    def __init__(
        self,
        receive: Receive,
        loop: asyncio.AbstractEventLoop,
        limit_bytes: int | None,
        headers: Mapping[str, str],
        silence_seconds: float,
    ) -> None:
        """`limit_bytes`: None = as long as it is. `silence_seconds`: how long to wait for the next bytes."""
        self._receive = receive
        self._silence_seconds = silence_seconds
        self._loop = loop
        self._limit = limit_bytes
        declared = headers.get("content-length", "")
        self.declared_bytes = int(declared) if declared.isdigit() else None
        """Content-Length, where the client gave one."""
        self._size = 0
        self._ended = False

    def __next__(self) -> bytes:
        """The next chunk. Raises TooLarge past the limit, Invalid where the client went away or fell silent before the
        end."""
        if self._limit is not None and (self.declared_bytes or 0) > self._limit:
            raise TooLarge(f"The body is larger than the {self._limit} bytes that are allowed.")
        if self._ended:
            raise StopIteration
        try:
            chunk = asyncio.run_coroutine_threadsafe(self._take(), self._loop).result()
        except TimeoutError:
            self._ended = True
            raise Invalid(f"No bytes came for {self._silence_seconds:g} seconds, before the body was whole.") from None
        self._size += len(chunk)
        if self._limit is not None and self._size > self._limit:
            raise TooLarge(f"The body is larger than the {self._limit} bytes that are allowed.")
        if not chunk:
            raise StopIteration
        return chunk

    async def _take(self) -> bytes:
        """What comes, up to a good piece of it: handing over to the thread costs more than receiving does."""
        parts: list[bytes] = []
        size = 0
        enough = self._loop.time() + _GATHER_SECONDS
        while not self._ended and size < _GATHER_BYTES and (not parts or self._loop.time() < enough):
            async with asyncio.timeout(self._silence_seconds):
                message = await self._receive()
            if message["type"] == "http.disconnect":
                self._ended = True
                raise Invalid("The connection ended before the body did.")
            self._ended = not message.get("more_body")
            if body := message.get("body", b""):
                parts.append(body)
                size += len(body)
        return b"".join(parts)


def next_chunk(chunks: Iterator[bytes]) -> bytes | None:
    """The next chunk that is not empty; None at the end."""
    for chunk in chunks:
        if chunk:
            return chunk
    return None


def close(*sources: Iterable[bytes]) -> None:
    """Close what has a `close`: files and generators."""
    for source in dict.fromkeys(sources):
        end = getattr(source, "close", None)
        if end is not None:
            end()
