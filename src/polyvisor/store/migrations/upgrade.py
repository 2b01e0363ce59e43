"""Runs the migrations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, inspect, text

from polyvisor.model.errors import Invalid
from polyvisor.store import migrations
from polyvisor.store.cloud import cloud
from polyvisor.store.database import Database
from polyvisor.store.locking import WRITES, one_at_a_time
from polyvisor.store.upsert import insert_or_update

_WHERE = Path(__file__).parent
_NO_LIMITS = ("statement_timeout", "idle_in_transaction_session_timeout")
_LOCK_SECONDS = 10


def configuration() -> Config:
    """Alembic's configuration, without a file."""
    found = Config()
    found.set_main_option("script_location", str(_WHERE))
    found.set_main_option("path_separator", "newline")
    places = [_WHERE / "versions", *migrations.MORE]
    found.set_main_option("version_locations", "\n".join(str(place) for place in places))
    return found


def upgrade(database: Database, *, contract: bool = True) -> Sequence[str]:
    """To the newest revision, in one transaction; returns the revisions of the steps that were taken.

    Without `contract`, as far as the steps only add. Raises Invalid where the first one takes something away.
    """
    config = configuration()
    with database.engine.execution_options(**{WRITES: True}).begin() as connection:
        _prepare(connection)
        missing = _missing(connection, config)
        fresh = not inspect(connection).has_table("cloud")
        taken = missing if contract or fresh else _until_contract(missing)
        if taken:
            config.attributes["connection"] = connection
            command.upgrade(config, taken[-1].revision)
            _raise_floor(connection, taken)
        elif missing:
            raise Invalid(
                f"The next step, {missing[0].revision}, takes away what earlier versions need. See that no process of "
                f"a version before {contracts(missing[0])} runs any more, then run "
                "`polyvisor database upgrade --contract`."
            )
    return [script.revision for script in taken]


def pending(database: Database) -> list[Script]:
    """The steps that are missing, in their order."""
    with database.engine.connect() as connection:
        return _missing(connection, configuration())


def contracts(script: Script) -> str:
    """The revision that a program must know to work after the step; "" where the step only adds."""
    found: Any = getattr(script.module, "oldest_program", "")
    return str(found)


def _prepare(connection: Connection) -> None:
    """Nobody else takes steps meanwhile (SQLite has one writer anyway); and rather than holding up every request behind
    a lock that does not come, the upgrade gives up."""
    if connection.dialect.name == "postgresql":
        for name in _NO_LIMITS:
            connection.execute(text(f"SET LOCAL {name} = 0"))
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        one_at_a_time(connection, "schema.upgrade")
        connection.execute(text(f"SET LOCAL lock_timeout = {_LOCK_SECONDS * 1000}"))


def _missing(connection: Connection, config: Config) -> list[Script]:
    scripts = ScriptDirectory.from_config(config)
    at = None
    if inspect(connection).has_table("alembic_version"):
        at = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    known = {script.revision for script in scripts.walk_revisions()}
    if at is not None and at not in known:
        return []  # a newer version has been here
    return [script for script in reversed(list(scripts.walk_revisions())) if at is None or script.revision > at]


def _until_contract(steps: Sequence[Script]) -> list[Script]:
    found: list[Script] = []
    for step in steps:
        if contracts(step):
            break
        found.append(step)
    return found


def _raise_floor(connection: Connection, taken: Sequence[Script]) -> None:
    floor = max((contracts(step) for step in taken), default="")
    if floor:
        insert_or_update(connection, cloud, [{"name": migrations.FLOOR, "value": floor}], ["value"])
