"""The database of a cloud, opened beside it."""

from pathlib import Path

from polyvisor.model.errors import Invalid
from polyvisor.serve.schema import current
from polyvisor.store.database import Database
from polyvisor.store.migrations import NEWEST


def open_database(data: Path, url: str | None) -> Database:
    """The database at `url`, or the SQLite file in the data directory. Raises Invalid."""
    if url is None and not (data / "polyvisor.db").exists():
        raise Invalid(f"There is no database in {data}: name the directory of `polyvisor up` with --data.")
    opened = Database(url or f"sqlite:///{(data / 'polyvisor.db').absolute()}")
    if current(opened) != NEWEST:
        opened.close()
        raise Invalid(
            "The database is of another version: start this version's `polyvisor up` once, which upgrades it."
        )
    return opened
