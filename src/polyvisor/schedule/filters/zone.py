"""The availability zone that was asked for."""

from polyvisor.schedule.ask import Ask
from polyvisor.schedule.columns import Mask
from polyvisor.schedule.phrase import Phrase
from polyvisor.schedule.table import HostTable

ADVICE = "ask for another availability zone"


def mask(table: HostTable, ask: Ask) -> Mask | None:
    """Which hosts are in the zone; None = all, as none was asked for."""
    zone = ask.request.zone
    return None if zone is None else table.zone.equal(zone, table.size)


def reason(table: HostTable, row: int, ask: Ask) -> str | None:
    """Why this host does not do, or None."""
    wanted, own = ask.request.zone, table.view(row).host.zone
    return None if wanted in (None, own) else f"is in zone {own}, not in {wanted}"


def phrase(table: HostTable, row: int, ask: Ask) -> Phrase:
    """The same for the user, for any number of such hosts."""
    wanted = ask.request.zone
    return Phrase(f"is not in zone {wanted}", f"are not in zone {wanted}")
