"""`polyvisor agent`: the process beside a hypervisor, or near a vCenter, that serves it for the cloud."""

import logging
import os
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from polyvisor.model.errors import Invalid
from polyvisor.serve.configuration import Configuration, read

_DEFAULT_DATA = Path("polyvisor-agent")
_WITHOUT_A_STEP_SECONDS = 30.0

_data = click.option(
    "--data", type=click.Path(path_type=Path), default=_DEFAULT_DATA, show_default=True, envvar="POLYVISOR_AGENT_DATA",
    help="The agent's own directory: its key, its certificate, caches.",
)  # fmt: skip
_config = click.option(
    "--config", type=click.Path(path_type=Path),
    help="The polyvisor.toml with its [[hypervisor]] tables  [default: the one it joined with].",
)  # fmt: skip


@click.group("agent", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Serve hypervisors for a cloud whose servers run elsewhere. Without a command: `run`."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(run)


@command.command("join")
@click.argument("url")
@click.argument("token")
@_data
@click.option("--name", help="The agent's name in the cloud  [default: this host's name].")
@click.option(
    "--config", type=click.Path(path_type=Path),
    help="The polyvisor.toml with its [[hypervisor]] tables  [default: DATA/polyvisor.toml].",
)  # fmt: skip
@click.option("--again", is_flag=True, help="Join anew where an agent has joined before: its certificate is replaced.")
def join_command(url: str, token: str, data: Path, name: str | None, config: Path | None, again: bool) -> None:
    """Join the cloud whose server for agents answers at URL.

    TOKEN is what `polyvisor token create` printed there: a file that holds it, or - to read it from the standard
    input. The token itself is taken too, but shows in the list of processes.
    """
    from polyvisor.agent.files import AgentFiles
    from polyvisor.agent.join import JoinToken, Offered, default_name, join

    files = AgentFiles(data.absolute())
    config = (config or data / "polyvisor.toml").absolute()
    configuration = _with_hypervisors(config)
    with files.alone():
        if files.joined() and not again:
            raise Invalid(
                f"The agent {files.identity().name} has joined with the directory {data} already. Use another --data, "
                "or --again to replace it."
            )
        identity = join(
            files,
            url,
            JoinToken.parse(_token(token)),
            name=name or default_name(),
            places=tuple(Offered(name=each.name, driver=each.driver) for each in configuration.hypervisor),
            session=files.new_session(),
            config=config,
        )
        until = files.certificate().not_valid_after_utc
    click.echo(
        f"The agent {identity.name} has joined the cloud {identity.cloud_id}.\n"
        f"Its places: {', '.join(each.name for each in configuration.hypervisor)}\n"
        f"Its certificate renews itself; this one is good until {until:%Y-%m-%d %H:%M} UTC.\n\n"
        f"Start it with:\n  polyvisor agent run --data {data}"
    )


def _token(given: str) -> str:
    if given == "-":
        return sys.stdin.readline()
    path = Path(given)
    try:
        return path.read_text() if len(given) < 200 and path.is_file() else given
    except OSError as error:
        raise Invalid(f"The token's file {given} cannot be read: {error.strerror}.") from None


def _with_hypervisors(config: Path) -> Configuration:
    configuration = read(config)
    if not configuration.hypervisor:
        raise Invalid(f"{config} names no [[hypervisor]]: an agent without one has nothing to serve.")
    return configuration


@command.command("run")
@_data
@_config
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="How much to log.")
@click.option(
    "--patience", type=click.FloatRange(min=0), default=_WITHOUT_A_STEP_SECONDS, show_default=True, metavar="SECONDS",
    help="How long steps at work may go on once it is asked to stop.",
)  # fmt: skip
def run(
    data: Path = _DEFAULT_DATA, config: Path | None = None, log_level: str | None = None,
    patience: float = _WITHOUT_A_STEP_SECONDS,
) -> None:  # fmt: skip
    """Serve until SIGTERM or Ctrl-C; SIGHUP starts it anew, with what has changed in its configuration."""
    from polyvisor.agent.agent import Agent
    from polyvisor.agent.files import KEY_AND_CERTIFICATE, AgentFiles
    from polyvisor.serve.hypervisors import make_driver
    from polyvisor.serve.logs import log_to_stderr
    from polyvisor.serve.metadata import station_maker
    from polyvisor.serve.observation import Observation, ObserveSettings

    os.umask(0o077)
    files = AgentFiles(data.absolute())
    identity = files.identity()
    configuration = _with_hypervisors(config or Path(identity.config))
    log_to_stderr(log_level or configuration.log_level, configuration.log_format, configuration.log_levels)
    logging.captureWarnings(True)
    stopping, anew = threading.Event(), threading.Event()
    _heed_signals(stopping, anew)
    with files.alone():
        told = ObserveSettings(metrics=configuration.metrics, traces=configuration.traces)
        observation = Observation(told, "polyvisor-agent", identity.name)
        kinds = {each.name: each.driver for each in configuration.hypervisor}
        agent = Agent(
            files,
            {each.name: make_driver(each, identity.cloud_id, files.directory) for each in configuration.hypervisor},
            kinds,
            configuration.operate,
            watch=observation.watch,
            counted=observation.counted,
            guests=station_maker(configuration.hypervisor),
        )
        observation.station(agent.station, kinds)
        if agent.guests is not None:
            observation.guests(agent.guests)
        observation.files({"data": files.directory}, {"agent": files.path(KEY_AND_CERTIFICATE)})
        observation.start(files.directory)
        try:
            ended = agent.run(stopping, patience, anew)
        finally:
            observation.close()
    logging.shutdown()
    if anew.is_set():
        os.execv(sys.executable, [sys.executable, *_own_arguments()])  # noqa: S606 - ourselves
    if not ended:
        os._exit(0)  # a step still waits for its hypervisor; another does it again, so nobody has to wait for it here


def _heed_signals(stopping: threading.Event, anew: threading.Event) -> None:
    def stop(*_: Any) -> None:
        stopping.set()

    def start_anew(*_: Any) -> None:
        anew.set()
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGHUP, start_anew)


def _own_arguments() -> list[str]:
    """How this program was started, without the interpreter's own name."""
    return sys.orig_argv[1:]


@command.command("status")
@_data
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status_command(data: Path, as_json: bool) -> None:
    """Who the agent of this directory is, until when its certificate is good, and what it serves just now."""
    from polyvisor.agent import status
    from polyvisor.agent.files import AgentFiles

    found = status.read(AgentFiles(data.absolute()))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return
    now = datetime.now(UTC)
    left = (found.certificate_until - now).total_seconds() / 86_400
    console = Console(soft_wrap=True)
    for title, value in (
        ("Agent", f"{found.name} ({found.agent_id})"), ("Cloud", found.cloud_id),
        ("State", f"running, process {found.pid}" if found.running else "not running"),
        ("Certificate", f"good until {found.certificate_until:%Y-%m-%d %H:%M} UTC ({left:.0f} days)"),
        ("Servers", ", ".join(found.servers)), ("Link", found.trouble or ("in order" if found.running else "-")),
        ("Steps", str(found.steps)),
    ):  # fmt: skip
        console.print(f"{title + ':':<13}{value}", markup=False, highlight=False)
    if found.places:
        table = Table("Place", "Driver", "Role", "Held for", "Trouble", box=None, pad_edge=False)
        for place in found.places:
            trouble = "its guests were turned off: cut off for too long" if place.fenced else place.trouble
            table.add_row(place.name, place.driver, place.role, f"{place.held_seconds:.0f} s", trouble)
        console.print()
        console.print(table)
