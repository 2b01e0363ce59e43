"""Databases for tests: the same test on SQLite, and on a PostgreSQL server that all tests of a process share."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import inspect

from polyvisor.store.database import Database
from polyvisor.store.postgresql import Limits
from polyvisor.store.tables import metadata
from testbed.postgres import TestPostgres

KINDS = ("sqlite", "postgresql")
TEMPLATE = "polyvisor_template"


PATIENT = Limits(free_seconds=180, statement_seconds=180, lock_seconds=180, idle_seconds=180, silence_seconds=200)
"""What PostgreSQL ends otherwise is a process that stands still: in tests, that is the machine, and nobody's fault."""


def with_tables(url: str) -> Database:
    """The database with the program's tables in it, and with patience."""
    database = Database(url, PATIENT)
    if not inspect(database.engine).has_table("server"):
        metadata.create_all(database.engine)
        _begin(database)
    return database


def _begin(database: Database) -> None:
    """What the first start of a cloud makes, and every security group begins with."""
    with database.write() as store:
        store.default_security_group_rule.bootstrap(datetime(2026, 1, 1, tzinfo=UTC))


def sqlite_url(folder: Path) -> str:
    """A file of its own; `with_tables` makes the tables."""
    return f"sqlite:///{folder / 'polyvisor.db'}"


@contextmanager
def postgresql_url(server: TestPostgres) -> Iterator[str]:
    """A database with the program's tables: a copy of one that is made once, which takes a tenth of a second."""
    if not server.ask(f"SELECT 1 FROM pg_database WHERE datname = '{TEMPLATE}'"):
        database = Database(server.create_database(TEMPLATE))
        metadata.create_all(database.engine)
        _begin(database)
        database.close()
    with server.database(TEMPLATE) as url:
        yield url
