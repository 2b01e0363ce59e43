"""The command line: `polyvisor COMMAND`."""

from polyvisor.cli.main import main

__all__ = ["main"]
