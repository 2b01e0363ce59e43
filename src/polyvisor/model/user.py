"""Users, and what is known of their passwords."""

from datetime import datetime
from typing import Any

from polyvisor.model.record import Record


class User(Record):
    """A user as the store has it."""

    id: str
    name: str
    domain_id: str
    enabled: bool = True
    description: str | None = None
    email: str | None = None
    default_project_id: str | None = None
    password_hash: str | None = None
    """argon2's encoded form; None = no password opens this account."""
    extra: dict[str, Any] = {}
    """Attributes of a client's own, by name."""
    generation: int = 0
    """Grows with every new password and whenever the user is disabled: tokens of an earlier one are void."""


class UserFilter(Record):
    """What a list of users is narrowed to; None = not by this."""

    ids: tuple[str, ...] | None = None
    domain_id: str | None = None
    group_id: str | None = None
    name: str | None = None
    enabled: bool | None = None


class LoginFailures(Record):
    """Failed logins of one account in a row."""

    count: int
    last_at: datetime
