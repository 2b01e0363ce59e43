"""One database, SQLite or PostgreSQL: connections, transactions, and the signals that follow a commit."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url

from polyvisor.store.signals import Signals
from polyvisor.store.store import Store

_WRITE = "polyvisor_write"


class Database:
    """Hands out stores: `read()` for a consistent look, `write()` for changes that all become true, or none."""

    def __init__(self, url: str) -> None:
        """`url` in SQLAlchemy's form: "sqlite:////var/lib/polyvisor/polyvisor.db", "postgresql+psycopg://…"."""
        self.url = make_url(url)
        self.signals = Signals()
        self.on_rollback: list[Callable[[], None]] = []
        """Called after a transaction was rolled back: caches that followed it must forget what they read."""
        self.waited: Callable[[str, float], None] = _unheard
        """Told at each beginning of a transaction: "read" or "write", and the seconds that it waited to begin."""
        self._sqlite = self.url.get_backend_name() == "sqlite"
        # SQLite has one writer at a time: waiting in line here is cheaper than its busy polling.
        self._one_writer = threading.RLock()
        self.engine = _sqlite_engine(url) if self._sqlite else create_engine(url, pool_size=16, max_overflow=16)

    @contextmanager
    def read(self) -> Iterator[Store]:
        """A store that sees one state of the database and changes nothing."""
        asked_at = time.perf_counter()
        with self.engine.connect() as connection, connection.begin():
            self.waited("read", time.perf_counter() - asked_at)
            yield Store(connection, self.signals)

    @contextmanager
    def write(self) -> Iterator[Store]:
        """A store whose changes are committed together when the block ends, and undone together when it raises."""
        asked_at = time.perf_counter()
        if not self._sqlite:
            with self._transaction(self.engine.connect()) as store:
                self.waited("write", time.perf_counter() - asked_at)
                yield store
            return
        with self._one_writer, self._transaction(self.engine.connect().execution_options(**{_WRITE: True})) as store:
            self.waited("write", time.perf_counter() - asked_at)
            yield store

    @contextmanager
    def _transaction(self, connection: Connection) -> Iterator[Store]:
        store = Store(connection, self.signals)
        try:
            with connection, connection.begin():
                yield store
        except BaseException:
            for forget in self.on_rollback:
                forget()
            raise
        store.committed()

    def close(self) -> None:
        """Close every idle connection."""
        self.engine.dispose()


def _unheard(_mode: str, _seconds: float) -> None:
    """Nobody listens."""


def _sqlite_engine(url: str) -> Engine:
    engine = create_engine(url, pool_size=32, max_overflow=32, connect_args={"check_same_thread": False, "timeout": 60})
    name = engine.url.database
    if name and name != ":memory:":
        Path(name).parent.mkdir(parents=True, exist_ok=True)

    @event.listens_for(engine, "connect")
    def _prepare(raw: Any, _record: Any) -> None:
        raw.isolation_level = None  # transactions begin where we say so, not where the module guesses
        cursor = raw.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get(_WRITE)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine
