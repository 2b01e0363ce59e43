"""Images' bytes as sparse files in one folder, named by image id."""

import contextlib
import os
import re
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from polyvisor.image import staging
from polyvisor.image.backend import HASH_ALGORITHM, Stored, Usage
from polyvisor.image.digests import Digests
from polyvisor.image.errors import ImageBytesMissing, ImageTooLarge
from polyvisor.image.sparse import SparseWriter
from polyvisor.image.staging import Staging
from polyvisor.image.window import CHUNK_BYTES, Window

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}\Z")
_STORE = "store the image"


class FileBackend:
    """An ImageBackend in `directory`, which is made if need be, for this user alone."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory

    def path(self, image_id: str) -> Path:
        """Where the image's bytes lie, or would lie. To be read only. Raises ValueError for what cannot be an id."""
        if not _ID.match(image_id):
            raise ValueError(f"{image_id!r} is no image id")
        return self._directory / image_id

    def writer(self, image_id: str, limit_bytes: int | None = None) -> "FileWriter":
        """See ImageBackend."""
        with staging.no_room(_STORE):
            return FileWriter(self.path(image_id), limit_bytes)

    def open_range(self, image_id: str, offset: int = 0, length: int | None = None) -> "FileRange":
        """See ImageBackend."""
        try:
            descriptor = os.open(self.path(image_id), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise _missing(image_id) from None
        size = os.fstat(descriptor).st_size
        if not 0 <= offset <= size:
            os.close(descriptor)
            raise ValueError(f"offset {offset} lies outside the image's {size} bytes")
        rest = size - offset
        return FileRange(Window(descriptor, offset, rest if length is None else max(0, min(length, rest))))

    def size_bytes(self, image_id: str) -> int:
        """See ImageBackend."""
        try:
            return self.path(image_id).stat().st_size
        except FileNotFoundError:
            raise _missing(image_id) from None

    def delete(self, image_id: str) -> bool:
        """See ImageBackend."""
        try:
            self.path(image_id).unlink()
        except FileNotFoundError:
            return False
        return True

    def usage(self) -> Usage:
        """See ImageBackend."""
        found = [status for _, status in self._images()]
        filesystem = os.statvfs(self._directory)
        return Usage(
            images=len(found),
            logical_bytes=sum(status.st_size for status in found),
            allocated_bytes=sum(status.st_blocks * 512 for status in found),
            free_bytes=filesystem.f_bavail * filesystem.f_frsize,
        )

    def collect_stale(self, known_ids: Collection[str], older_than_seconds: float = 3600) -> list[str]:
        """See ImageBackend."""
        gone = staging.collect_stale(self._directory)
        newest = time.time() - older_than_seconds
        for name, status in self._images():
            if name not in known_ids and max(status.st_mtime, status.st_ctime) <= newest and self.delete(name):
                gone.append(name)
        return gone

    def _images(self) -> list[tuple[str, os.stat_result]]:
        found = []
        with os.scandir(self._directory) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if _ID.match(entry.name) and entry.is_file(follow_symlinks=False):
                        found.append((entry.name, entry.stat(follow_symlinks=False)))
        return found


class FileWriter:
    """An ImageWriter."""

    def __init__(self, target: Path, limit_bytes: int | None) -> None:
        self._target = target
        self._limit_bytes = limit_bytes
        self._staging = Staging(target.parent)
        self.staged_path = self._staging.path / "data"
        try:
            self._descriptor = os.open(self.staged_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError:
            self._staging.discard()
            raise
        self._sparse = SparseWriter(self._descriptor)
        self._digests = Digests("md5", HASH_ALGORITHM)

    def write(self, chunk: bytes) -> None:
        """See ImageWriter."""
        if self._limit_bytes is not None and self._sparse.position + len(chunk) > self._limit_bytes:
            self.abort()
            raise ImageTooLarge(f"The image is larger than the {self._limit_bytes} bytes allowed here.")
        self._digests.update(chunk)
        with self._or_abort():
            self._sparse.write(chunk)

    def commit(self) -> Stored:
        """See ImageWriter."""
        with self._or_abort():
            self._staging.commit(self.staged_path, self._target)
        stored = Stored(
            size_bytes=self._sparse.position,
            checksum=self._digests.hex("md5"),
            os_hash_algo=HASH_ALGORITHM,
            os_hash_value=self._digests.hex(HASH_ALGORITHM),
        )
        self.abort()
        return stored

    def abort(self) -> None:
        """See ImageWriter."""
        if self._descriptor >= 0:
            self._digests.close()
            os.close(self._descriptor)
            self._descriptor = -1
        self._staging.discard()

    @contextlib.contextmanager
    def _or_abort(self) -> Iterator[None]:
        try:
            with staging.no_room(_STORE):
                yield
        except BaseException:
            self.abort()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


class FileRange:
    """A ByteRange."""

    def __init__(self, window: Window) -> None:
        self.length = window.size
        self._window = window
        self._open = True

    def __iter__(self) -> Iterator[bytes]:
        position = 0
        try:
            while self._open and position < self.length:
                chunk = self._window.read_at(position, CHUNK_BYTES)
                if not chunk:
                    raise OSError("the image's file ends early")
                position += len(chunk)
                yield chunk
        finally:
            self.close()

    def close(self) -> None:
        """See ByteRange."""
        if self._open:
            self._open = False
            os.close(self._window.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _missing(image_id: str) -> ImageBytesMissing:
    return ImageBytesMissing(f"Image {image_id} has no data; upload it first.")
