"""`polyvisor serve`: a process of the control plane, one of as many as are wanted; agents serve the hypervisors."""

from collections.abc import Callable
from pathlib import Path

from polyvisor.model.errors import Invalid
from polyvisor.serve.configuration import Configuration
from polyvisor.serve.process import Ready, run


def serve(configuration: Configuration, data: Path, name: str, ready: Callable[[Ready], None]) -> bool:
    """Run until stopped by SIGINT or SIGTERM. `name`: see `run`. Raises Invalid for what the operator has to change."""
    if configuration.hypervisor:
        named = configuration.hypervisor[0].name
        raise Invalid(
            f"`polyvisor serve` serves no hypervisor itself, and the configuration has [[hypervisor]] {named!r}: move "
            "it to a `polyvisor agent` beside the hypervisor, or run all in one process with `polyvisor up`."
        )
    # Without a public address each server would write its own into the catalogue that all share.
    return run(configuration, data, name, ready, keep_endpoints=not configuration.api.public_url, upgrade=False)
