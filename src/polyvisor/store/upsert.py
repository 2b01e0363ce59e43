"""Insert-or-update, in the words that SQLite and PostgreSQL share."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_missing(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert the rows whose key is not there yet; the others stay as they are. One statement."""
    if rows:
        connection.execute(_missing(connection.dialect.name, table), list(rows))


def insert_or_update(
    connection: Connection, table: Table, rows: Sequence[dict[str, Any]], changing: Sequence[str]
) -> None:
    """Insert the rows; where the primary key is there already, set the columns `changing`. One statement."""
    if rows:
        connection.execute(_changing(connection.dialect.name, table, tuple(changing)), list(rows))


# Made once for each table: making a statement costs more than running it.


@cache
def _missing(dialect: str, table: Table) -> Any:
    return _insert(dialect, table).on_conflict_do_nothing()


@cache
def _changing(dialect: str, table: Table, changing: tuple[str, ...]) -> Any:
    statement = _insert(dialect, table)
    new = {name: statement.excluded[name] for name in changing}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=new)


def _insert(dialect: str, table: Table) -> Any:
    return (sqlite if dialect == "sqlite" else postgresql).insert(table)
