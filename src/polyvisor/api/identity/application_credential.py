"""Application credentials: what a user gives a program instead of its password."""

import secrets
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from polyvisor.api.identity.common import ADMIN, READ, Description, LongName, fresh_id, limit_of, links, page
from polyvisor.api.identity.passwords import Passwords
from polyvisor.api.kit import Call, Page, Reply, Resource, Rule
from polyvisor.api.kit.times import parse
from polyvisor.model.application_credential import ApplicationCredential
from polyvisor.model.errors import Forbidden, Invalid
from polyvisor.model.role import Role
from polyvisor.store.store import Store

credentials = Resource("/users/{user}/application_credentials")
_OWN = "user_id:%(target.user.id)s"
RULES = [
    Rule(
        name="identity:get_application_credential",
        check=f"{READ} or {_OWN}",
        description="See an application credential, without its secret: its user, and administrators.",
    ),
    Rule(
        name="identity:list_application_credentials",
        check=f"{READ} or {_OWN}",
        description="List a user's application credentials.",
    ),
    Rule(
        name="identity:create_application_credential",
        check=_OWN,
        description="Make an application credential: for oneself only.",
    ),
    Rule(
        name="identity:delete_application_credential",
        check=f"{ADMIN} or {_OWN}",
        description="Delete an application credential; its tokens are void with it.",
    ),
]


class RoleRef(msgspec.Struct, forbid_unknown_fields=True):
    """A role by id or by name."""

    id: str | None = None
    name: str | None = None


class NewCredential(msgspec.Struct, forbid_unknown_fields=True):
    """The body that makes an application credential."""

    name: LongName
    secret: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    description: Description | None = None
    expires_at: str | None = None
    roles: list[RoleRef] | None = None
    unrestricted: bool = False
    project_id: str | None = None
    access_rules: list[Any] | None = None


class CredentialQuery(Page, frozen=True, kw_only=True):
    """What a list of application credentials is narrowed to."""

    name: str | None = None


def view(call: Call, record: ApplicationCredential, roles: dict[str, Role]) -> dict[str, Any]:
    """An application credential as Keystone shows it; never its secret or hash."""
    expires_at = record.expires_at
    return {
        "id": record.id,
        "name": record.name,
        "description": record.description,
        "user_id": record.user_id,
        "project_id": record.project_id,
        "system": None,
        "expires_at": expires_at.strftime("%Y-%m-%dT%H:%M:%S.%f") if expires_at is not None else None,
        "unrestricted": record.unrestricted,
        "roles": [
            {"id": role_id, "name": roles[role_id].name, "domain_id": roles[role_id].domain_id}
            for role_id in record.role_ids
            if role_id in roles
        ],
        "links": links(call, f"/users/{record.user_id}/application_credentials/{record.id}"),
    }


def _target(call: Call) -> dict[str, Any]:
    return {"target.user.id": call.path["user"]}


def _check_unrestricted(call: Call, store: Store) -> None:
    credential_id = call.caller.token.application_credential_id
    if credential_id is None:
        return
    credential = store.application_credential.find(credential_id)
    if credential is None or not credential.unrestricted:
        raise Forbidden("This application credential may not make or delete others: it was not made as unrestricted.")


@credentials.route(
    "GET", policy="identity:list_application_credentials", query=CredentialQuery, checked_by_handler=True
)
def index(call: Call) -> Reply:
    """A user's application credentials."""
    call.require("identity:list_application_credentials", _target(call))
    query: CredentialQuery = call.query
    limit = limit_of(call, query.limit)
    user = call.store.user.get(call.path["user"])
    found = call.store.application_credential.list(user.id, name=query.name, limit=limit, marker=query.marker)
    roles = call.store.role.all()
    return page(call, "application_credentials", [view(call, record, roles) for record in found], found, limit)


@credentials.route(
    "POST",
    policy="identity:create_application_credential",
    body=NewCredential,
    key="application_credential",
    checked_by_handler=True,
    transaction=False,
    slow=True,
)
def create(call: Call) -> Reply:
    """A new application credential for the caller's project. The secret is in this answer, and nowhere after it."""
    call.require("identity:create_application_credential", _target(call))
    body: NewCredential = call.body
    project_id = call.project_id
    if body.project_id not in (None, project_id):
        raise Forbidden("An application credential is made for the project of the token that asks for it.")
    if body.access_rules:
        raise Invalid("The field 'application_credential.access_rules' is not supported: narrow the roles instead.")
    expires_at = _expiry(call, body.expires_at)
    secret = body.secret or secrets.token_urlsafe(64)
    hashed = call.part(Passwords).hash(secret)
    with call.database.write() as store:
        _check_unrestricted(call, store)
        record = ApplicationCredential(
            id=fresh_id(call),
            name=body.name,
            user_id=call.caller.user_id,
            project_id=project_id,
            secret_hash=hashed,
            description=body.description,
            role_ids=_roles(call, body.roles),
            expires_at=expires_at,
            unrestricted=body.unrestricted,
            created_at=call.now,
        )
        store.application_credential.create(record)
        shown = view(call, record, store.role.all())
    return Reply(201, {"application_credential": {**shown, "secret": secret}})


def _expiry(call: Call, text: str | None) -> datetime | None:
    if text is None:
        return None
    expires_at = parse(text, "application_credential.expires_at")
    if expires_at <= call.now:
        raise Invalid("The field 'application_credential.expires_at' is invalid: a moment to come is expected.")
    return expires_at


def _roles(call: Call, asked: list[RoleRef] | None) -> tuple[str, ...]:
    """The ids of the roles that were asked for, all of them the caller's own; those of the caller where none were."""
    held = call.caller.roles
    if asked is None:
        return tuple(role.id for role in held)
    found: list[str] = []
    for one in asked:
        match = [role.id for role in held if one.id == role.id or (one.id is None and one.name == role.name)]
        if not match:
            raise Invalid(f"You do not have the role {one.id or one.name} on this project: it cannot be passed on.")
        found.append(match[0])
    if not found:
        raise Invalid("The field 'application_credential.roles' is invalid: at least one role is expected.")
    return tuple(dict.fromkeys(found))


@credentials.route("GET", "/{id}", policy="identity:get_application_credential", checked_by_handler=True)
def show(call: Call) -> Reply:
    """One application credential."""
    call.require("identity:get_application_credential", _target(call))
    record = call.store.application_credential.get(call.path["user"], call.path["id"])
    return Reply(200, {"application_credential": view(call, record, call.store.role.all())})


@credentials.route("DELETE", "/{id}", policy="identity:delete_application_credential", checked_by_handler=True)
def delete(call: Call) -> Reply:
    """Delete an application credential."""
    call.require("identity:delete_application_credential", _target(call))
    _check_unrestricted(call, call.store)
    record = call.store.application_credential.get(call.path["user"], call.path["id"])
    call.store.application_credential.remove(record.id)
    return Reply(204)
