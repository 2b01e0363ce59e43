"""The migrations make the very schema that the program works on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from polyvisor.serve.schema import bring_up_to_date, current
from polyvisor.store.database import Database
from polyvisor.store.migrations import NEWEST
from polyvisor.store.migrations.upgrade import configuration
from polyvisor.store.tables import metadata


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty one."""
    made = Database(f"sqlite:///{tmp_path / 'polyvisor.db'}")
    yield made
    made.close()


def test_an_empty_database_becomes_the_schema_of_the_program(database: Database) -> None:
    bring_up_to_date(database)
    with database.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
        names = set(inspect(connection).get_table_names())
    assert differences == []
    assert names == {*metadata.tables, "alembic_version"}
    assert current(database) == NEWEST


def test_a_database_that_is_up_to_date_is_left_alone(database: Database) -> None:
    bring_up_to_date(database)
    with database.write() as store:
        cloud_id = store.cloud.id("first")
    bring_up_to_date(database)
    with database.write() as store:
        assert store.cloud.id("second") == cloud_id == "first"


def test_the_newest_revision_is_the_head_of_one_line() -> None:
    scripts = ScriptDirectory.from_config(configuration())
    assert scripts.get_heads() == [NEWEST]


def test_the_way_back_leaves_nothing(database: Database) -> None:
    from alembic import command

    bring_up_to_date(database)
    config = configuration()
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    with database.engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
