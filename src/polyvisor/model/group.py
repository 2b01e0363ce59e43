"""Groups of users: a role of the group is a role of its members."""

from typing import Any

from polyvisor.model.record import Record


class Group(Record):
    """A group as the store has it."""

    id: str
    name: str
    domain_id: str
    description: str = ""
    extra: dict[str, Any] = {}
    """Attributes of a client's own, by name."""


class GroupFilter(Record):
    """What a list of groups is narrowed to; None = not by this."""

    domain_id: str | None = None
    name: str | None = None
    user_id: str | None = None
