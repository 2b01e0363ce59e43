"""Copies a database as it is at one moment, beside those who use it; the copy appears whole or not at all."""

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from polyvisor.model.errors import Conflict, Invalid, Unavailable
from polyvisor.store.database import Database

PG_DUMP_MISSING = (
    "The program pg_dump is missing: install PostgreSQL's client (Debian's package `postgresql-client`) in the version "
    "of the server or a newer one, or back the server up by its own means."
)


def back_up(database: Database, file: Path, *, replace: bool = False) -> int:
    """Write the copy to `file`, readable by its owner alone; returns its size in bytes.

    Raises Conflict where the file exists (unless `replace`), Invalid where it cannot be written or pg_dump is missing,
    and Unavailable where the database cannot be copied.
    """
    if file.exists() and not replace:
        raise Conflict(f"{file} exists already: choose another name, or replace it with --force.")
    with _appearing(file) as passing:
        if database.is_sqlite:
            _copy_sqlite(Path(database.url.database or ""), passing)
        else:
            _dump_postgresql(database, passing)
        with passing.open("rb+") as written:
            os.fsync(written.fileno())
    return file.stat().st_size


@contextmanager
def _appearing(file: Path) -> Iterator[Path]:
    """A private file beside `file` that becomes it at the end of the block, or is removed."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    except OSError as error:
        raise Invalid(f"Nothing can be written to {file.parent}: {error.strerror}.") from None
    os.close(handle)
    passing = Path(name)
    try:
        yield passing
        passing.replace(file)
    finally:
        passing.unlink(missing_ok=True)
    directory = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _copy_sqlite(source: Path, target: Path) -> None:
    """SQLite's own copying: it begins anew where somebody writes meanwhile, and ends in one state."""
    try:
        original = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=60)
        with closing(original), closing(sqlite3.connect(target)) as copy:
            # In one piece: a copy in several would begin anew at each write, and under load never end.
            original.backup(copy, pages=-1)
            copy.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise Unavailable(f"The database could not be copied: {error}.") from None


def _dump_postgresql(database: Database, target: Path) -> None:
    program = shutil.which("pg_dump")
    if program is None:
        raise Invalid(PG_DUMP_MISSING)
    with database.engine.connect() as connection:
        # Of several hosts, the one that we are connected to.
        info = connection.connection.driver_connection.info  # type: ignore[union-attr]
        place = {"PGHOST": info.host, "PGPORT": str(info.port), "PGUSER": info.user, "PGDATABASE": info.dbname}
        password = info.password
    tls = {name: database.url.query[key] for name, key in _TLS.items() if isinstance(database.url.query.get(key), str)}
    # The environment of a process is its owner's alone to read; its arguments are everybody's.
    environment = {**os.environ, **place, **{name: str(value) for name, value in tls.items()}}
    if password:
        environment["PGPASSWORD"] = password
    done = subprocess.run(
        [program, "--format=custom", "--no-owner", "--no-privileges", "--no-password", f"--file={target}"],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Unavailable(f"pg_dump could not copy the database: {done.stderr.strip() or done.returncode}")


_TLS = {
    "PGSSLMODE": "sslmode",
    "PGSSLROOTCERT": "sslrootcert",
    "PGSSLCERT": "sslcert",
    "PGSSLKEY": "sslkey",
}
