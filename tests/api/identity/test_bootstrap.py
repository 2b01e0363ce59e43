"""What a new cloud begins with, made again and again, also after a kill at any statement."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from polyvisor.api.identity.bootstrap import CatalogItem, FirstUser, bootstrap
from polyvisor.api.identity.passwords import Passwords
from polyvisor.store.database import Database
from polyvisor.store.tables import metadata
from tests.api.identity.conftest import CHEAP

NOW = datetime(2026, 11, 21, tzinfo=UTC)
USERS = (
    FirstUser(name="admin", password="one", project="admin", role="admin"),
    FirstUser(name="demo", password="two", project="demo", role="member"),
)
CATALOG = (
    CatalogItem(type="identity", name="keystone", path="/identity/v3"),
    CatalogItem(type="compute", name="nova", path="/compute/v2.1"),
)
TABLES = ("domain", "project", "user", "role", "implied_role", "role_assignment", "region", "catalog_service",
          "catalog_endpoint", "token_key")  # fmt: skip


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'cloud.db'}")
    metadata.create_all(database.engine)
    yield database
    database.close()


def start(database: Database, url: str = "http://127.0.0.1:8774") -> None:
    numbers = itertools.count()
    with database.read() as store:
        made = sum(store.connection.execute(text(f'select count(*) from "{table}"')).scalar() or 0 for table in TABLES)
    bootstrap(
        database,
        Passwords(CHEAP),
        users=USERS,
        base_url=url,
        catalog=CATALOG,
        now=NOW,
        new_id=lambda: f"{made}-{next(numbers)}",
    )


def everything(database: Database) -> dict[str, list[Any]]:
    with database.read() as store:
        return {
            table: sorted(tuple(row) for row in store.connection.execute(text(f'select * from "{table}"')))
            for table in TABLES
        }


def test_a_second_start_changes_nothing(database: Database) -> None:
    start(database)
    before = everything(database)
    assert len(before["user"]) == 2
    assert len(before["catalog_endpoint"]) == 6
    assert len(before["implied_role"]) == 3
    start(database)
    assert everything(database) == before


def test_a_new_address_moves_the_endpoints_and_makes_none(database: Database) -> None:
    start(database)
    start(database, "https://cloud.example.com/")
    with database.read() as store:
        urls = {endpoint.url for endpoint in store.catalog.endpoints()}
    assert urls == {"https://cloud.example.com/identity/v3", "https://cloud.example.com/compute/v2.1"}
    assert len(everything(database)["catalog_endpoint"]) == 6


def test_a_changed_password_is_kept(database: Database) -> None:
    start(database)
    with database.write() as store:
        admin = store.user.named("default", "admin")
        assert admin is not None
        store.user.update(admin, {"password_hash": "changed"})
    start(database)
    with database.read() as store:
        assert store.user.get(admin.id).password_hash == "changed"


def test_a_kill_at_any_statement_leaves_nothing_half_made(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    whole = _counted(tmp_path / "whole")
    assert whole > 40
    for last in range(1, whole, 7):
        database = Database(f"sqlite:///{tmp_path / str(last) / 'cloud.db'}")
        metadata.create_all(database.engine)
        left = itertools.count(1)

        def kill(*_: Any, last: int = last, left: Iterator[int] = left) -> None:
            if next(left) == last:
                raise Killed

        event.listen(database.engine, "before_cursor_execute", kill)
        with pytest.raises(Killed):
            start(database)
        event.remove(database.engine, "before_cursor_execute", kill)
        assert not any(everything(database).values())
        start(database)
        assert len(everything(database)["user"]) == 2
        database.close()


def _counted(folder: Path) -> int:
    database = Database(f"sqlite:///{folder / 'cloud.db'}")
    metadata.create_all(database.engine)
    seen: list[int] = []
    event.listen(database.engine, "before_cursor_execute", lambda *_: seen.append(1))
    start(database)
    database.close()
    return len(seen)
