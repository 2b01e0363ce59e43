"""What a handler returns: a status, and a JSON value or a stream of bytes."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct


class Reply(Struct, frozen=True):
    """An answer with a body that becomes JSON, ready-made bytes (say the media type), or no body (None)."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = {}
    media_type: str = "application/json"


class StreamReply(Struct, frozen=True):
    """An answer whose bytes come one chunk at a time, after the transaction has ended.

    `chunks` is closed (its `close()` called, where it has one) at the end, also when the client goes away.
    """

    status: int
    chunks: Iterable[bytes] | Iterator[bytes]
    headers: Mapping[str, str] = {}
    media_type: str = "application/octet-stream"
    length_bytes: int | None = None
    """For Content-Length; None = chunked."""
