"""Roles, and which role implies which."""

from collections.abc import Iterable, Mapping

from polyvisor.model.record import Record


class Role(Record):
    """A role as the store has it."""

    id: str
    name: str
    domain_id: str | None = None
    """None = a role of the whole cloud; a domain's own role only stands for the roles that it implies."""
    description: str | None = None


class Implication(Record):
    """Whoever has the prior role has the implied one too."""

    prior_id: str
    implied_id: str


def with_implied(role_ids: Iterable[str], implied: Mapping[str, Iterable[str]]) -> set[str]:
    """The roles, and all that they imply, however far; `implied` maps a role to those it implies directly."""
    found = set(role_ids)
    open_ends = list(found)
    while open_ends:
        for role_id in implied.get(open_ends.pop(), ()):
            if role_id not in found:
                found.add(role_id)
                open_ends.append(role_id)
    return found
