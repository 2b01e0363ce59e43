"""Domains: the containers of users, groups and projects."""

from datetime import datetime
from typing import Any

from polyvisor.model.record import Record


class Domain(Record):
    """A domain as the store has it."""

    id: str
    name: str
    description: str = ""
    enabled: bool = True
    extra: dict[str, Any] = {}
    """Attributes of a client's own, by name."""
    tokens_after: datetime | None = None
    """Tokens for this domain, its projects and its users that were issued up to this moment are void."""


class DomainFilter(Record):
    """What a list of domains is narrowed to; None = not by this."""

    ids: tuple[str, ...] | None = None
    name: str | None = None
    enabled: bool | None = None
