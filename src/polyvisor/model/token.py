"""Tokens: what a caller proved, for which scope, and until when."""

from datetime import datetime

from polyvisor.model.record import Record


class Token(Record):
    """The sealed content of a token. Names, roles and validity are looked up, so that changes hold at once."""

    user_id: str
    methods: tuple[str, ...]
    """How the caller proved who it is: "password", "token", "application_credential"."""
    user_generation: int
    """The user's `generation` when it proved who it is."""
    project_id: str | None = None
    domain_id: str | None = None
    system: bool = False
    """At most one of project, domain and system is the scope; none = unscoped."""
    application_credential_id: str | None = None
    audit_id: str
    """Random, names this token in logs and revocations."""
    audit_chain: str
    """The audit id of the first token of the chain that led to this one."""
    issued_at: datetime
    expires_at: datetime
