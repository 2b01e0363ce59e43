"""What a transaction holds is let go of when it ends, however it ends."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import event

from polyvisor.store.database import Database
from tests.databases import sqlite_url, with_tables


def free(lock: threading.RLock) -> bool:
    """Whether another thread could have it."""
    with ThreadPoolExecutor(1) as other:
        return other.submit(lambda: lock.acquire(blocking=False)).result(60)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """With its tables."""
    return with_tables(sqlite_url(tmp_path))


def test_a_lock_is_let_go_of_when_the_server_is_gone_at_the_roll_back(database: Database) -> None:
    lock, forgotten = threading.RLock(), []

    @event.listens_for(database.engine, "rollback")
    def _gone(_connection: object) -> None:
        raise ConnectionResetError("the server has gone")

    def fail() -> None:
        with database.write() as store:
            store.hold(lock)
            store.rolled_back.append(lambda: forgotten.append("table"))
            raise ValueError("the work failed")

    with pytest.raises(ConnectionResetError):
        fail()
    assert free(lock)
    assert forgotten == ["table"]


@pytest.mark.parametrize("fails", [False, True])
def test_a_lock_is_kept_until_the_transaction_ends(database: Database, fails: bool) -> None:
    lock = threading.RLock()
    try:
        with database.write() as store:
            store.hold(lock)
            assert not free(lock)
            if fails:
                raise ValueError("the work failed")
    except ValueError:
        assert fails
    assert free(lock)
