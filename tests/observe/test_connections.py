"""What a process tells of its database: on SQLite and on PostgreSQL alike."""

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from polyvisor.observe.connections import Connections
from polyvisor.store.database import Database
from polyvisor.store.outage import is_outage
from tests import databases


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def database(database_url: str, registry: CollectorRegistry) -> Iterator[Database]:
    made = databases.with_tables(database_url)
    Connections(made, registry)
    yield made
    made.close()


def ended(registry: CollectorRegistry, outcome: str) -> float:
    """Transactions that ended so."""
    found = registry.get_sample_value("polyvisor_database_transaction_seconds_count", {"outcome": outcome})
    return found or 0.0


def test_reads_and_writes_are_timed(database: Database, registry: CollectorRegistry) -> None:
    with database.read() as store:
        store.place.list()
        assert registry.get_sample_value("polyvisor_database_connections_in_use") == 1
    assert (ended(registry, "commit"), ended(registry, "rollback")) == (1, 0)
    with database.write() as store:
        store.cloud.id("one")
    assert ended(registry, "commit") == 2
    for mode in ("read", "write"):
        assert registry.get_sample_value("polyvisor_database_wait_seconds_count", {"mode": mode}) == 1
    assert registry.get_sample_value("polyvisor_database_connections_in_use") == 0
    assert (registry.get_sample_value("polyvisor_database_connections_most") or 0) >= 8


def test_what_fails_is_counted_by_its_kind(database: Database, registry: CollectorRegistry) -> None:
    def mistake() -> None:
        with database.write() as store:
            store.connection.execute(text("SELECT nothing FROM nowhere"))

    with pytest.raises(DBAPIError) as refused:
        mistake()
    assert ended(registry, "rollback") == 1
    kind = type(refused.value).__name__
    assert registry.get_sample_value("polyvisor_database_errors_total", {"error": kind}) == 1


def test_a_connection_that_is_cut_off_says_so_itself(postgresql_url: str, registry: CollectorRegistry) -> None:
    database = Database(postgresql_url)
    Connections(database, registry)
    try:
        with pytest.raises(OperationalError) as told, database.read() as store:
            store.connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        assert is_outage(told.value)
        with database.read() as store:
            assert store.connection.execute(text("SELECT 1")).scalar() == 1
    finally:
        database.close()
