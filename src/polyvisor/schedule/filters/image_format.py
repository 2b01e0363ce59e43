"""Hypervisors that can run the image's format, as it is or converted."""

from polyvisor.model.host import HypervisorType
from polyvisor.model.image_format import ImageForm, form_for
from polyvisor.schedule.ask import Ask
from polyvisor.schedule.columns import Mask
from polyvisor.schedule.phrase import Phrase
from polyvisor.schedule.table import HostTable

ADVICE = "use an image in another format"


def mask(table: HostTable, ask: Ask) -> Mask | None:
    """Which hosts can run it; None = all, as there is no image."""
    form = ask.form
    if form is None:
        return None
    return table.hypervisor_type.where(form, lambda kind: _takes(kind, form), table.size)


def reason(table: HostTable, row: int, ask: Ask) -> str | None:
    """Why this host does not do, or None."""
    kind = table.view(row).host.report.hypervisor_type
    if ask.form is None or _takes(kind, ask.form):
        return None
    return f"runs {kind.value}, for which an image in {ask.form.name} format cannot be converted"


def phrase(table: HostTable, row: int, ask: Ask) -> Phrase:
    """The same for the user, for any number of such hosts."""
    assert ask.form is not None  # noqa: S101 - without an image nobody is refused
    said = f"{table.view(row).host.report.hypervisor_type.value}, which takes no {ask.form.name} image"
    return Phrase(f"runs {said}", f"run {said}")


def _takes(kind: str, form: ImageForm) -> bool:
    return form_for(HypervisorType(kind), form) is not None
