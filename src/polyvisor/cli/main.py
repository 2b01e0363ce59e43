"""The commands, each loaded when it is asked for."""

import importlib
import sys

import click

import polyvisor
from polyvisor.model.errors import PolyvisorError

_COMMANDS = {
    "agent": ("polyvisor.cli.agent", "Serve hypervisors for a cloud whose servers run elsewhere."),
    "agents": ("polyvisor.cli.agents", "List, revoke and forget the agents that have joined."),
    "database": ("polyvisor.cli.database", "Upgrade, check and back up the cloud's database."),
    "host": ("polyvisor.cli.host", "List, disable, drain and evacuate hosts."),
    "network": ("polyvisor.cli.network", "Show and stop the OVN that `up` has started on this machine."),
    "serve": ("polyvisor.cli.serve", "Run one server of a cloud that has several, and agents."),
    "token": ("polyvisor.cli.token", "Make the tokens with which agents join."),
    "up": ("polyvisor.cli.up", "Run the whole cloud in one process."),
    "operations": ("polyvisor.cli.operations", "List, show and retry durable operations."),
    "token-keys": ("polyvisor.cli.token_keys", "List and rotate the keys that seal tokens."),
    "settings": ("polyvisor.cli.settings", "Print every setting, its default and its meaning."),
}


class _Lazy(click.Group):
    """Knows its commands by name, and loads one when it is used: `--help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(_COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(_COMMANDS.items())])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(polyvisor.__version__, message="polyvisor %(version)s")
def cli() -> None:
    """One OpenStack-compatible cloud over KVM and VMware vSphere."""


def main() -> None:
    """The program `polyvisor`."""
    try:
        cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except PolyvisorError as error:
        click.echo(f"polyvisor: {error.sentence}", err=True)
        sys.exit(1)
