"""What commands beside a running cloud have in common: the options that say which database, and opening it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from polyvisor.model.errors import Invalid
from polyvisor.model.record import Record
from polyvisor.serve.configuration import Configuration, read
from polyvisor.serve.databases import VARIABLE, ask_whether_it_is_there, open_cloud_database, refuse_shown_password
from polyvisor.serve.schema import check_usable, look
from polyvisor.store.database import Database

C = TypeVar("C", bound=Callable[..., Any])
DATA = Path("polyvisor-data")


class Where(Record):
    """Which cloud is meant."""

    data: Path
    configuration: Configuration


def database_options(command: C) -> C:
    """Add --data, --config and --database, which `where` reads."""
    options = (
        click.option(
            "--data",
            type=click.Path(path_type=Path),
            default=DATA,
            show_default=True,
            help="The data directory of `polyvisor up` or `polyvisor serve`.",
        ),
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            help="A polyvisor.toml; DATA/polyvisor.toml is read where it exists.",
        ),
        click.option(
            "--database",
            metavar="URL",
            help=f"The database's address, without a password  [default: {VARIABLE}, the configuration, or SQLite "
            "under --data].",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def where(data: Path, config: Path | None, database: str | None) -> Where:
    """The cloud that the options name. Raises Invalid."""
    usual = config or data / "polyvisor.toml"
    configuration = read(usual) if config is not None or usual.exists() else Configuration()
    if database:
        refuse_shown_password(database)
        configuration = msgspec.structs.replace(configuration, database=database)
    return Where(data=data, configuration=configuration)


def open_any(at: Where) -> Database:
    """The cloud's database, whatever its schema is at. Raises Invalid where there is none."""
    opened = open_cloud_database(at.configuration, at.data, "polyvisor command")
    file = Path(opened.url.database or "")
    if opened.is_sqlite and not file.exists():
        opened.close()
        raise Invalid(
            f"There is no database in {file.parent}: name the directory of `polyvisor up` with --data, or a database "
            "with --config or --database."
        )
    ask_whether_it_is_there(opened)
    return opened


def open_database(data: Path, url: str | None, config: Path | None = None) -> Database:
    """The cloud's database, for a command that works on its records. Raises Invalid where it cannot."""
    opened = open_any(where(data, config, url))
    try:
        check_usable(look(opened))
    except BaseException:
        opened.close()
        raise
    # What a command begins, the servers hear of at once.
    opened.connect_signals(listen=False)
    return opened
