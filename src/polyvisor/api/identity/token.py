"""Tokens: asked for, looked at, revoked."""

import secrets
from datetime import timedelta

import msgspec

from polyvisor.api.identity.common import READ
from polyvisor.api.identity.login import Proven, prove
from polyvisor.api.identity.login_body import Auth, DomainRef, ProjectRef, Scope
from polyvisor.api.identity.settings import IdentitySettings
from polyvisor.api.identity.token_view import view
from polyvisor.api.kit import PUBLIC, Call, Reply, Resource, Rule
from polyvisor.api.kit.authenticate import Authenticator
from polyvisor.api.kit.call import UNIDENTIFIED
from polyvisor.api.kit.seal import audit_id
from polyvisor.model.caller import Caller
from polyvisor.model.errors import Invalid, NotFound, Unauthorized
from polyvisor.model.token import Token
from polyvisor.store.store import Store

tokens = Resource("/auth/tokens")
RULES = [
    Rule(
        name="identity:check_token",
        check=f"{READ} or rule:token_subject",
        description="Ask whether a token is valid.",
    ),
    Rule(
        name="identity:validate_token",
        check=f"{READ} or role:service or rule:token_subject",
        description="Look at a token: its user, scope, roles and catalogue.",
    ),
    Rule(
        name="identity:revoke_token",
        check="rule:admin_required or rule:token_subject",
        description="Revoke a token.",
    ),
]


class TokenQuery(msgspec.Struct, frozen=True):
    """`nocatalog`, with or without a value, leaves the catalogue out."""

    nocatalog: str | None = None
    allow_expired: bool = False


@tokens.route("POST", policy=PUBLIC, body=Auth, key="auth", query=TokenQuery, transaction=False, slow=True)
def issue(call: Call) -> Reply:
    """A token for whoever proves to be somebody."""
    auth: Auth = call.body
    proven = prove(call, auth.identity)
    with call.database.read() as store:
        token = _token(call, store, proven, auth.scope)
        caller = _resolve(store, token, proven, wanted=auth.scope is not None)
        text = call.part(Authenticator).seal.seal(store, caller.token)
        shown = view(store, caller, with_catalog=call.query.nocatalog is None)
    return Reply(201, {"token": shown}, {"X-Subject-Token": text, "Vary": "X-Auth-Token"})


def _resolve(store: Store, token: Token, proven: Proven, *, wanted: bool) -> Caller:
    """The token's caller; where the default project is of no use, and no scope was asked for, without a scope."""
    try:
        return store.token.caller(token)
    except Unauthorized:
        if wanted or proven.credential is not None or token.project_id is None:
            raise Unauthorized(UNIDENTIFIED) from None
        return store.token.caller(msgspec.structs.replace(token, project_id=None))


def _token(call: Call, store: Store, proven: Proven, scope: Scope | str | None) -> Token:
    project_id, domain_id, system = _scope(store, proven, scope)
    audit = audit_id(secrets.token_bytes(16))
    expires_at = call.now + timedelta(seconds=call.part(IdentitySettings).token_lifetime_seconds)
    if proven.earlier is not None:
        expires_at = proven.earlier.expires_at
    credential = proven.credential
    if credential is not None and credential.expires_at is not None:
        expires_at = min(expires_at, credential.expires_at)
    return Token(
        user_id=proven.user.id,
        user_generation=proven.user.generation,
        methods=proven.methods,
        project_id=project_id,
        domain_id=domain_id,
        system=system,
        application_credential_id=credential.id if credential is not None else None,
        audit_id=audit,
        audit_chain=proven.earlier.audit_chain if proven.earlier is not None else audit,
        issued_at=call.now,
        expires_at=expires_at,
    )


def _scope(store: Store, proven: Proven, scope: Scope | str | None) -> tuple[str | None, str | None, bool]:
    if proven.credential is not None:
        if scope is not None:
            raise Unauthorized("An application credential has its own project: ask for no scope.")
        return proven.credential.project_id, None, False
    if scope is None:
        return proven.user.default_project_id, None, False
    if isinstance(scope, str):
        if scope != "unscoped":
            raise Invalid("The field 'auth.scope' is invalid: an object, or \"unscoped\", is expected.")
        return None, None, False
    asked = [part for part in (scope.project, scope.domain, scope.system, scope.unscoped) if part is not None]
    if len(asked) != 1:
        raise Invalid(
            "The field 'auth.scope' is invalid: exactly one of project, domain, system and unscoped is expected."
        )
    if scope.project is not None:
        return _project(store, scope.project), None, False
    if scope.domain is not None:
        return None, _domain(store, scope.domain), False
    if scope.system is not None and scope.system != {"all": True}:
        raise Invalid("The field 'auth.scope.system' is invalid: {\"all\": true} is expected.")
    return None, None, scope.system is not None


def _domain(store: Store, asked: DomainRef) -> str:
    if asked.id is not None:
        return asked.id
    if asked.name is None:
        raise Invalid("The field 'auth.scope' names a domain by its id or its name.")
    found = store.domain.named(asked.name)
    if found is None:
        raise Unauthorized(UNIDENTIFIED)
    return found.id


def _project(store: Store, asked: ProjectRef) -> str:
    if asked.id is not None:
        return asked.id
    if asked.name is None or asked.domain is None:
        raise Invalid("The field 'auth.scope.project' names a project by its id, or by its name and domain.")
    found = store.project.named(_domain(store, asked.domain), asked.name)
    if found is None:
        raise Unauthorized(UNIDENTIFIED)
    return found.id


@tokens.route("GET", policy="identity:validate_token", query=TokenQuery, checked_by_handler=True)
def show(call: Call) -> Reply:
    """What the token in X-Subject-Token stands for."""
    subject, text = _subject(call, "identity:validate_token")
    shown = view(call.store, subject, with_catalog=call.query.nocatalog is None)
    return Reply(200, {"token": shown}, {"X-Subject-Token": text, "Vary": "X-Auth-Token"})


@tokens.route("HEAD", policy="identity:check_token", query=TokenQuery, checked_by_handler=True)
def check(call: Call) -> Reply:
    """Whether the token in X-Subject-Token is valid."""
    _, text = _subject(call, "identity:check_token")
    return Reply(200, None, {"X-Subject-Token": text, "Vary": "X-Auth-Token"})


@tokens.route("DELETE", policy="identity:revoke_token", checked_by_handler=True)
def revoke(call: Call) -> Reply:
    """Void the token in X-Subject-Token."""
    subject, _ = _subject(call, "identity:revoke_token")
    call.store.token.revoke(subject.token, call.now)
    return Reply(204)


def _subject(call: Call, rule: str) -> tuple[Caller, str]:
    text = call.headers.get("x-subject-token")
    if not text:
        raise Invalid("The header X-Subject-Token is required: the token that this is about.")
    try:
        subject = call.part(Authenticator).caller(call.store, text, call.now)
    except Unauthorized:
        call.require(rule, {"target.token.user_id": call.caller.user_id})
        raise NotFound("Could not find token: it is not valid, or no longer.") from None
    call.require(rule, {"target.token.user_id": subject.user_id})
    return subject, text
