"""`polyvisor operations`: what the engine is doing, what it has done, and what needs a hand."""

from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from polyvisor.cli.database_options import database_options, open_database
from polyvisor.model.operation import UNFINISHED, Operation, OperationState
from polyvisor.store.database import Database

_ALL = "all"


@click.group("operations")
@database_options
@click.pass_context
def command(ctx: click.Context, data: Path, config: Path | None, database: str | None) -> None:
    """List, show and retry durable operations. Works beside a running cloud, and without one."""
    opened = open_database(data, database, config)
    ctx.call_on_close(opened.close)
    ctx.obj = opened


@command.command("list")
@click.option(
    "--state",
    type=click.Choice([*(state.value for state in OperationState), "unfinished", _ALL]),
    default="unfinished",
    show_default=True,
    help="Only those in this state.",
)
@click.option("--server", help="Only those on this server.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most this many, the newest."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
@click.pass_obj
def list_operations(database: Database, state: str, server: str | None, limit: int, as_json: bool) -> None:
    """Operations, the newest first."""
    states = {"unfinished": (*UNFINISHED, OperationState.STUCK), _ALL: ()}.get(state) or (
        () if state == _ALL else (OperationState(state),)
    )
    with database.read() as store:
        rows = store.operation.list(states=states, target_id=server, limit=limit)
    if as_json:
        for row in rows:
            click.echo(msgspec.json.encode(_public(row)).decode())
        return
    table = Table("Id", "Kind", "Target", "State", "Step", "Place", "Tries", "Age", box=None, pad_edge=False)
    for row in rows:
        table.add_row(
            row.id, row.kind, row.target_id, _state(row), str(row.step), row.place, str(row.attempts), _age(row)
        )
    Console(soft_wrap=True).print(table if rows else "No operations.")


@command.command("show")
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show(database: Database, id: str, as_json: bool) -> None:
    """One operation, with its journal."""
    with database.read() as store:
        row = store.operation.get(id)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(_public(row)), indent=2).decode())
        return
    console = Console(soft_wrap=True)
    for name, value in (
        ("Operation", row.id), ("Kind", row.kind), ("Target", row.target_id), ("State", _state(row)),
        ("Request", row.request_id), ("Error", row.error or "-"), ("Begun", _time(row.created_at)),
        ("Due", f"step {row.step} at {row.place or '-'}, {_time(row.due_at)}, tried {row.attempts} times"),
    ):  # fmt: skip
        console.print(f"{name + ':':<11}{value}", markup=False, highlight=False)
    table = Table("Step", "Outcome", "Place", "Started", "Seconds", "Error", box=None, pad_edge=False)
    for entry in row.journal:
        took = (entry.finished_at - entry.started_at).total_seconds()
        table.add_row(entry.step, entry.outcome, entry.place, _time(entry.started_at), f"{took:.3f}", entry.error)
    console.print()
    console.print(table)


@command.command("retry")
@click.argument("ids", nargs=-1, required=True)
@click.pass_obj
def retry_operations(database: Database, ids: tuple[str, ...]) -> None:
    """Take stuck operations up again: their undo is tried anew."""
    from polyvisor.operate.retry import retry

    for id in ids:
        with database.write() as store:
            retry(store, id, datetime.now(UTC))
        click.echo(f"Operation {id} is taken up again; a running cloud goes on with it within seconds.")


def _public(row: Operation) -> dict[str, object]:
    """All but the arguments, which may hold what only the guest should know."""
    shown: dict[str, object] = msgspec.to_builtins(row)
    shown.pop("args")
    return shown


def _state(row: Operation) -> str:
    return (
        f"{row.state} {row.progress:.0%}" if row.progress and row.state is OperationState.RUNNING else row.state.value
    )


def _age(row: Operation) -> str:
    seconds = (datetime.now(UTC) - row.created_at).total_seconds()
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")
