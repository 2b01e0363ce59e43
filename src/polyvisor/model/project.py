"""Projects: what owns servers, images and the rest."""

from datetime import datetime
from typing import Any

from polyvisor.model.record import Record


class Project(Record):
    """A project as the store has it."""

    id: str
    name: str
    domain_id: str
    parent_id: str | None = None
    """The project above it; None = it stands directly in its domain."""
    description: str = ""
    enabled: bool = True
    tags: tuple[str, ...] = ()
    extra: dict[str, Any] = {}
    """Attributes of a client's own, by name."""
    tokens_after: datetime | None = None
    """Tokens for this project that were issued up to this moment are void."""


class ProjectFilter(Record):
    """What a list of projects is narrowed to; None = not by this."""

    ids: tuple[str, ...] | None = None
    domain_id: str | None = None
    parent_id: str | None = None
    """A project's or a domain's id."""
    name: str | None = None
    enabled: bool | None = None
    tags: tuple[str, ...] = ()
    """Has all of these."""
    tags_any: tuple[str, ...] = ()
    """Has one of these."""
    not_tags: tuple[str, ...] = ()
    """Has not all of these."""
    not_tags_any: tuple[str, ...] = ()
    """Has none of these."""
