"""`polyvisor token-keys`: the keys that seal tokens, and their rotation beside a running cloud."""

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from polyvisor.api.identity.keys import replace_all, rotate
from polyvisor.cli.database_options import database_options, open_database
from polyvisor.model.token_key import TokenKey
from polyvisor.serve.configuration import Configuration, read
from polyvisor.store.database import Database

_MEANING = {
    "primary": "seals new tokens",
    "staged": "seals after the next rotation",
    "secondary": "opens tokens that it sealed",
}


@click.group("token-keys")
@database_options
@click.pass_context
def command(ctx: click.Context, data: Path, config: Path | None, database: str | None) -> None:
    """List and rotate the keys that seal tokens. Works beside a running cloud, and without one."""
    opened = open_database(data, database, config)
    ctx.call_on_close(opened.close)
    ctx.obj = (opened, data)


@command.command("list")
@click.pass_obj
def list_keys(opened: tuple[Database, Path]) -> None:
    """The keys and what each is for. Never their secrets."""
    with opened[0].read() as store:
        _print(store.token_key.list())


@command.command("rotate")
@click.option(
    "--config", type=click.Path(path_type=Path), help="A polyvisor.toml; DATA/polyvisor.toml is read where it exists."
)
@click.option("--void-all", is_flag=True, help="Drop every key: all tokens are void at once. For after a theft.")
@click.pass_obj
def rotate_keys(opened: tuple[Database, Path], config: Path | None, void_all: bool) -> None:
    """Seal with the staged key from now on, and stage a new one. No token is lost, unless --void-all asks for it."""
    database, data = opened
    now = datetime.now(UTC)
    if void_all:
        with database.write() as store:
            keys = replace_all(store, now, (uuid.uuid4().hex, uuid.uuid4().hex))
        _print(keys)
        return
    usual = config or data / "polyvisor.toml"
    configuration = read(usual) if config is not None or usual.exists() else Configuration()
    lifetime = timedelta(seconds=configuration.identity.token_lifetime_seconds)
    with database.write() as store:
        keys = rotate(store, now, uuid.uuid4().hex, lifetime)
    _print(keys)


def _print(keys: list[TokenKey]) -> None:
    table = Table("Key", "State", "Made", "What it does")
    for key in keys:
        table.add_row(key.id, key.state, key.created_at.strftime("%Y-%m-%d %H:%M UTC"), _MEANING[key.state])
    Console().print(table)
