"""The database as this process uses it: connections in use, waits for one, and how long transactions take."""

from collections.abc import Iterator
from time import perf_counter
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector
from sqlalchemy import Connection, QueuePool, event

from polyvisor.observe.metric import QUICK, Metric, counter, family, histogram
from polyvisor.store.database import Database

IN_USE = Metric(
    name="polyvisor_database_connections_in_use",
    kind="gauge",
    help="Connections to the database that are in use at the moment.",
)
MOST = Metric(
    name="polyvisor_database_connections_most",
    kind="gauge",
    help="The most connections that the process opens; who finds all in use waits.",
)
WAIT = Metric(
    name="polyvisor_database_wait_seconds",
    kind="histogram",
    help="How long a transaction waited before it began: for a connection, and on SQLite for the writer before it.",
    labels=("mode",),
    buckets=QUICK,
)
SECONDS = Metric(
    name="polyvisor_database_transaction_seconds",
    kind="histogram",
    help="How long transactions took, the wait before them not included.",
    labels=("outcome",),
    buckets=QUICK,
)
FAILURES = Metric(
    name="polyvisor_database_errors",
    kind="counter",
    help="Statements that the database refused or did not answer, by the kind of error.",
    labels=("error",),
)
METRICS = (IN_USE, MOST, WAIT, SECONDS, FAILURES)
_BEGAN = "polyvisor_transaction_began"


class Connections(Collector):
    """Listens to one Database."""

    def __init__(self, database: Database, registry: CollectorRegistry) -> None:
        self._engine = database.engine
        seconds = histogram(SECONDS, registry)
        committed, rolled_back = seconds.labels("commit"), seconds.labels("rollback")
        wait = histogram(WAIT, registry)
        failures = counter(FAILURES, registry)
        modes = {mode: wait.labels(mode) for mode in ("read", "write")}
        database.waited = lambda mode, waited_seconds: modes[mode].observe(waited_seconds)
        registry.register(self)

        @event.listens_for(database.engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.info[_BEGAN] = perf_counter()

        @event.listens_for(database.engine, "commit")
        def _commit(connection: Connection) -> None:
            committed.observe(perf_counter() - connection.info.pop(_BEGAN, perf_counter()))

        @event.listens_for(database.engine, "rollback")
        def _rollback(connection: Connection) -> None:
            if connection.invalidated:
                return  # it was cut off, and asking it for anything raises what would hide the error that said so
            rolled_back.observe(perf_counter() - connection.info.pop(_BEGAN, perf_counter()))

        @event.listens_for(database.engine, "handle_error")
        def _error(context: Any) -> None:
            failures.labels(type(context.sqlalchemy_exception or context.original_exception).__name__).inc()

    def describe(self) -> list[Family]:
        """Nothing: it has no fixed samples."""
        return []

    def collect(self) -> Iterator[Family]:
        """The pool as it is now."""
        pool = self._engine.pool
        if isinstance(pool, QueuePool):
            yield family(IN_USE, [((), pool.checkedout())])
            yield family(MOST, [((), pool.size() + max(0, pool._max_overflow))])
