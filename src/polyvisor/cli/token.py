"""`polyvisor token`: the tokens with which agents join the cloud, each good for one."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from polyvisor.api.agent import authority as authorities
from polyvisor.api.agent.joining import new_token
from polyvisor.cli.database_options import database_options, open_database
from polyvisor.model.agent import JoinToken
from polyvisor.model.errors import NotFound
from polyvisor.store.database import Database

_UNITS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
_LIFETIME = re.compile(r"(\d{1,6})(s|min|h|d)\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}\Z")


class _Lifetime(click.ParamType[timedelta]):
    """A time such as 30min, 1h or 2d."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        found = _LIFETIME.match(str(value))
        if isinstance(value, timedelta):
            return value
        if found is None or not int(found[1]):
            self.fail(f"{value!r} is no time: write it as 30min, 1h or 2d.", param, ctx)
        return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


@click.group("token")
@database_options
@click.pass_context
def command(ctx: click.Context, data: Path, config: Path | None, database: str | None) -> None:
    """Make, list and delete the tokens with which agents join. Works beside a running cloud, and without one."""
    opened = open_database(data, database, config)
    ctx.call_on_close(opened.close)
    ctx.obj = opened


@command.command("create")
@click.option(
    "--place",
    "places",
    multiple=True,
    metavar="NAME",
    help="A place that is served already, which the agent may serve too: so a standby joins. May be given repeatedly.",
)
@click.option(
    "--name",
    default="",
    metavar="AGENT",
    help="The only name the agent may take; lets an agent of that name join again.",
)
@click.option(
    "--expires", type=_Lifetime(), default="1h", show_default=True, help="How long it may be used: 30min, 1h, 2d …"
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def create(database: Database, places: tuple[str, ...], name: str, expires: timedelta, as_json: bool) -> None:
    """Make a token, good for one agent, and print it. It is shown this once; the database keeps only its hash."""
    now = datetime.now(UTC)
    if name and not _NAME.match(name):
        raise click.BadParameter("Letters, digits and . _ - are what an agent's name is made of.", param_hint="--name")
    with database.read() as store:
        known = {one.place for one in store.agent.offered(places)} | store.host.places()
        unknown = sorted(set(places) - known - {one.name for one in store.place.list()})
        urls = [url for one in store.control.list() if one.alive(now) for url in one.agent_urls]
    if unknown:
        raise NotFound(f"No place named {unknown[0]} is served yet. A new one needs no --place: the agent brings it.")
    authority = authorities.ensure(database, now)
    kept, text = new_token(
        uuid.uuid4().hex[:12], authority, name=name, places=tuple(dict.fromkeys(places)), now=now, lifetime=expires
    )
    with database.write() as store:
        store.join_token.add(kept)
    if as_json:
        told = {"id": kept.id, "token": text, "expires_at": kept.expires_at, "urls": urls}
        click.echo(msgspec.json.encode(told).decode())
        return
    click.echo(text)
    url = urls[0] if urls else "https://SERVER:PORT"
    click.echo(
        f"\nOn the agent's host, until {_time(kept.expires_at)} UTC:\n  polyvisor agent join {url} {text}", err=True
    )
    if not urls:
        click.echo("No server listens for agents now: set [agents] listen in its configuration.", err=True)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
@click.pass_obj
def list_tokens(database: Database, as_json: bool) -> None:
    """The tokens there are and what became of them. Never their secrets."""
    now = datetime.now(UTC)
    with database.read() as store:
        tokens = store.join_token.list()
        names = {one.id: one.name for one in store.agent.list()}
    if as_json:
        for token in tokens:
            click.echo(msgspec.json.encode(_public(token, now)).decode())
        return
    table = Table("Id", "State", "Agent", "Places", "Made", "Expires", box=None, pad_edge=False)
    for token in tokens:
        agent = names.get(token.used_by) or token.agent_name or "any"
        table.add_row(
            token.id,
            token.state(now),
            agent,
            ", ".join(token.places) or "new ones",
            _time(token.created_at),
            _time(token.expires_at),
        )
    Console(soft_wrap=True).print(table if tokens else "No tokens.")


@command.command("delete")
@click.argument("ids", nargs=-1, required=True)
@click.pass_obj
def delete_tokens(database: Database, ids: tuple[str, ...]) -> None:
    """Delete tokens: nobody joins with them any more. Agents that have joined stay."""
    for id in ids:
        with database.write() as store:
            if not store.join_token.delete(id):
                raise NotFound(f"No token {id} was found: `polyvisor token list` shows those there are.")
        click.echo(f"Token {id} is deleted.")


def _public(token: JoinToken, now: datetime) -> dict[str, object]:
    shown: dict[str, object] = msgspec.to_builtins(token)
    shown.pop("secret_hash")
    return {**shown, "state": token.state(now)}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")
