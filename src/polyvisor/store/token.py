"""Tokens in the store: which are revoked, and what a token stands for now."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from sqlalchemy import Column, String, Table, bindparam, delete, insert, select

from polyvisor.model.caller import Caller, Named
from polyvisor.model.domain import Domain
from polyvisor.model.errors import Unauthorized
from polyvisor.model.role import with_implied
from polyvisor.model.token import Token
from polyvisor.store.domain import domain
from polyvisor.store.identity_changes import changed
from polyvisor.store.project import project
from polyvisor.store.tables import Moment, metadata
from polyvisor.store.user import user

if TYPE_CHECKING:
    from polyvisor.store.store import Store

revoked_token = Table(
    "revoked_token",
    metadata,
    Column("audit_id", String(64), primary_key=True),
    Column("expires_at", Moment, nullable=False, index=True),
)
_home = (domain.c.id.label("domain_id"), domain.c.name.label("domain_name"),
         domain.c.enabled.label("domain_enabled"), domain.c.tokens_after.label("domain_after"))  # fmt: skip
_user = (
    select(user.c.id, user.c.name, user.c.enabled, user.c.generation, *_home)
    .join_from(user, domain, user.c.domain_id == domain.c.id)
    .where(user.c.id == bindparam("of"))
)
_project = (
    select(project.c.id, project.c.name, project.c.enabled, project.c.tokens_after, project.c.parent_id, *_home)
    .join_from(project, domain, project.c.domain_id == domain.c.id)
    .where(project.c.id == bindparam("of"))
)
_revoked = select(revoked_token.c.audit_id).where(revoked_token.c.audit_id == bindparam("of"))
VOID = "The token is not valid, or no longer. Authenticate again."


class Tokens:
    """The statements on tokens."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def revoke(self, token: Token, now: datetime) -> None:
        """Void a token now; revocations of tokens that have expired by themselves are forgotten."""
        self._sql.execute(delete(revoked_token).where(revoked_token.c.expires_at < now))
        if not self._is_revoked(token.audit_id):
            self._sql.execute(insert(revoked_token), {"audit_id": token.audit_id, "expires_at": token.expires_at})
        changed(self._store)

    def caller(self, token: Token) -> Caller:
        """The user, scope and roles that a token stands for now. Its expiry is the opener's to check.

        Raises Unauthorized where the token is revoked, its user or scope is disabled or gone, the password has changed
        since, or no role is left on the scope.
        """
        if self._is_revoked(token.audit_id):
            raise Unauthorized(VOID)
        found = self._sql.execute(_user, {"of": token.user_id}).first()
        holder = _usable(found, token)
        if holder.generation != token.user_generation:
            raise Unauthorized(VOID)
        caller = Caller(
            token=token,
            user_id=token.user_id,
            user_name=holder.name,
            user_domain=Named(id=holder.domain_id, name=holder.domain_name),
        )
        if token.project_id is not None:
            return self._on_project(token, caller, token.project_id)
        if token.domain_id is not None:
            return self._on_domain(token, caller, token.domain_id)
        if token.system:
            roles = self._store.assignment.roles_on_system(token.user_id)
            return replace(caller, system=True, **self._named(roles))
        return caller

    def _on_project(self, token: Token, caller: Caller, project_id: str) -> Caller:
        found = _usable(self._sql.execute(_project, {"of": project_id}).first(), token)
        if _voided(found.tokens_after, token):
            raise Unauthorized(VOID)
        above: tuple[str, ...] = ()
        if found.parent_id is not None:
            chain = self._store.project.above(project_id)
            if not all(record.enabled for record in chain):
                raise Unauthorized(VOID)
            above = tuple(record.id for record in chain)
        roles = self._store.assignment.roles_on_project(token.user_id, project_id, above, found.domain_id)
        named = self._named(roles, token.application_credential_id)
        home = Named(id=found.domain_id, name=found.domain_name)
        return replace(caller, project_id=project_id, project_name=found.name, project_domain=home, **named)

    def _on_domain(self, token: Token, caller: Caller, domain_id: str) -> Caller:
        record: Domain | None = self._store.domain.find(domain_id)
        if record is None or not record.enabled or _voided(record.tokens_after, token):
            raise Unauthorized(VOID)
        roles = self._store.assignment.roles_on_domain(token.user_id, domain_id)
        return replace(caller, domain=Named(id=record.id, name=record.name), **self._named(roles))

    def _named(self, role_ids: set[str], credential_id: str | None = None) -> dict[str, object]:
        every, implied = self._store.role.all(), self._store.role.implied()
        held = with_implied(role_ids, implied)
        if credential_id is not None:
            credential = self._store.application_credential.find(credential_id)
            # A credential promises its roles: it ends when its user has lost one of them.
            if credential is None or not held.issuperset(credential.role_ids):
                raise Unauthorized(VOID)
            held = with_implied(credential.role_ids, implied)
        # A domain's own role is only a name for what it implies.
        roles = [every[role_id] for role_id in held if role_id in every and every[role_id].domain_id is None]
        if not roles:
            raise Unauthorized(VOID)
        names = tuple(Named(id=role.id, name=role.name) for role in sorted(roles, key=lambda role: role.name))
        return {"roles": names, "role_names": frozenset(name.name for name in names)}

    def _is_revoked(self, audit_id: str) -> bool:
        return self._sql.execute(_revoked, {"of": audit_id}).first() is not None


def _usable(row: Any, token: Token) -> Any:
    if row is None or not row.enabled or not row.domain_enabled:
        raise Unauthorized(VOID)
    if _voided(row.domain_after, token):
        raise Unauthorized(VOID)
    return row


def _voided(tokens_after: datetime | None, token: Token) -> bool:
    return tokens_after is not None and token.issued_at <= tokens_after
