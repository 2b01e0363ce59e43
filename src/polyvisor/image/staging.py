"""Temporary places beside the final ones: gone when their maker is done or dead, renamed into place when all is
well."""

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from polyvisor.image.errors import NoRoom

_PREFIX = ".partial-"
_LOCK = "lock"
_GATE = ".staging.lock"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Staging:
    """A temporary folder in `directory`, removed at the end of the `with` block; what is to stay is moved out by
    commit().

    Its maker holds a lock on it, which ends with the process, so that collect_stale() tells one in use from one left
    over."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        with _gate(directory, fcntl.LOCK_SH):
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=directory))
            self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def commit(self, made: Path, target: Path) -> None:
        """Move a file or folder of this place to `target`, replacing a file there, so that after a crash there is the
        old or the new one, whole."""
        for part in sorted(made.rglob("*")) if made.is_dir() else []:
            _sync(part)
        _sync(made)
        made.replace(target)
        _sync(target.parent)

    def discard(self) -> None:
        """Remove the place with all in it. May be called twice."""
        if self._lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()


def collect_stale(directory: Path) -> list[str]:
    """Remove what runs that were killed left in `directory`; those still at work are left alone. Returns what went."""
    if not directory.is_dir():
        return []
    gone = []
    with _gate(directory, fcntl.LOCK_EX):
        for place in sorted(directory.glob(f"{_PREFIX}*")):
            # One whose maker is just now done vanishes while we look.
            with contextlib.suppress(FileNotFoundError), lock(place / _LOCK) as held:
                if held:
                    shutil.rmtree(place, ignore_errors=True)
                    gone.append(place.name)
    return gone


@contextlib.contextmanager
def lock(path: Path) -> Iterator[bool]:
    """Hold an exclusive lock on a file, made if need be, against threads and processes alike; yields whether it is
    held, without waiting. A file that its last holder unlinked guards nothing, and is not held."""
    # Open for writing: NFS locks nothing that is only read.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino
        except (BlockingIOError, FileNotFoundError):
            held = False
        yield held
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def no_room(what: str) -> Iterator[None]:
    """Turn the errors of a full disk into NoRoom."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise full(what) from None


def full(what: str) -> NoRoom:
    """The error of a full disk."""
    return NoRoom(f"There is no room left to {what}; delete images that are not needed, or add space.")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _gate(directory: Path, mode: int) -> Iterator[None]:
    """Keeps collect_stale() from seeing a place between its making and its lock."""
    descriptor = os.open(directory / _GATE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, mode)
        yield
    finally:
        os.close(descriptor)
