"""Connections to PostgreSQL: how many, how long anything may take, and what follows when the primary moves."""

import time
from collections.abc import Generator
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError, DisconnectionError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry

from polyvisor.model.errors import Invalid
from polyvisor.model.record import Record
from polyvisor.store.locking import may_write

_USED_AT = "polyvisor_used_at"
IDLE_SECONDS = 1.0
"""A connection that was used so recently is believed to be alive."""
_READ_ONLY = "25006"
_GONE = frozenset(("57P01", "57P02", "57P03", "25P03"))
MISSING = 'PostgreSQL needs the Python package psycopg: install polyvisor with its extra "postgresql".'


class Limits(Record):
    """How many connections a process opens, and how long it waits."""

    connections: int = 32
    """Connections of one process to the database, at most; two more carry the wake-ups."""
    connect_seconds: int = 3
    """How long to wait for one of the hosts of the URL before the next one is tried."""
    free_seconds: float = 10.0
    """How long a request waits for a connection while all are in use."""
    statement_seconds: float = 20.0
    """How long one statement may take; the server ends it then."""
    lock_seconds: float = 8.0
    """How long a statement may wait for a row that another transaction holds."""
    idle_seconds: float = 10.0
    """How long a transaction may do nothing: a process that was stopped holds up the others no longer than this."""
    silence_seconds: float = 25.0
    """How long the server may say nothing at all before the connection is given up: longer than a statement takes."""


DEFAULT_LIMITS = Limits()


def make_engine(url: URL, limits: Limits, application: str) -> Engine:
    """The pool of connections to the database at `url`. Raises Invalid for a URL that cannot be used."""
    try:
        import psycopg  # noqa: F401 - loaded here, so that its absence has a sentence of its own
    except ImportError:
        raise Invalid(MISSING) from None
    try:
        engine = create_engine(
            url,
            pool_size=limits.connections,
            max_overflow=0,
            pool_timeout=limits.free_seconds,
            pool_use_lifo=True,
            hide_parameters=True,  # an error is logged, and they may be secrets
            connect_args=connect_arguments(limits, application),
        )
    except (ArgumentError, NoSuchModuleError) as error:
        raise Invalid(f"The database URL cannot be used: {error}.") from None

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        return bounded_connection(limits).connect(*arguments, **keywords)

    @event.listens_for(engine, "connect")
    def _prepare(raw: Any, _record: Any) -> None:
        prepare(raw, limits)

    _look_after(engine)
    return engine


def _look_after(engine: Engine) -> None:
    """Let no request begin on a connection whose server has gone: one that lay idle is asked first, and those to a
    server that takes no writes any more are given up."""

    @event.listens_for(engine, "checkin")
    def _note(_raw: Any, record: ConnectionPoolEntry) -> None:
        record.info[_USED_AT] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _ask(raw: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        if time.monotonic() - record.info.get(_USED_AT, time.monotonic()) < IDLE_SECONDS:
            return
        try:
            raw.autocommit = True
            raw.execute("SELECT 1")
            raw.autocommit = False
        except Exception as error:
            raise DisconnectionError from error

    @event.listens_for(engine, "handle_error")
    def _judge(context: ExceptionContext) -> None:
        state = getattr(context.original_exception, "sqlstate", None)
        writing = context.connection is not None and may_write(context.connection)
        if state in _GONE or (state == _READ_ONLY and writing):
            context.is_disconnect = True


def primary_of(url: URL) -> URL:
    """The URL with its driver named, and asking for the one host of several that takes writes."""
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    if "target_session_attrs" not in url.query:
        url = url.update_query_dict({"target_session_attrs": "read-write"})
    return url


def connect_arguments(limits: Limits, application: str) -> dict[str, Any]:
    """What every connection is made with, in libpq's words; the URL's own query overrules none of it."""
    return {
        "application_name": application,
        "connect_timeout": limits.connect_seconds,
        # A machine that has gone without a word is noticed by the kernel in about ten seconds.
        "keepalives": 1,
        "keepalives_idle": 4,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
    }


def prepare(raw: Any, limits: Limits) -> None:
    """Bound what one connection may do, in the server itself."""
    wanted = {
        "statement_timeout": limits.statement_seconds,
        "lock_timeout": limits.lock_seconds,
        "idle_in_transaction_session_timeout": limits.idle_seconds,
    }
    autocommit, raw.autocommit = raw.autocommit, True
    for name, seconds in wanted.items():
        raw.execute(f"SET {name} = {int(seconds * 1000)}")
    raw.autocommit = autocommit


def bounded_connection(limits: Limits) -> Any:
    """psycopg's Connection, which gives up when the server says nothing for `silence_seconds`.

    A server that was stopped, not ended, keeps its sockets open: neither an error nor the kernel ever tells.
    """
    import psycopg

    class Bounded(psycopg.Connection[Any]):
        def wait(self, gen: Any, *arguments: Any, **keywords: Any) -> Any:
            return super().wait(_bounded(self, gen, limits.silence_seconds), *arguments, **keywords)

    return Bounded


def _bounded(connection: Any, steps: Generator[Any, Any, Any], seconds: float) -> Generator[Any, Any, Any]:
    """The same steps; an error instead of the next one once nothing has come for `seconds`."""
    import psycopg

    try:
        wanted = next(steps)
        until = time.monotonic() + seconds
        while True:
            ready = yield wanted
            if ready:
                until = time.monotonic() + seconds
            elif time.monotonic() > until:
                connection.pgconn.finish()
                raise psycopg.OperationalError(f"the server has said nothing for {seconds:g} seconds")
            wanted = steps.send(ready)
    except StopIteration as end:
        return end.value
