"""`polyvisor up`: the whole cloud in one process."""

from collections.abc import Callable
from pathlib import Path

from polyvisor.serve.configuration import Configuration
from polyvisor.serve.process import Ready, run

__all__ = ["Ready", "up"]


def up(configuration: Configuration, data: Path, ready: Callable[[Ready], None]) -> bool:
    """Run until stopped by SIGINT or SIGTERM; whether every step that was under way has ended by then.

    Raises Invalid for what the operator has to change.
    """
    return run(configuration, data, "", ready, start_networks=True)
