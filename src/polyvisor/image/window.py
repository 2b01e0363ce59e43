"""A stretch of an open file, read by position: a whole image, or the disk that lies inside an OVA."""

import hashlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

CHUNK_BYTES = 1 << 20


class Window:
    """Bytes `offset` to `offset + size` of the file behind `descriptor`, which stays the caller's to close."""

    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        self.descriptor = descriptor
        self.offset = offset
        self.size = size

    @classmethod
    def of_file(cls, descriptor: int) -> "Window":
        """The whole file."""
        return cls(descriptor, 0, os.fstat(descriptor).st_size)

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes; fewer where the window ends first, none outside it."""
        if offset < 0 or offset >= self.size:
            return b""
        length = min(length, self.size - offset)
        parts = []
        while length > 0:
            part = os.pread(self.descriptor, min(length, CHUNK_BYTES), self.offset + offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return b"".join(parts)

    def tail(self, length: int) -> bytes:
        """The last `length` bytes."""
        return self.read_at(max(0, self.size - length), length)

    def inside(self, offset: int, size: int) -> "Window":
        """A window within this one; cut where this one ends."""
        return Window(self.descriptor, self.offset + offset, max(0, min(size, self.size - offset)))

    def chunks(self) -> Iterator[bytes]:
        """All bytes in order, a MiB at a time."""
        position = 0
        while chunk := self.read_at(position, CHUNK_BYTES):
            yield chunk
            position += len(chunk)

    def numbers(self, kind: str) -> "Iterator[np.ndarray[tuple[int], np.dtype[np.uint64]]]":
        """All bytes as numbers, in chunks; `kind` as NumPy names it (">u4"), and whole numbers only."""
        import numpy as np  # few images have tables to be read here

        for chunk in self.chunks():
            whole = len(chunk) // np.dtype(kind).itemsize * np.dtype(kind).itemsize
            yield np.frombuffer(chunk[:whole], dtype=kind).astype(np.uint64)

    def digest(self, algorithm: str) -> str:
        """The hash of all bytes, in hex. `algorithm` as hashlib names it."""
        state = hashlib.new(algorithm, usedforsecurity=False)
        for chunk in self.chunks():
            state.update(chunk)
        return state.hexdigest()
