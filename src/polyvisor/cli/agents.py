"""`polyvisor agents`: the agents that have joined, what they serve, and how one is shut out."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from polyvisor.cli.database_options import database_options, open_database
from polyvisor.model.agent import Agent, AgentPlace
from polyvisor.model.errors import Conflict
from polyvisor.model.held_place import HeldPlace
from polyvisor.store.database import Database
from polyvisor.store.store import Store

SILENT_AFTER = timedelta(seconds=15)


@click.group("agents")
@database_options
@click.pass_context
def command(ctx: click.Context, data: Path, config: Path | None, database: str | None) -> None:
    """List, show, revoke and forget agents. Works beside a running cloud, and without one."""
    opened = open_database(data, database, config)
    ctx.call_on_close(opened.close)
    ctx.obj = opened


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
@click.pass_obj
def list_agents(database: Database, as_json: bool) -> None:
    """Every agent, and how it stands."""
    now = datetime.now(UTC)
    with database.read() as store:
        agents = store.agent.list()
        places, held = _places(store)
    if as_json:
        for agent in agents:
            click.echo(msgspec.json.encode(_public(agent, places.get(agent.id, []), held, now)).decode())
        return
    table = Table("Name", "State", "Active for", "Standby for", "Address", "Version", "Seen", "Certificate until")
    table.box, table.pad_edge = None, False
    for agent in agents:
        roles = _roles(agent, places.get(agent.id, []), held, now)
        table.add_row(
            agent.name,
            _state(agent, now),
            _named(roles, "active"),
            _named(roles, "standby"),
            agent.address,
            agent.version,
            _age(agent.seen_at, now),
            agent.certificate_until.strftime("%Y-%m-%d"),
        )
    Console(soft_wrap=True).print(table if agents else "No agents: `polyvisor token create` lets one join.")


@command.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show(database: Database, name: str, as_json: bool) -> None:
    """One agent by its name or id, with its places."""
    now = datetime.now(UTC)
    with database.read() as store:
        agent = store.agent.named(name)
        places, held = _places(store)
    own = places.get(agent.id, [])
    if as_json:
        click.echo(msgspec.json.encode(_public(agent, own, held, now)).decode())
        return
    facts = Table(box=None, pad_edge=False, show_header=False)
    for label, value in (
        ("Id", agent.id),
        ("Name", agent.name),
        ("State", _state(agent, now)),
        ("Address", agent.address),
        ("Version", agent.version),
        ("Joined", _time(agent.created_at)),
        ("Seen", _time(agent.seen_at)),
        ("Certificate", f"{agent.certificate_serial} until {_time(agent.certificate_until)}"),
    ):
        facts.add_row(label, value)
    table = Table("Place", "Role", "Offered", "Trouble", box=None, pad_edge=False)
    roles = _roles(agent, own, held, now)
    for one in own:
        table.add_row(one.place, roles[one.place], _time(one.seen_at) if one.seen_at else "never", one.trouble)
    console = Console(soft_wrap=True)
    console.print(facts)
    console.print()
    console.print(table if own else "It may serve no place yet: it brings new ones itself.")


@command.command("revoke")
@click.argument("names", nargs=-1, required=True)
@click.pass_obj
def revoke(database: Database, names: tuple[str, ...]) -> None:
    """Shut agents out: no server takes anything from them any more, or gives them anything. For after a theft.

    Their places go to a standby within ten seconds; where there is none, their hosts go down. Guests run on.
    """
    for name in names:
        with database.write() as store:
            agent = store.agent.named(name)
            store.agent.change(agent.id, revoked_at=datetime.now(UTC))
        click.echo(
            f"Agent {agent.name} is revoked. To let it join again: polyvisor token create --name {agent.name}",
            err=False,
        )


@command.command("forget")
@click.argument("names", nargs=-1, required=True)
@click.pass_obj
def forget(database: Database, names: tuple[str, ...]) -> None:
    """Remove agents that are gone for good, with their rights to places. Hosts stay until their service is deleted."""
    now = datetime.now(UTC)
    for name in names:
        with database.write() as store:
            agent = store.agent.named(name)
            if agent.revoked_at is None and now - agent.seen_at < SILENT_AFTER:
                raise Conflict(
                    f"The agent {agent.name} is at work: stop it first, or shut it out with "
                    f"`polyvisor agents revoke {agent.name}`."
                )
            if any(one.agent_id == agent.id and one.is_held(now) for one in store.place.list()):
                raise Conflict(f"The agent {agent.name} still holds a place: try again in ten seconds.")
            _forget(store, agent)
        click.echo(f"Agent {agent.name} is forgotten.")


def _forget(store: Store, agent: Agent) -> None:
    """Remove it, and places that nobody is left to serve and no host belongs to."""
    own = {one.place for one in store.agent.places([agent.id])}
    store.agent.forget(agent.id)
    others = {one.place for one in store.agent.offered(own)}
    for place in sorted(own - others - store.host.places()):
        store.place.forget(place)


def _places(store: Store) -> tuple[dict[str, list[AgentPlace]], dict[str, HeldPlace]]:
    places: dict[str, list[AgentPlace]] = {}
    for one in store.agent.places_of_all():
        places.setdefault(one.agent_id, []).append(one)
    return places, {one.name: one for one in store.place.list()}


def _roles(agent: Agent, places: list[AgentPlace], held: dict[str, HeldPlace], now: datetime) -> dict[str, str]:
    """Place → "active", "standby", or "silent" where the agent has not offered it lately."""
    roles = {}
    for one in places:
        place = held.get(one.place)
        if place is not None and place.agent_id == agent.id and place.is_held(now):
            roles[one.place] = "active"
        else:
            lately = one.seen_at is not None and now - one.seen_at < SILENT_AFTER
            roles[one.place] = "standby" if lately and agent.revoked_at is None else "silent"
    return roles


def _named(roles: dict[str, str], wanted: str) -> str:
    return ", ".join(place for place, role in roles.items() if role == wanted) or "-"


def _state(agent: Agent, now: datetime) -> str:
    if agent.revoked_at is not None:
        return "revoked"
    return "up" if now - agent.seen_at < SILENT_AFTER else "down"


def _public(agent: Agent, places: list[AgentPlace], held: dict[str, HeldPlace], now: datetime) -> dict[str, object]:
    shown: dict[str, object] = msgspec.to_builtins(agent)
    shown.pop("sessions")
    roles = _roles(agent, places, held, now)
    told = [
        {"name": one.place, "role": roles[one.place], "seen_at": one.seen_at, "trouble": one.trouble} for one in places
    ]
    return {**shown, "state": _state(agent, now), "places": told}


def _age(moment: datetime, now: datetime) -> str:
    seconds = max(0.0, (now - moment).total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")
