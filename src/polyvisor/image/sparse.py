"""Writing and copying files so that zeros take no space (I4)."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from polyvisor.image.window import CHUNK_BYTES, Window

_BLOCK_BYTES = 64 << 10
_ZEROS = bytes(_BLOCK_BYTES)


class SparseWriter:
    """Writes a new file in order, leaving holes where whole 64 KiB blocks are zero; the file has its full length at any
    time. `descriptor` stays the caller's."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.position = 0

    def write(self, chunk: bytes) -> None:
        """Add the next bytes. Raises OSError."""
        view = memoryview(chunk)
        start = 0
        for begin, end in _blocks(self.position, len(view)):
            if view[begin:end] == _ZEROS[: end - begin]:
                self._put(view[start:begin], self.position + start)
                start = end
        self._put(view[start:], self.position + start)
        if start == len(view):
            self.skip(len(view))
        else:
            self.position += len(view)

    def skip(self, length: int) -> None:
        """Leave a hole."""
        self.position += length
        os.ftruncate(self._descriptor, self.position)

    def _put(self, data: memoryview, offset: int) -> None:
        while data:
            written = os.pwrite(self._descriptor, data, offset)
            data = data[written:]
            offset += written


def allocated_bytes(path: Path) -> int:
    """What a file takes on the disk."""
    return path.stat().st_blocks * 512


def copy_window(source: Window, target: Path, tell: Callable[[float], None] | None = None) -> None:
    """Copy a window to a new file; holes and zeros stay holes. `tell` gets 0 to 100; what it raises goes through, and
    leaves the file unfinished. Raises OSError."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        writer = SparseWriter(descriptor)
        for begin, end in data_ranges(source):
            writer.skip(begin - writer.position)
            while writer.position < end:
                writer.write(source.read_at(writer.position, min(CHUNK_BYTES, end - writer.position)))
                if tell is not None:
                    tell(100.0 * writer.position / source.size)
        writer.skip(source.size - writer.position)
    finally:
        os.close(descriptor)


def data_ranges(window: Window) -> Iterator[tuple[int, int]]:
    """Where a window is not a hole: (begin, end), relative to it, in order."""
    position, last = window.offset, window.offset + window.size
    while position < last:
        begin, end = position, last
        with contextlib.suppress(OSError):
            try:
                begin = os.lseek(window.descriptor, position, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # a hole to the end
                    return
                raise  # a file system that knows no holes: all of it is data
            end = min(last, os.lseek(window.descriptor, begin, os.SEEK_HOLE))
        if begin >= last:
            return
        yield begin - window.offset, end - window.offset
        position = end


def _blocks(position: int, length: int) -> Iterator[tuple[int, int]]:
    """Cut `length` bytes at `position` at the boundaries of blocks: (begin, end), relative to `position`."""
    begin = 0
    while begin < length:
        end = min(length, begin + _BLOCK_BYTES - (position + begin) % _BLOCK_BYTES)
        yield begin, end
        begin = end
