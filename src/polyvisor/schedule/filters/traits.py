"""Traits that the flavor or the image requires or forbids."""

from polyvisor.schedule.ask import Ask
from polyvisor.schedule.columns import Mask
from polyvisor.schedule.phrase import Phrase
from polyvisor.schedule.table import HostTable

ADVICE = "ask for a flavor or an image with other traits"


def mask(table: HostTable, ask: Ask) -> Mask | None:
    """Which hosts have what is required and nothing that is forbidden; None = all, as nothing is asked."""
    traits = ask.traits
    if not traits.required and not traits.forbidden:
        return None
    found = table.traits.having_all(traits.required, table.size)
    for trait in traits.forbidden:
        found &= ~table.traits.having(trait, table.size)
    return found


def reason(table: HostTable, row: int, ask: Ask) -> str | None:
    """Why this host does not do, or None."""
    own = table.view(row).host.report.traits
    missing, wrong = sorted(ask.traits.required - own), sorted(ask.traits.forbidden & own)
    said = [f"lacks the required {', '.join(missing)}"] if missing else []
    if wrong:
        said.append(f"has the forbidden {', '.join(wrong)}")
    return " and ".join(said) or None


def phrase(table: HostTable, row: int, ask: Ask) -> Phrase:
    """The same for the user, for any number of such hosts."""
    own = table.view(row).host.report.traits
    missing = sorted(ask.traits.required - own)
    if missing:
        return Phrase(f"lacks {', '.join(missing)}", f"lack {', '.join(missing)}")
    wrong = ", ".join(sorted(ask.traits.forbidden & own))
    return Phrase(f"has {wrong}, which is forbidden", f"have {wrong}, which is forbidden")
