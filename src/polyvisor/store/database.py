"""One database, SQLite or PostgreSQL: connections, transactions, and the signals that follow a commit."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, RootTransaction, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from polyvisor.model.errors import Invalid
from polyvisor.store.locking import WRITES
from polyvisor.store.notify import Notifier
from polyvisor.store.outage import MaybeCommitted, Outage, is_outage
from polyvisor.store.postgresql import (
    DEFAULT_LIMITS,
    Limits,
    bounded_connection,
    connect_arguments,
    make_engine,
    primary_of,
)
from polyvisor.store.signals import Signals
from polyvisor.store.store import Store


class Database:
    """Hands out stores: `read()` for a consistent look, `write()` for changes that all become true, or none."""

    def __init__(self, url: str, limits: Limits = DEFAULT_LIMITS, application: str = "polyvisor") -> None:
        """`url` in SQLAlchemy's form: "sqlite:////var/lib/polyvisor/polyvisor.db", "postgresql://user@host/name".

        `limits` and `application` (the name that the server lists this process by) are PostgreSQL's. Raises Invalid.
        """
        self.url = _parsed(url)
        self.signals = Signals()
        self.waited: Callable[[str, float], None] = _unheard
        """Told at each beginning of a transaction: "read" or "write", and the seconds that it waited to begin."""
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.outage = Outage(f"the database {self.described}")
        # SQLite has one writer at a time: waiting in line here is cheaper than its busy polling.
        self._one_writer = threading.RLock()
        self.notifier: Notifier | None = None
        """Tells other processes of this one's signals, once `connect_signals` was called."""
        self._limits, self._application = limits, application
        if self.is_sqlite:
            self.engine = _sqlite_engine(self.url)
            self._reading = self.engine
        else:
            self.engine = make_engine(self.url, limits, application)
            # One snapshot for all statements of a look, as SQLite has it. It takes no locks and is never undone.
            self._reading = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._writing = self.engine.execution_options(**{WRITES: True})

    @property
    def described(self) -> str:
        """Which database it is, without its password."""
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Store]:
        """A store that sees one state of the database and changes nothing."""
        asked_at = time.perf_counter()
        with self._noted(), self._reading.connect() as connection, connection.begin():
            self.waited("read", time.perf_counter() - asked_at)
            yield Store(connection, self.signals)

    @contextmanager
    def write(self) -> Iterator[Store]:
        """A store whose changes are committed together when the block ends, and undone together when it raises.

        A row that is read by its id stays as it is until then (`store/locking.py`). Raises MaybeCommitted where the
        database goes away during the commit.
        """
        asked_at = time.perf_counter()
        line = self._one_writer if self.is_sqlite else nullcontext()
        with self._noted(), line, self._writing.connect() as connection, self._transaction(connection) as store:
            self.waited("write", time.perf_counter() - asked_at)
            yield store

    @contextmanager
    def _transaction(self, connection: Connection) -> Iterator[Store]:
        store = Store(connection, self.signals)
        transaction = connection.begin()
        try:
            try:
                yield store
                self._commit(transaction)
            except BaseException:
                for forget in store.rolled_back:
                    forget()
                if transaction.is_active:
                    transaction.rollback()  # raises where the server has gone
                raise
            store.committed(self.notifier.tell if self.notifier is not None else None)
        finally:
            store.end()  # whatever happened: what it holds, others wait for

    def _commit(self, transaction: RootTransaction) -> None:
        try:
            transaction.commit()
        except DBAPIError as error:
            if is_outage(error):
                raise MaybeCommitted from error
            raise

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.outage.note(error)
            raise
        self.outage.over()

    def connect_signals(self, *, listen: bool = True) -> None:
        """Exchange wake-ups with the other processes of this database from now on; without `listen`, only tell.

        SQLite's readers are all in one process, which needs nothing of the kind.
        """
        if not self.is_sqlite and self.notifier is None:
            self.notifier = Notifier(self._own_connection, self.signals)
            self.notifier.start(listen=listen)

    def _own_connection(self) -> Any:
        """A connection beside the pool, which commits each statement by itself."""
        arguments, keywords = self.engine.dialect.create_connect_args(self.url)
        keywords = {**keywords, **connect_arguments(self._limits, f"{self._application} signals")}
        made = bounded_connection(self._limits).connect(*arguments, **keywords)
        made.autocommit = True
        return made

    def close(self) -> None:
        """Send the wake-ups that wait, and close every idle connection."""
        if self.notifier is not None:
            self.notifier.stop()
        self.engine.dispose()


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        # The text is not repeated: it may hold a password.
        raise Invalid(
            "The database URL cannot be read: write sqlite:////path/to/file or postgresql://user@host:5432/name."
        ) from None
    if parsed.get_backend_name() == "sqlite":
        return parsed
    if parsed.drivername not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise Invalid(f"Databases of the kind {parsed.drivername} are not known here: use sqlite or postgresql.")
    return primary_of(parsed)


def _unheard(_mode: str, _seconds: float) -> None:
    """Nobody listens."""


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        pool_size=32,
        max_overflow=32,
        hide_parameters=True,
        connect_args={"check_same_thread": False, "timeout": 60},
    )
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
        write = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine
