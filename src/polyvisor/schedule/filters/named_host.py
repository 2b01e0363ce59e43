"""The one host that the request names, where it names one."""

import numpy as np

from polyvisor.schedule.ask import Ask
from polyvisor.schedule.columns import Mask
from polyvisor.schedule.phrase import Phrase
from polyvisor.schedule.table import HostTable

ADVICE = "name no host"


def mask(table: HostTable, ask: Ask) -> Mask | None:
    """Which hosts may be considered; None = all."""
    name = ask.request.host
    if name is None:
        return None
    found = np.zeros(table.size, dtype=np.bool_)
    row = table.row(name)
    if row is not None:
        found[row] = True
    return found


def reason(table: HostTable, row: int, ask: Ask) -> str | None:
    """Why this host does not do, or None."""
    wanted = ask.request.host
    if wanted is None or table.name(row) == wanted:
        return None
    return f"is not {wanted}, the host that was asked for"


def phrase(table: HostTable, row: int, ask: Ask) -> Phrase:
    """The same for the user, for any number of such hosts."""
    return Phrase("is not the one that was asked for", "are not the one that was asked for")
