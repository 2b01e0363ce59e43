"""The kind of hypervisor that the image asks for by `img_hv_type` or `hypervisor_type`; any, where it does not say."""

from polyvisor.schedule.ask import Ask
from polyvisor.schedule.columns import Mask
from polyvisor.schedule.phrase import Phrase
from polyvisor.schedule.table import HostTable

ADVICE = "use an image without img_hv_type, which runs on any hypervisor"


def mask(table: HostTable, ask: Ask) -> Mask | None:
    """Which hosts are of that kind; None = all, as the image does not say."""
    wanted = ask.hypervisor_type
    return None if wanted is None else table.hypervisor_type.equal(wanted, table.size)


def reason(table: HostTable, row: int, ask: Ask) -> str | None:
    """Why this host does not do, or None."""
    wanted, own = ask.hypervisor_type, table.view(row).host.report.hypervisor_type
    return None if wanted in (None, own.value) else f"runs {own.value} while the image asks for {wanted}"


def phrase(table: HostTable, row: int, ask: Ask) -> Phrase:
    """The same for the user, for any number of such hosts."""
    said = f"{table.view(row).host.report.hypervisor_type.value} while the image asks for {ask.hypervisor_type}"
    return Phrase(f"runs {said}", f"run {said}")
