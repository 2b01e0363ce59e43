"""Who runs on a data directory or a SQLite database has it to itself."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polyvisor.model.errors import Invalid
from polyvisor.store.database import Database


@contextmanager
def alone(data: Path) -> Iterator[None]:
    """Hold the data directory. Raises Invalid when another process has it."""
    with _held(
        data / "lock",
        f"Another polyvisor is running on {data}: stop it first, or choose another directory with --data.",
    ):
        yield


@contextmanager
def alone_on(database: Database) -> Iterator[None]:
    """Hold a SQLite database; on PostgreSQL any number may work at once. Raises Invalid when another process has it."""
    if not database.is_sqlite or not database.url.database:
        yield
        return
    path = Path(database.url.database)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _held(
        path.with_name(f"{path.name}.lock"),
        f"Another polyvisor is running on {path}: SQLite takes one at a time. Stop that one, or set `database` to a "
        "PostgreSQL, which takes any number.",
    ):
        yield


@contextmanager
def _held(path: Path, otherwise: str) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Invalid(otherwise) from None
        yield
