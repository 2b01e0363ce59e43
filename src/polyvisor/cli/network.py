"""`polyvisor network`: the OVN and Open vSwitch that `polyvisor up` has started on this machine."""

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from polyvisor.serve.local_network import parts, stop


@click.group("network")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path("polyvisor-data"),
    show_default=True,
    help="The data directory of `polyvisor up`.",
)
@click.pass_context
def command(ctx: click.Context, data: Path) -> None:
    """Show and stop the OVN and Open vSwitch that `polyvisor up` has started on this machine."""
    ctx.obj = data


@command.command("show")
@click.pass_obj
def show(data: Path) -> None:
    """The daemons, and where they log. They run on when `polyvisor up` ends."""
    found = parts(data)
    if not found:
        click.echo(f"`polyvisor up` has started none for {data}.")
        return
    table = Table("Daemon", "Process", "Log")
    for each in found:
        table.add_row(each.name, str(each.pid) if each.pid else "does not run", str(each.log))
    Console().print(table)


@command.command("stop")
@click.pass_obj
def stop_all(data: Path) -> None:
    """End them. Guests have no network until the next `polyvisor up`; nothing that was recorded is lost.

    OVN and Open vSwitch that the machine ran by itself are left alone.
    """
    ended = stop(data)
    click.echo(f"Ended: {', '.join(ended)}." if ended else f"Nothing ran that `polyvisor up` has started for {data}.")
