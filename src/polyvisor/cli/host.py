"""`polyvisor host`: maintenance of hosts, and what becomes of their servers."""

import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from polyvisor.cli.database_options import database_options, open_database
from polyvisor.model.errors import Conflict
from polyvisor.model.host import Host
from polyvisor.model.operation import UNFINISHED, Operation, OperationState
from polyvisor.model.order import HostDrain
from polyvisor.store.database import Database
from polyvisor.store.store import Store

_POLL_SECONDS = 0.5


@click.group("host")
@database_options
@click.pass_context
def command(ctx: click.Context, data: Path, config: Path | None, database: str | None) -> None:
    """List, disable, drain and evacuate hosts. Works beside a running cloud, which does what is asked for here."""
    opened = open_database(data, database, config)
    ctx.call_on_close(opened.close)
    ctx.obj = opened


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
@click.pass_obj
def list_hosts(database: Database, as_json: bool) -> None:
    """Every host, its state, and how far it is drained."""
    with database.read() as store:
        rows = [(host, _drain(store, host.name)) for host in store.host.list()]
    if as_json:
        for host, drain in rows:
            click.echo(msgspec.json.encode(_public(host, drain)).decode())
        return
    table = Table("Host", "Place", "State", "Status", "Servers", "Drain", box=None, pad_edge=False)
    for host, drain in rows:
        status = "enabled" if host.enabled else "disabled"
        table.add_row(host.name, host.place, host.state, status, str(host.servers), _drain_in_words(drain))
    Console(soft_wrap=True).print(table if rows else "No hosts: add one with `polyvisor up --kvm`, or by an agent.")


@command.command("show")
@click.argument("host")
@click.option("--rebuild", is_flag=True, help="Show what a drain with --rebuild would do.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show(database: Database, host: str, rebuild: bool, as_json: bool) -> None:
    """One host, and what a drain would do, or does, with each of its servers."""
    from polyvisor.operate import host_drain

    with database.read() as store:
        found = store.host.get(host)
        drain = _drain(store, host)
        asked = msgspec.convert(drain.args, HostDrain) if drain is not None else None
        rebuild = rebuild or (asked is not None and asked.rebuild)
        ways = host_drain.ways(store, found, datetime.now(UTC), rebuild=rebuild)
    if as_json:
        told = {**_public(found, drain), "ways": msgspec.to_builtins(ways)}
        click.echo(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
        return
    console = Console(soft_wrap=True)
    for name, value in (
        ("Host", found.name), ("Place", found.place), ("Kind", found.report.hypervisor_type),
        ("State", f"{found.state}. {found.state_reason}" if found.state_reason else found.state),
        ("Status", "enabled" if found.enabled else f"disabled. {found.disabled_reason}"),
        ("Drain", _drain_in_words(drain)), *(("Warning", warning) for warning in found.report.warnings),
    ):  # fmt: skip
        console.print(f"{name + ':':<9}{value}", markup=False, highlight=False)
    table = Table("Server", "Name", "A drain would", "Why it waits", box=None, pad_edge=False)
    for way in ways:
        table.add_row(way.server_id, way.name, _IN_WORDS[way.kind], way.why)
    console.print()
    console.print(table if ways else "No servers.")


@command.command("disable")
@click.argument("host")
@click.option("--reason", default="", help="Why, for the list of services.")
@click.pass_obj
def disable(database: Database, host: str, reason: str) -> None:
    """Let no new server go to a host. Those that are there run on."""
    with database.write() as store:
        store.host.get(host)
        store.host.enable(host, False, reason[:255])
    click.echo(f"No new server goes to {host}.")


@command.command("enable")
@click.argument("host")
@click.pass_obj
def enable(database: Database, host: str) -> None:
    """Let servers go to a host again."""
    with database.write() as store:
        store.host.get(host)
        if _drain(store, host) is not None:
            raise Conflict(f"{host} is being drained: `polyvisor host undrain {host}` stops that and enables it.")
        store.host.enable(host, True, "")
    click.echo(f"Servers may go to {host}.")


@command.command("drain")
@click.argument("host")
@click.option("--reason", default="", help="Why, for the list of services.")
@click.option(
    "--rebuild",
    is_flag=True,
    help="Make servers whose disks only this host has anew from their images. What is on those disks is LOST.",
)
@click.option("--wait", is_flag=True, help="Show how far it is until the host is empty. Ctrl-C ends only the showing.")
@click.pass_obj
def drain(database: Database, host: str, reason: str, rebuild: bool, wait: bool) -> None:
    """Disable a host and move its servers away, one after the other, as there is room.

    A server that runs is shut down, and started on its disks elsewhere. The drain goes on through restarts, until the
    host is empty or `polyvisor host undrain` stops it.
    """
    from polyvisor.operate import host_drain

    now = datetime.now(UTC)
    with database.write() as store:
        found = store.host.get(host)
        host_drain.check_can_be_drained(found)
        running = _drain(store, host)
        if running is not None and msgspec.convert(running.args, HostDrain).rebuild != rebuild:
            raise Conflict(f"{host} is being drained otherwise: stop that first by `polyvisor host undrain {host}`.")
        id = running.id if running is not None else _new_id()
        if running is None:
            _begin_drain(store, id, HostDrain(host=host, reason=reason, rebuild=rebuild), now)
        ways = host_drain.ways(store, found, now, rebuild=rebuild)
    for way in ways:
        if way.kind == "wait":
            click.echo(f"{way.name} ({way.server_id}) waits: {way.why}")
    if not wait:
        click.echo(f"Operation {id} drains {host}: `polyvisor host show {host}` tells how far it is.")
        return
    _show_progress(database, [id])
    _end_with(database, id, f"{host} is empty.")


@command.command("undrain")
@click.argument("host")
@click.pass_obj
def undrain(database: Database, host: str) -> None:
    """Stop draining a host, and let servers go to it again. What is on its way goes on; nothing comes back."""
    from polyvisor.operate import host_drain

    with database.write() as store:
        store.host.get(host)
        stopped = store.operation.cancel(host_drain.target(host), datetime.now(UTC))
        store.host.enable(host, True, "")
    click.echo(f"{'The drain is stopped. ' if stopped else ''}Servers may go to {host}.")


@command.command("evacuate")
@click.argument("host")
@click.option("--wait-for-room", is_flag=True, help="Servers for which there is no room elsewhere wait for it.")
@click.option("--wait", is_flag=True, help="Show how far it is until all have ended.")
@click.pass_obj
def evacuate(database: Database, host: str, wait_for_room: bool, wait: bool) -> None:
    """Bring all servers of a host that is down up elsewhere.

    They start on their disks where other hosts reach those, and are made anew from their images otherwise. Be sure that
    the host is off: what still runs there would run twice.
    """
    from polyvisor.operate import evacuation

    with database.write() as store:
        begun, refused = evacuation.of_host(
            store, store.host.get(host), _new_id, datetime.now(UTC), waits=wait_for_room
        )
    for each in refused:
        click.echo(f"{each.name} ({each.server_id}) is not evacuated: {each.why}", err=True)
    click.echo(f"{len(begun)} servers are being evacuated from {host}.")
    if wait and begun:
        _show_progress(database, begun)
        with database.read() as store:
            failed = [row for row in store.operation.many(begun).values() if row.state is not OperationState.DONE]
        for row in failed:
            click.echo(f"{row.target_id}: {row.error}", err=True)
        click.echo(f"{len(begun) - len(failed)} of {len(begun)} are up elsewhere.")
        if failed:
            raise SystemExit(1)
    if refused:
        raise SystemExit(1)


_IN_WORDS = {
    "move": "move it, on its disks",
    "rebuild": "make it anew from its image",
    "moving": "(it is on its way)",
    "wait": "wait",
}


def _drain(store: Store, host: str) -> Operation | None:
    """The drain that is under way."""
    from polyvisor.operate import host_drain

    return next(iter(store.operation.unfinished(host_drain.target(host))), None)


def _begin_drain(store: Store, id: str, order: HostDrain, now: datetime) -> None:
    from polyvisor.operate import evacuation, host_drain
    from polyvisor.operate.unasked import begin_unasked

    begin_unasked(store, id, "host.drain", host_drain.target(order.host), order, now, user_id=evacuation.OPERATOR)


def _show_progress(database: Database, ids: Sequence[str]) -> None:
    """A bar until the operations have ended; of several, the share of those that have."""
    columns = (TextColumn("{task.percentage:>3.0f}%"), BarColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(soft_wrap=True)) as bar:
        task = bar.add_task("", total=1.0)
        while True:
            with database.read() as store:
                rows = list(store.operation.many(ids).values())
            running = [row for row in rows if row.state in UNFINISHED]
            one = rows[0] if len(ids) == 1 and rows else None
            share = one.progress if one is not None and running else (len(ids) - len(running)) / len(ids)
            told = one.progress_of if one is not None else f"{len(ids) - len(running)} of {len(ids)} have ended"
            bar.update(task, completed=share, description=told)
            if not running:
                return
            time.sleep(_POLL_SECONDS)


def _end_with(database: Database, id: str, sentence: str) -> None:
    with database.read() as store:
        row = store.operation.get(id)
    if row.state is not OperationState.DONE:
        raise Conflict(row.error or f"Operation {id} is {row.state}.")
    click.echo(sentence)


def _drain_in_words(drain: Operation | None) -> str:
    return "-" if drain is None else drain.progress_of or "begun"


def _public(host: Host, drain: Operation | None) -> dict[str, object]:
    return {
        "name": host.name,
        "place": host.place,
        "hypervisor_type": host.report.hypervisor_type,
        "state": host.state,
        "state_reason": host.state_reason,
        "enabled": host.enabled,
        "disabled_reason": host.disabled_reason,
        "servers": host.servers,
        "warnings": host.report.warnings,
        "drain": None
        if drain is None
        else {"operation": drain.id, "progress": drain.progress, "of": drain.progress_of},
    }


def _new_id() -> str:
    return str(uuid.uuid4())
