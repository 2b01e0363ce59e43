"""What every backend for images' bytes can do: local files today, object stores and datastores behind the same
Protocol."""

from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from polyvisor.model.record import Record

HASH_ALGORITHM = "sha512"
"""The Image API's `os_hash_algo`."""


class Stored(Record):
    """What the Image API shows of stored bytes."""

    size_bytes: int
    checksum: str
    """MD5, in hex."""
    os_hash_algo: str
    os_hash_value: str
    """In hex."""


class Usage(Record):
    """How full a backend is."""

    images: int
    logical_bytes: int
    """As downloads would count."""
    allocated_bytes: int
    """As the disk counts."""
    free_bytes: int


class ImageWriter(Protocol):
    """One upload. Leaving the `with` block without commit() leaves nothing behind."""

    staged_path: Path
    """Where the bytes lie until commit(), for inspection."""

    def write(self, chunk: bytes) -> None:
        """Add the next bytes. Raises ImageTooLarge, NoRoom."""

    def commit(self) -> Stored:
        """Make the bytes the image's, on stable storage, replacing earlier ones. Raises NoRoom."""

    def abort(self) -> None:
        """Remove what was written. May be called at any time, more than once."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ByteRange(Protocol):
    """Bytes on their way out."""

    length: int

    def __iter__(self) -> Iterator[bytes]:
        """Chunks of at most a MiB; closes itself at the end."""

    def close(self) -> None:
        """Stop early. May be called more than once."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ImageBackend(Protocol):
    """Holds the bytes of images, by image id. All methods may be called from several threads at once."""

    def writer(self, image_id: str, limit_bytes: int | None = None) -> ImageWriter:
        """Begin an upload of at most `limit_bytes`. Raises NoRoom."""

    def open_range(self, image_id: str, offset: int = 0, length: int | None = None) -> ByteRange:
        """Read `length` bytes (None: to the end) from `offset`. Bytes deleted or replaced meanwhile are still read to
        their end. Raises ImageBytesMissing, and ValueError when `offset` lies beyond the end."""

    def size_bytes(self, image_id: str) -> int:
        """The length of the image's bytes. Raises ImageBytesMissing."""

    def delete(self, image_id: str) -> bool:
        """Remove the image's bytes; False when there were none."""

    def usage(self) -> Usage:
        """How full the backend is."""

    def collect_stale(self, known_ids: Collection[str], older_than_seconds: float = 3600) -> list[str]:
        """Remove unfinished uploads of dead processes, and bytes that have no image in `known_ids` and are older than
        `older_than_seconds` (an image made since `known_ids` was read is younger). Returns what went."""
