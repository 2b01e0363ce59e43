"""Aggregates kept for images with certain properties; used where `image_property_isolation` is set.

Where the metadata of a host's aggregates name a property that the image has too, its value must be one of theirs.
"""

from polyvisor.schedule.ask import Ask
from polyvisor.schedule.columns import Mask
from polyvisor.schedule.groups import GroupFacts
from polyvisor.schedule.phrase import Phrase
from polyvisor.schedule.table import HostTable
from polyvisor.schedule.traits import TRAIT_PREFIX

ADVICE = "use an image with other properties"


def mask(table: HostTable, ask: Ask) -> Mask | None:
    """Which hosts take such images; None = all, as the image has no properties."""
    properties = _properties(ask)
    if not properties:
        return None
    question = ("image", *sorted(properties.items()))
    return table.group.where(question, lambda group: _other(table.facts(group), properties) is None, table.size)


def reason(table: HostTable, row: int, ask: Ask) -> str | None:
    """Why this host does not do, or None."""
    facts, properties = table.facts_at(row), _properties(ask)
    key = _other(facts, properties)
    if key is None:
        return None
    kept = ", ".join(sorted(facts.values[key]))
    return f"is kept by {facts.named()} for images with {key} {kept}, while this one has {properties[key]}"


def phrase(table: HostTable, row: int, ask: Ask) -> Phrase:
    """The same for the user, for any number of such hosts."""
    key = _other(table.facts_at(row), _properties(ask))
    return Phrase(f"is kept for images with another {key}", f"are kept for images with another {key}")


def _properties(ask: Ask) -> dict[str, str]:
    image = ask.request.image
    if image is None:
        return {}
    # Traits in aggregate metadata are another filter's.
    return {key: value for key, value in image.properties.items() if not key.startswith(TRAIT_PREFIX)}


def _other(facts: GroupFacts, properties: dict[str, str]) -> str | None:
    """The first property for which the aggregates want another value."""
    for key in sorted(properties):
        if key in facts.values and properties[key] not in facts.values[key]:
            return key
    return None
