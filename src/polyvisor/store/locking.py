"""Locks inside a transaction. SQLite has one writer at a time and needs none; in PostgreSQL they keep writers apart.

The rule: a transaction that may write and that reads one row by its id holds that row until it ends, so that what it
writes follows from what it has read. Why: docs/decisions/0008-locks-and-wake-ups-on-postgresql.md.
"""

from functools import lru_cache
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, Select, text

WRITES = "polyvisor_writes"
"""The execution option that marks the connection of a transaction that may write."""

_WAIT_FOR = text("SELECT pg_advisory_xact_lock(:key)")
_TRY = text("SELECT pg_try_advisory_xact_lock(:key)")


def may_write(sql: Connection) -> bool:
    """Whether the transaction was begun to change something."""
    return bool(sql.get_execution_options().get(WRITES))


def to_change(sql: Connection, statement: Select[Any], *, of: Any = None, skip_locked: bool = False) -> Select[Any]:
    """The statement; in a transaction that may write, its rows (of the table `of`) stay as they are until it ends.

    `skip_locked` passes over rows that another transaction holds. Rows that refer to these may still be made.
    """
    if not may_write(sql):
        return statement
    return _locking(statement, of, skip_locked)


@lru_cache(maxsize=256)
def _locking(statement: Select[Any], of: Any, skip_locked: bool) -> Select[Any]:
    """Made once for each statement that is a module's own: making one costs more than running it."""
    # FOR NO KEY UPDATE: the check of a foreign key need not wait.
    return statement.with_for_update(key_share=True, of=of, skip_locked=skip_locked)


def one_at_a_time(sql: Connection, name: str) -> None:
    """Wait until no other transaction is at work under this name, and keep the others out until this one ends."""
    if sql.dialect.name == "postgresql":
        sql.execute(_WAIT_FOR, {"key": key_of(name)})


def only_one(sql: Connection, name: str) -> bool:
    """Whether nobody else is at work under this name; then the others are kept out until this transaction ends."""
    return sql.dialect.name != "postgresql" or bool(sql.execute(_TRY, {"key": key_of(name)}).scalar())


def key_of(name: str) -> int:
    """The number that PostgreSQL knows a name's advisory lock by."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)
