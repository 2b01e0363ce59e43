"""Brings the database's schema up to date; Alembic is loaded only where there is something to do."""

from sqlalchemy import inspect, text

from polyvisor.store.database import Database
from polyvisor.store.migrations import NEWEST


def bring_up_to_date(database: Database) -> None:
    """Create the tables, or upgrade them from an earlier release."""
    if current(database) == NEWEST:
        return
    from polyvisor.store.migrations.upgrade import upgrade

    upgrade(database)


def current(database: Database) -> str | None:
    """The revision that the database is at; None for an empty one."""
    with database.engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
