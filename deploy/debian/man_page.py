"""Writes polyvisor(1) from the program's own help, so that the page says what the program does."""

import inspect
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import click

import polyvisor
from polyvisor.cli.main import cli


def escaped(text: str) -> str:
    """Text as roff takes it."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in text.splitlines())


def options(command: click.Command, context: click.Context) -> Iterator[str]:
    """A tagged paragraph for each option."""
    for parameter in command.get_params(context):
        shown = parameter.get_help_record(context)
        if shown is not None and isinstance(parameter, click.Option):
            yield f".TP\n.B {escaped(shown[0])}\n{escaped(shown[1])}"


def sections(command: click.Command, context: click.Context) -> Iterator[str]:
    """A command's own part, then those of the commands below it."""
    usage = " ".join(command.collect_usage_pieces(context))
    title = "SYNOPSIS" if context.parent is None else escaped(context.command_path).upper()
    yield f".SH {title}\n.B {escaped(context.command_path)}\n{escaped(usage)}"
    if context.parent is None:
        yield ".SH DESCRIPTION"
    else:
        yield ".PP"
    yield escaped(inspect.cleandoc(command.help or ""))
    yield from options(command, context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from sections(below, click.Context(below, info_name=name, parent=context))


def main() -> None:
    """Print the page; SOURCE_DATE_EPOCH gives its date."""
    day = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC).date()
    told = escaped("one OpenStack-compatible cloud over KVM and VMware vSphere")
    head = f'.TH POLYVISOR 1 {day} "polyvisor {polyvisor.__version__}"\n.SH NAME\npolyvisor \\- {told}'
    see = f".SH SEE ALSO\n{escaped('/usr/share/doc/polyvisor/')} holds the guides and the reference."
    parts = [head, *sections(cli, click.Context(cli, info_name="polyvisor")), see]
    sys.stdout.write("\n".join(part for part in parts if part) + "\n")


if __name__ == "__main__":
    main()
