"""Hosts on which this operation has failed already."""

import numpy as np

from polyvisor.schedule.ask import Ask
from polyvisor.schedule.columns import Mask
from polyvisor.schedule.phrase import Phrase, same
from polyvisor.schedule.table import HostTable

ADVICE = "ask the administrator why it failed there"


def mask(table: HostTable, ask: Ask) -> Mask | None:
    """Which hosts have not been tried; None = all."""
    if not ask.request.avoid:
        return None
    untried = np.ones(table.size, dtype=np.bool_)
    untried[[row for name in ask.request.avoid if (row := table.row(name)) is not None]] = False
    return untried


def reason(table: HostTable, row: int, ask: Ask) -> str | None:
    """Why this host does not do, or None."""
    return "was tried before, and it failed there" if table.name(row) in ask.request.avoid else None


def phrase(table: HostTable, row: int, ask: Ask) -> Phrase:
    """The same for the user, for any number of such hosts."""
    return same("failed when tried")
