"""Hosts that the operation itself rules out: the one that a server leaves, those that do not reach its disks."""

import numpy as np

from polyvisor.schedule.ask import Ask
from polyvisor.schedule.columns import Mask
from polyvisor.schedule.phrase import Phrase, same
from polyvisor.schedule.table import HostTable

ADVICE = "ask the administrator for another host that can take over this one's servers"


def mask(table: HostTable, ask: Ask) -> Mask | None:
    """Which hosts are not ruled out; None = all."""
    if not ask.request.passed_over:
        return None
    left = np.ones(table.size, dtype=np.bool_)
    left[[row for name in ask.request.passed_over if (row := table.row(name)) is not None]] = False
    return left


def reason(table: HostTable, row: int, ask: Ask) -> str | None:
    """Why this host does not do, or None."""
    return ask.request.passed_over.get(table.name(row))


def phrase(table: HostTable, row: int, ask: Ask) -> Phrase:
    """The same for the user, for any number of such hosts."""
    return same("cannot take over this server")
