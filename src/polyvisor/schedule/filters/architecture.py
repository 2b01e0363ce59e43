"""The processor architecture that the image asks for by `hw_architecture` or `architecture`."""

from polyvisor.schedule.ask import Ask, canonical_architecture
from polyvisor.schedule.columns import Mask
from polyvisor.schedule.phrase import Phrase
from polyvisor.schedule.table import HostTable

ADVICE = "use an image for another architecture"

_ALSO_RUNS = {"x86_64": frozenset({"i686"})}
"""Every x86_64 processor runs 32-bit guests as well."""


def mask(table: HostTable, ask: Ask) -> Mask | None:
    """Which hosts run that architecture; None = all, as the image does not say."""
    wanted = ask.architecture
    if wanted is None:
        return None
    return table.architecture.where(wanted, lambda own: _runs(own, wanted), table.size)


def reason(table: HostTable, row: int, ask: Ask) -> str | None:
    """Why this host does not do, or None."""
    wanted, own = ask.architecture, table.view(row).host.report.architecture
    if wanted is None or _runs(own, wanted):
        return None
    return f"has {own} processors while the image asks for {wanted}"


def phrase(table: HostTable, row: int, ask: Ask) -> Phrase:
    """The same for the user, for any number of such hosts."""
    said = f"{table.view(row).host.report.architecture} processors while the image asks for {ask.architecture}"
    return Phrase(f"has {said}", f"have {said}")


def _runs(own: str, wanted: str) -> bool:
    canonical = canonical_architecture(own)
    return wanted == canonical or wanted in _ALSO_RUNS.get(canonical, ())
