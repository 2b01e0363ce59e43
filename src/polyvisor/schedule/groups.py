"""What the aggregates of a host say together."""

from collections.abc import Iterable, Mapping

from polyvisor.model.place import AggregateView, overcommit
from polyvisor.model.record import Record
from polyvisor.schedule.traits import TRAIT_PREFIX

TENANT_KEY = "filter_tenant_id"
"""Projects that an aggregate is for; further keys that begin so (`filter_tenant_id2`) add more, as values are short."""

Group = tuple[int, ...]
"""The ids of the aggregates that a host is in, in order: many hosts share one group."""


class GroupFacts(Record):
    """The metadata of several aggregates, read together."""

    names: tuple[str, ...]
    values: dict[str, frozenset[str]]
    """For each metadata key, what its comma-separated values are in any of the aggregates."""
    tenants: frozenset[str]
    """The projects that the hosts are kept for; empty = for everybody."""
    traits: frozenset[str]
    """Traits that a server must ask for to come here (`trait:X` = required)."""
    metadata: tuple[dict[str, str], ...]

    def named(self) -> str:
        """The aggregates, for a sentence."""
        return f"{'aggregate' if len(self.names) == 1 else 'aggregates'} {', '.join(self.names)}"

    def ratio(self, key: str, own: float) -> float:
        """The overcommit ratio of hosts here whose own ratio is `own`."""
        return overcommit(own, self.metadata, key)


def facts_of(aggregates: Iterable[AggregateView]) -> GroupFacts:
    """Read the metadata of a host's aggregates together."""
    listed = sorted(aggregates, key=lambda aggregate: aggregate.id)
    values: dict[str, frozenset[str]] = {}
    for aggregate in listed:
        for key, value in aggregate.metadata.items():
            values[key] = values.get(key, frozenset()) | _words(value)
    return GroupFacts(
        names=tuple(aggregate.name for aggregate in listed),
        values=values,
        tenants=_all(values, TENANT_KEY),
        traits=frozenset(
            key.removeprefix(TRAIT_PREFIX)
            for key, said in values.items()
            if key.startswith(TRAIT_PREFIX) and "required" in said
        ),
        metadata=tuple(aggregate.metadata for aggregate in listed),
    )


def _words(value: str) -> frozenset[str]:
    return frozenset(word.strip() for word in value.split(","))


def _all(values: Mapping[str, frozenset[str]], prefix: str) -> frozenset[str]:
    found = frozenset[str]().union(*(said for key, said in values.items() if key.startswith(prefix)))
    return found - {""}
