"""The databases that tests run on, and the processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.postgres import TestPostgres
from tests import databases
from tests.groups import (  # noqa: F401 - hooks of pytest's
    pytest_collection_modifyitems,
    pytest_configure_node,
    pytest_unconfigure,
    pytest_xdist_make_scheduler,
)


@pytest.fixture(scope="session")
def postgres() -> Iterator[TestPostgres]:
    """A PostgreSQL server for all tests of this process: they share it, so none may stop it or change its settings."""
    with TestPostgres() as server:
        yield server


@pytest.fixture
def postgresql_url(postgres: TestPostgres) -> Iterator[str]:
    """A PostgreSQL database with the program's tables, for this test alone."""
    with databases.postgresql_url(postgres) as url:
        yield url


@pytest.fixture(params=databases.KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database for this test alone; the test runs on SQLite and on PostgreSQL. `databases.with_tables` opens it."""
    if request.param == "sqlite":
        return databases.sqlite_url(tmp_path)
    url: str = request.getfixturevalue("postgresql_url")
    return url
