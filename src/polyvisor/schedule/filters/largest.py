"""The most that one guest may have: the largest member of a cluster, which no sum of members makes larger."""

from polyvisor.schedule.ask import Ask
from polyvisor.schedule.columns import Mask
from polyvisor.schedule.phrase import Phrase
from polyvisor.schedule.table import MEMORY, VCPUS, HostTable

ADVICE = "ask for a smaller flavor"


def mask(table: HostTable, ask: Ask) -> Mask | None:
    """Which hosts can hold so large a guest in one piece."""
    largest = table.largest[:, : table.size]
    found: Mask = (largest[VCPUS] >= ask.request.vcpus) & (largest[MEMORY] >= ask.request.memory_mib)
    return found


def reason(table: HostTable, row: int, ask: Ask) -> str | None:
    """Why this host does not do, or None."""
    request, report = ask.request, table.view(row).host.report
    said = []
    if request.vcpus > report.largest_vcpus:
        said.append(f"{request.vcpus} vCPUs, of which one guest may have {report.largest_vcpus} here")
    if request.memory_mib > report.largest_memory_mib:
        said.append(f"{request.memory_mib} MiB of memory, of which one guest may have {report.largest_memory_mib} here")
    if not said:
        return None
    if not report.members:
        return f"is too small for {' and '.join(said)}"
    return f"has no single member large enough for {' and '.join(said)}: it fits the cluster's sum alone"


def phrase(table: HostTable, row: int, ask: Ask) -> Phrase:
    """The same for the user, for any number of such hosts."""
    if table.view(row).host.report.members:
        return Phrase("has no single member large enough", "have no single member large enough")
    return Phrase("is too small", "are too small")
