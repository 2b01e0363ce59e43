"""What is to be said of a database: its schema, whether it is whole, and settings that would hurt."""

from collections.abc import Iterator
from typing import Any, Literal

from sqlalchemy import Connection, text

from polyvisor.model.record import Record
from polyvisor.serve.configuration import Configuration
from polyvisor.serve.schema import Schema, look
from polyvisor.store import migrations
from polyvisor.store.database import Database
from polyvisor.store.tables import metadata

Weight = Literal["right", "noted", "wrong"]
OLDEST_SERVER = 130000
"""PostgreSQL 13, as its `server_version_num`."""
_SIGNALS = 2
_MOST_NAMED = 10


class Finding(Record):
    """One thing that was looked at."""

    weight: Weight
    sentence: str


def check_database(database: Database, configuration: Configuration) -> list[Finding]:
    """Look at everything. Changes nothing; reads every page of a SQLite file."""
    schema = look(database)
    findings = list(_revision(database, schema))
    with database.engine.connect() as connection:
        if schema.revision is not None:
            findings += _tables(connection, schema)
        if database.is_sqlite:
            findings += _sqlite(connection)
        else:
            findings += _postgresql(connection, configuration)
    return findings


def _revision(database: Database, schema: Schema) -> Iterator[Finding]:
    from polyvisor.store.migrations.upgrade import contracts, pending

    if schema.revision is None:
        yield _wrong("The database is empty: `polyvisor database upgrade` makes its tables.")
        return
    if schema.floor > migrations.NEWEST:
        yield _wrong(f"The schema is at {schema.revision}; programs must know {schema.floor}: this one is too old.")
    elif schema.revision > migrations.NEWEST:
        yield _noted(f"The schema is at {schema.revision}, of a newer version; this one knows {migrations.NEWEST}.")
    else:
        missing = pending(database)
        for step in missing:
            if step.revision > migrations.NEWEST:
                yield _noted(f"Step {step.revision} takes away what earlier versions need: `upgrade --contract` may.")
            else:
                kind = "takes away what earlier versions need" if contracts(step) else "only adds"
                yield _wrong(
                    f"Step {step.revision} is missing ({step.doc}; it {kind}): run `polyvisor database upgrade`."
                )
        if schema.revision == migrations.NEWEST:
            yield _right(f"The schema is at {schema.revision}, this version's own.")


def _tables(connection: Connection, schema: Schema) -> Iterator[Finding]:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    differences = [told for one in compare_metadata(MigrationContext.configure(connection), metadata)
                   for told in _told(one)]  # fmt: skip
    if (schema.revision or "") > migrations.NEWEST:
        # What a newer version has added is no business of ours.
        differences = [told for told in differences if told.startswith("lacks")]
    for told in differences[:_MOST_NAMED]:
        yield _wrong(f"The database {told}. Somebody has changed it by hand: restore it, or a backup.")
    if len(differences) > _MOST_NAMED:
        yield _wrong(f"There are {len(differences) - _MOST_NAMED} differences more.")
    if not differences:
        yield _right(f"All {len(metadata.tables)} tables, their columns and indexes are as this version makes them.")


def _told(difference: Any) -> Iterator[str]:
    """One difference, as Alembic compares: from the database to the program."""
    if isinstance(difference, list):
        for one in difference:
            yield from _told(one)
        return
    kind, thing = difference[0], difference[-1]
    name = getattr(thing, "name", thing)
    table = getattr(getattr(thing, "table", None), "name", None)
    of = f" of the table {table}" if table else ""
    if kind.startswith("add_"):
        yield f"lacks the {kind.removeprefix('add_').replace('_', ' ')} {name}{of}"
    elif kind.startswith("remove_"):
        if name != "alembic_version":
            yield f"has a {kind.removeprefix('remove_').replace('_', ' ')} {name}{of} that is not the program's"
    else:
        yield f"differs in {kind.replace('_', ' ')} of {difference[2]}.{difference[3]}"


def _sqlite(connection: Connection) -> Iterator[Finding]:
    damage = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(10)") if row[0] != "ok"]
    for sentence in damage:
        yield _wrong(f"SQLite finds damage: {sentence}. Restore a backup.")
    astray = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    for row in astray[:_MOST_NAMED]:
        yield _wrong(f"Row {row[1]} of the table {row[0]} refers to a row of {row[2]} that is not there.")
    if not damage and not astray:
        yield _right("SQLite finds every page and every reference whole.")


def _postgresql(connection: Connection, configuration: Configuration) -> Iterator[Finding]:
    invalid = connection.execute(
        text("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid OR NOT indisready")
    )
    unproved = connection.execute(text("SELECT conname FROM pg_constraint WHERE NOT convalidated"))
    broken = [f"The index {name} is not valid: REINDEX INDEX {name} makes it anew." for name in invalid.scalars()]
    broken += [f"The constraint {name} was never checked: ALTER TABLE … VALIDATE CONSTRAINT." for name in
               unproved.scalars()]  # fmt: skip
    yield from (_wrong(sentence) for sentence in broken)
    if not broken:
        yield _right("Every index and every constraint is valid.")
    yield from _settings(connection, configuration)


def _settings(connection: Connection, configuration: Configuration) -> Iterator[Finding]:
    def setting(name: str) -> str:
        return str(connection.execute(text("SELECT current_setting(:name)"), {"name": name}).scalar_one())

    found = [sentence for name, bad, sentence in _BAD if setting(name) in bad]
    if connection.execute(text("SELECT pg_is_in_recovery()")).scalar():
        found.append("This server is a standby, and takes no writes: name the primary, or all servers, in the address.")
    if setting("server_encoding") != "UTF8":
        found.append(f"The database's encoding is {setting('server_encoding')}: make it anew with ENCODING 'UTF8'.")
    if int(setting("server_version_num")) < OLDEST_SERVER:
        found.append(f"PostgreSQL {setting('server_version')} is too old: 13 is the oldest that is supported.")
    yield from (_wrong(sentence) for sentence in found)
    if not found:
        yield _right(f"PostgreSQL {setting('server_version')}: all {len(_BAD)} settings that guard commits are on.")
    free = int(setting("max_connections")) - int(setting("superuser_reserved_connections"))
    each = configuration.database_connections + _SIGNALS
    if free < each:
        yield _wrong(
            f"It takes {free} connections, and one server opens up to {each}: raise max_connections, or lower "
            "database_connections."
        )
    else:
        yield _noted(f"It takes {free} connections: enough for {free // each} servers of {each}.")


_BAD = (
    ("fsync", ("off",), "fsync is off: a power cut can destroy the database. Set it to on."),
    ("full_page_writes", ("off",), "full_page_writes is off: a power cut can tear pages. Set it to on."),
    (
        "synchronous_commit",
        ("off",),
        "synchronous_commit is off: what was answered may be lost in a crash. Set it to on.",
    ),
)


def _right(sentence: str) -> Finding:
    return Finding(weight="right", sentence=sentence)


def _noted(sentence: str) -> Finding:
    return Finding(weight="noted", sentence=sentence)


def _wrong(sentence: str) -> Finding:
    return Finding(weight="wrong", sentence=sentence)
