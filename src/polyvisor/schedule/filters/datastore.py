"""One datastore that can hold the whole disk, as a disk does not span datastores."""

from polyvisor.schedule.ask import Ask
from polyvisor.schedule.columns import Mask
from polyvisor.schedule.phrase import Phrase
from polyvisor.schedule.table import HostTable, datastore_free_bytes

ADVICE = "ask for a flavor with a smaller disk"


def mask(table: HostTable, ask: Ask) -> Mask | None:
    """Which hosts reach such a datastore; None = all, as there is no disk."""
    return None if ask.disk_bytes <= 0 else table.datastore_free_bytes[: table.size] >= ask.disk_bytes


def reason(table: HostTable, row: int, ask: Ask) -> str | None:
    """Why this host does not do, or None."""
    free_bytes = datastore_free_bytes(table.view(row))
    if ask.disk_bytes <= max(0, free_bytes):
        return None
    if free_bytes < 0:
        return "reaches no datastore that servers may use"
    wanted = -(-ask.disk_bytes >> 30)
    return f"has {free_bytes >> 30} GiB free on its emptiest datastore, and the server's disk needs {wanted}"


def phrase(table: HostTable, row: int, ask: Ask) -> Phrase:
    """The same for the user, for any number of such hosts."""
    if table.datastore_free_bytes[row] < 0:
        return Phrase("reaches no datastore", "reach no datastore")
    return Phrase("has too little space on each datastore", "have too little space on each datastore")
