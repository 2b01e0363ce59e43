"""The database's schema: what it is at, whether this program can work on it, and how it is brought up to date.

Changes come in two kinds. An *expand* step only adds, so that programs of the release before go on working on it. A
*contract* step takes away what only they needed; it says which revision a program must know to work on it. Alembic is
loaded only where there is something to do.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, inspect, text

from polyvisor.model.errors import Invalid
from polyvisor.model.record import Record
from polyvisor.store import migrations
from polyvisor.store.database import Database
from polyvisor.store.migrations import FLOOR

_REVISION = text("SELECT version_num FROM alembic_version")
_FLOOR = text("SELECT value FROM cloud WHERE name = :name")


class Schema(Record):
    """What a database says of its own schema."""

    revision: str | None
    """The revision it is at; None for an empty database."""
    floor: str
    """The revision that a program must know at least to work on it; "" = any does."""


def bring_up_to_date(database: Database, *, contract: bool = True) -> None:
    """Create the tables, or upgrade them from an earlier release. `contract`: as for `upgrade`. Raises Invalid."""
    found = look(database)
    if (found.revision or "") < migrations.NEWEST:
        upgrade(database, contract=contract)
        found = look(database)
    check_usable(found)


def check_usable(found: Schema) -> None:
    """Raise Invalid, with what to do, unless this program can work on the schema: it has all that the program needs,
    and takes away nothing of it."""
    if found.revision is None:
        raise Invalid("The database is empty: make its tables with `polyvisor database upgrade`.")
    if found.revision < migrations.NEWEST:
        raise Invalid(
            f"The database is at revision {found.revision}, and this version needs {migrations.NEWEST}: run "
            "`polyvisor database upgrade` first. Servers of the earlier version go on working on it."
        )
    if found.floor > migrations.NEWEST:
        raise Invalid(
            f"The database is at revision {found.revision}, which this version cannot work on any more: it knows "
            f"{migrations.NEWEST}, and {found.floor} is needed. Install the newer version here."
        )


def upgrade(database: Database, *, contract: bool) -> Sequence[str]:
    """Take the steps that are missing, in one transaction; returns their revisions. Several may be asked for at once:
    one takes them, the others find them taken.

    Without `contract`, stops before the first step that takes something away. Raises Invalid.
    """
    from polyvisor.store.migrations.upgrade import upgrade

    return upgrade(database, contract=contract)


def look(database: Database) -> Schema:
    """What the database is at."""
    with database.engine.connect() as connection:
        return look_by(connection)


def look_by(connection: Connection) -> Schema:
    """The same, in somebody's transaction."""
    if not inspect(connection).has_table("alembic_version"):
        return Schema(revision=None, floor="")
    revision = connection.execute(_REVISION).scalar()
    if revision is None:
        return Schema(revision=None, floor="")
    return Schema(revision=revision, floor=connection.execute(_FLOOR, {"name": FLOOR}).scalar() or "")


def current(database: Database) -> str | None:
    """The revision that the database is at; None for an empty one."""
    return look(database).revision
