"""Intents: what is touched stays until it is brought about, and what is touched again in between stays longer."""

from collections.abc import Iterator

import pytest

from polyvisor.model.network_intent import Intent, Unit
from polyvisor.store.database import Database
from tests.databases import with_tables


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = with_tables(database_url)
    yield database
    database.close()


def touch(database: Database, unit: Unit, *ids: str) -> None:
    with database.write() as store:
        store.network_intent.touch(unit, ids)


def due(database: Database, most: int = 10) -> list[tuple[Unit, str]]:
    with database.read() as store:
        return [(one.unit, one.id) for one in store.network_intent.due(most)]


def test_what_is_touched_is_due_oldest_first(database: Database) -> None:
    touch(database, Unit.PORT, "p2", "p1")
    touch(database, Unit.NETWORK, "n1")
    touch(database, Unit.PORT, "p1")
    assert due(database) == [(Unit.PORT, "p2"), (Unit.NETWORK, "n1"), (Unit.PORT, "p1")]
    assert due(database, 1) == [(Unit.PORT, "p2")]


def test_what_is_touched_while_it_is_brought_about_stays(database: Database) -> None:
    touch(database, Unit.PORT, "p1", "p2")
    with database.read() as store:
        begun: list[Intent] = store.network_intent.due(10)
    touch(database, Unit.PORT, "p2")
    with database.write() as store:
        store.network_intent.strike_off(begun)
    assert due(database) == [(Unit.PORT, "p2")]
    with database.read() as store:
        assert store.network_intent.waiting({(Unit.PORT, "p2"), (Unit.PORT, "p1")})
        assert not store.network_intent.waiting({(Unit.PORT, "p1"), (Unit.NETWORK, "p2")})


def test_nothing_is_due_of_what_was_undone(database: Database) -> None:
    try:
        with database.write() as store:
            store.network_intent.touch(Unit.ROUTER, ["r1"])
            raise KeyError
    except KeyError:
        pass
    assert due(database) == []
