"""Aggregates kept for servers that ask for a trait, by `trait:X` = required in their metadata."""

from polyvisor.schedule.ask import Ask
from polyvisor.schedule.columns import Mask
from polyvisor.schedule.phrase import Phrase
from polyvisor.schedule.table import HostTable

ADVICE = "ask for a flavor that requires the trait"


def mask(table: HostTable, ask: Ask) -> Mask | None:
    """Which hosts are kept for nobody, or for servers like this one."""
    asked = ask.traits.required
    return table.group.where(("traits", asked), lambda group: table.facts(group).traits <= asked, table.size)


def reason(table: HostTable, row: int, ask: Ask) -> str | None:
    """Why this host does not do, or None."""
    facts = table.facts_at(row)
    missing = sorted(facts.traits - ask.traits.required)
    if not missing:
        return None
    return f"is kept by {facts.named()} for servers that require {', '.join(missing)}"


def phrase(table: HostTable, row: int, ask: Ask) -> Phrase:
    """The same for the user, for any number of such hosts."""
    return Phrase("is kept for servers that require a trait", "are kept for servers that require a trait")
