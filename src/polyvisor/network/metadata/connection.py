"""One connection of a guest: HTTP/1.1 with small requests, one answered at a time, within bounds."""

import asyncio
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import httptools

from polyvisor.model.metadata import LARGEST_PATH, MetadataAnswer, MetadataAsked

if TYPE_CHECKING:
    from polyvisor.network.metadata.listener import Listener

SILENCE_SECONDS = 15.0
"""A connection that is at nothing for so long, or takes so long over one request or one answer, is ended."""
MOST_HEAD_BYTES = 16_384
MOST_BODY_BYTES = 4096
"""The largest thing to post is a password of at most 1020 bytes."""
_MOST_AHEAD = 8
"""How many requests may come before the first is answered."""


class Connection(asyncio.Protocol):
    """Reads requests, has them answered, writes the answers."""

    def __init__(self, network_id: str, listener: "Listener") -> None:
        self.network_id, self.address = network_id, ""
        self._listener = listener
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[MetadataAsked, bool]] = deque()
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._url = self._body = b""
        self._head_bytes = 0
        self._refused: HTTPStatus | None = None
        self._deaf = False

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take it, or end it where its sender has too many."""
        self._transport = cast("asyncio.Transport", transport)
        self.address = str(transport.get_extra_info("peername")[0]).partition("%")[0]
        self._wind()
        if not self._listener.opened(self):
            self.abort()

    def connection_lost(self, _error: Exception | None) -> None:
        """It is over."""
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self._waiting.clear()
        self._listener.closed(self)

    def data_received(self, data: bytes) -> None:
        """Parse on; the parser calls the methods below."""
        if self._deaf:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._deaf = True  # what it offers to speak is not spoken here: it is answered, and that is all
        except httptools.HttpParserError:
            self._deaf = True
            self._refuse(self._refused or HTTPStatus.BAD_REQUEST)

    # What the parser calls; what it raises ends the connection

    def on_message_begin(self) -> None:
        """A request begins."""
        self._url = self._body = b""
        self._head_bytes = 0

    def on_url(self, part: bytes) -> None:
        """Its target, or a part of it."""
        self._url += part
        self._bound(len(part))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Headers tell a guest's program apart from nothing else: who asks is known by the network and the address."""
        self._bound(len(name) + len(value) + len(": \r\n"))

    def on_body(self, part: bytes) -> None:
        """A part of its body."""
        self._body += part
        if len(self._body) > MOST_BODY_BYTES:
            self._stop(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def on_message_complete(self) -> None:
        """It is whole."""
        if len(self._waiting) >= _MOST_AHEAD:
            self._stop(HTTPStatus.TOO_MANY_REQUESTS)
        try:
            path = urlsplit(self._url.decode("latin-1")).path
        except ValueError:
            self._stop(HTTPStatus.BAD_REQUEST)
        if len(path) > LARGEST_PATH:
            self._stop(HTTPStatus.REQUEST_URI_TOO_LONG)
        asked = MetadataAsked(
            network_id=self.network_id,
            address=self.address,
            method=self._parser.get_method().decode("latin-1"),
            path=path,
            body=self._body,
        )
        self._waiting.append((asked, self._parser.should_keep_alive() and not self._parser.should_upgrade()))
        self._serve()

    def _bound(self, more: int) -> None:
        self._head_bytes += more
        if self._head_bytes > MOST_HEAD_BYTES:
            self._stop(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _stop(self, status: HTTPStatus) -> None:
        self._refused = status
        raise ValueError(status.phrase)

    # Answering

    def _serve(self) -> None:
        """Have the next request answered, unless one is under way."""
        if self._busy or not self._waiting or self._transport is None:
            return
        asked, keep_alive = self._waiting.popleft()
        self._busy = True
        if self._timer is not None:
            self._timer.cancel()
        task = self._listener.answer(asked)
        task.add_done_callback(lambda done: self._answered(asked, done.result(), keep_alive))

    def _answered(self, asked: MetadataAsked, answer: MetadataAnswer, keep_alive: bool) -> None:
        self._busy = False
        if self._transport is None or self._transport.is_closing():
            return
        self._listener.answered[answer.status] += 1
        self._transport.write(written(answer, keep_alive=keep_alive, without_body=asked.method == "HEAD"))
        if keep_alive:
            self._wind()
            self._serve()
        else:
            self._end()

    def _refuse(self, status: HTTPStatus) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._listener.answered[int(status)] += 1
            answer = MetadataAnswer(status=status, body=f"{status.phrase}.\n".encode())
            self._transport.write(written(answer, keep_alive=False))
            self._end()

    def _end(self) -> None:
        """Close once what was written is out; whoever does not take it is not waited for."""
        if self._transport is not None:
            self._wind()
            self._transport.close()

    def _wind(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(SILENCE_SECONDS, self.abort)

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()


def written(answer: MetadataAnswer, *, keep_alive: bool, without_body: bool = False) -> bytes:
    """An answer as HTTP/1.1 has it."""
    head = [
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        "Cache-Control: no-store",
        f"Connection: {'keep-alive' if keep_alive else 'close'}",
    ]
    if answer.retry_after_seconds is not None:
        head.append(f"Retry-After: {answer.retry_after_seconds}")
    return "\r\n".join([*head, "", ""]).encode("latin-1") + (b"" if without_body else answer.body)
