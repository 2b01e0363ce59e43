"""`polyvisor serve`: one process of the control plane, beside as many others as are wanted."""

import logging
import os
import sys
from pathlib import Path

import click
import msgspec

from polyvisor.serve.configuration import read
from polyvisor.serve.logs import log_to_stderr
from polyvisor.serve.process import Ready
from polyvisor.serve.serve import serve


@click.command("serve")
@click.option(
    "--config", type=click.Path(path_type=Path), required=True, help="A polyvisor.toml, the same for all servers."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path("polyvisor-data"),
    show_default=True,
    help="Directory of what is this server's own: certificates, and the images where no [image] directory is set.",
)
@click.option("--listen", metavar="HOST:PORT", help="Address of the API  [default: as `listen` in the configuration].")
@click.option("--agents-listen", metavar="HOST:PORT", help="Address that agents dial  [default: as [agents] listen].")
@click.option(
    "--name", help="This server's name in the list of services, unique in the cloud  [default: the machine's name]."
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="How much to log  [default: info]."
)
def command(
    config: Path, data: Path, listen: str | None, agents_listen: str | None, name: str | None, log_level: str | None
) -> None:
    """Run one server of a cloud whose hypervisors are served by agents.

    On PostgreSQL any number of them run side by side, on one machine or several; on SQLite one at a time. Ctrl-C stops
    it; the others go on.
    """
    configuration = read(config)
    configuration = msgspec.structs.replace(
        configuration,
        listen=listen or configuration.listen,
        agents=msgspec.structs.replace(configuration.agents, listen=agents_listen or configuration.agents.listen),
        log_level=log_level or configuration.log_level,
    )
    log_to_stderr(configuration.log_level, configuration.log_format, configuration.log_levels)
    logging.captureWarnings(True)
    if not serve(configuration, data, name or "", _greet):
        logging.shutdown()
        os._exit(0)


def _greet(ready: Ready) -> None:
    agents = ", ".join(ready.agents) or "are not served: set [agents] listen"
    clouds = ready.data / "clouds.yaml"
    first = f"First users: {clouds}\n" if clouds.exists() else ""
    click.echo(
        f"Polyvisor serves at {ready.url}\n"
        f"Agents: {agents}\n"
        f"Database: {ready.database}\n"
        f"Networks: {ready.networks}\n"
        f"Metrics: {ready.metrics or 'none'}\n"
        f"{first}\n"
        "Ctrl-C stops this server; the others, agents and guests go on."
    )
    sys.stdout.flush()
