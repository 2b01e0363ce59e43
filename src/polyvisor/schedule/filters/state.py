"""Hosts that answer, and that the operator lets servers go to."""

from polyvisor.model.host import HostState
from polyvisor.schedule.ask import Ask
from polyvisor.schedule.columns import Mask
from polyvisor.schedule.phrase import Phrase
from polyvisor.schedule.table import HostTable

ADVICE = "ask the administrator to bring back the hosts that are down or disabled"


def mask(table: HostTable, ask: Ask) -> Mask | None:
    """Which hosts are up and enabled."""
    return table.up[: table.size] & table.enabled[: table.size]


def reason(table: HostTable, row: int, ask: Ask) -> str | None:
    """Why this host does not do, or None."""
    host = table.view(row).host
    said = []
    if host.state is not HostState.UP:
        said.append(_because("is down", host.state_reason))
    if not host.enabled:
        said.append(_because("is disabled", host.disabled_reason))
    return " and ".join(said) or None


def phrase(table: HostTable, row: int, ask: Ask) -> Phrase:
    """The same for the user, for any number of such hosts."""
    if table.up[row]:
        return Phrase("is disabled", "are disabled")
    return Phrase("is down", "are down")


def _because(what: str, why: str) -> str:
    return f"{what} ({why.rstrip('.')})" if why else what
