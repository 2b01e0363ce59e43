"""The bytes of an image, for the step that needs them: whole or from where an earlier try broke off."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from concurrent.futures import Executor
from typing import Any

from polyvisor.api.kit.streams import next_chunk
from polyvisor.image.backend import ByteRange
from polyvisor.image.errors import ImageBytesMissing
from polyvisor.image.files import FileBackend
from polyvisor.model.errors import NotFound

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_RANGE = re.compile(r"bytes\s*=\s*(\d+)\s*-\s*(\d*)\s*\Z")


class Beyond(Exception):
    """The range asked for lies outside the image."""

    def __init__(self, size: int) -> None:
        super().__init__(f"The range asked for lies outside the image's {size} bytes.")
        self.size = size


class Piece:
    """A part of an image that is about to be sent."""

    def __init__(self, part: ByteRange, first: int, size: int, *, whole: bool) -> None:
        self.part, self.status = part, 200 if whole else 206
        self.headers = {
            "content-type": "application/octet-stream",
            "content-length": str(part.length),
            "accept-ranges": "bytes",
        }
        if not whole:
            self.headers["content-range"] = f"bytes {first}-{first + part.length - 1}/{size}"


def open_piece(backend: FileBackend, image_id: str, header: str) -> Piece:
    """The part that a Range header asks for, as "bytes=FIRST-" or "bytes=FIRST-LAST"; all without one, or with one of
    another form. Raises NotFound, Beyond."""
    try:
        size = backend.size_bytes(image_id)
        found = _RANGE.fullmatch(header.strip())
        if found is None:
            return Piece(backend.open_range(image_id), 0, size, whole=True)
        first = int(found[1])
        last = min(int(found[2] or size - 1), size - 1)
        if first >= size or last < first:
            raise Beyond(size)
        return Piece(backend.open_range(image_id, first, last - first + 1), first, size, whole=False)
    except ImageBytesMissing as error:
        raise NotFound(str(error)) from None


async def send_piece(piece: Piece, send: Send, pool: Executor) -> None:
    """Send it; the file is read on other threads, no faster than the agent takes it."""
    loop = asyncio.get_running_loop()
    headers = [(name.encode(), value.encode()) for name, value in piece.headers.items()]
    try:
        await send({"type": "http.response.start", "status": piece.status, "headers": headers})
        chunks: Iterator[bytes] = iter(piece.part)
        while (chunk := await loop.run_in_executor(pool, next_chunk, chunks)) is not None:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        piece.part.close()
