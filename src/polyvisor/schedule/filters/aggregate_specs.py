"""Aggregate metadata that the flavor asks for by `aggregate_instance_extra_specs:KEY`."""

from polyvisor.schedule.ask import AGGREGATE_SPECS, Ask
from polyvisor.schedule.columns import Mask
from polyvisor.schedule.groups import GroupFacts
from polyvisor.schedule.phrase import Phrase
from polyvisor.schedule.requirement import Requirement
from polyvisor.schedule.table import HostTable

ADVICE = "ask for another flavor"


def mask(table: HostTable, ask: Ask) -> Mask | None:
    """Which hosts are in aggregates whose metadata meet every such extra spec; None = all, as there is none."""
    specs = ask.aggregate_specs
    if not specs:
        return None
    question = (AGGREGATE_SPECS, *sorted((key, requirement.text) for key, requirement in specs.items()))
    return table.group.where(question, lambda group: _unmet(table.facts(group), specs) is None, table.size)


def reason(table: HostTable, row: int, ask: Ask) -> str | None:
    """Why this host does not do, or None."""
    facts = table.facts_at(row)
    key = _unmet(facts, ask.aggregate_specs)
    if key is None:
        return None
    wanted = f"while the flavor asks for {key} {_shown(ask.aggregate_specs[key])}"
    if key not in facts.values:
        return f"is in no aggregate with {key} in its metadata, {wanted}"
    return f"is in aggregates with {key}={','.join(sorted(facts.values[key]))}, {wanted}"


def phrase(table: HostTable, row: int, ask: Ask) -> Phrase:
    """The same for the user, for any number of such hosts."""
    key = _unmet(table.facts_at(row), ask.aggregate_specs)
    said = f"not in an aggregate with the {key} that the flavor asks for"
    return Phrase(f"is {said}", f"are {said}")


def _unmet(facts: GroupFacts, specs: dict[str, Requirement]) -> str | None:
    """The first key that no value of the aggregates meets."""
    for key, requirement in specs.items():
        if not any(requirement.met_by(value) for value in facts.values.get(key, ())):
            return key
    return None


def _shown(requirement: Requirement) -> str:
    return requirement.text if requirement.has_operator else f"= {requirement.text}"
