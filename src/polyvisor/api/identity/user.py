"""Users."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta

from polyvisor.api.identity.auth_scope import projects_of
from polyvisor.api.identity.common import (
    Description,
    Id,
    LongName,
    Maybe,
    Options,
    domain_manage,
    domain_read,
    facts,
    fresh_id,
    given,
    guarded,
    home_domain,
    limit_of,
    links,
    listed_domain,
    merged,
    page,
    whole,
    with_extra,
)
from polyvisor.api.identity.group import view as group_view
from polyvisor.api.identity.passwords import Passwords
from polyvisor.api.identity.project import view as project_view
from polyvisor.api.identity.settings import IdentitySettings
from polyvisor.api.kit import Call, Page, Reply, Resource, Rule
from polyvisor.model.errors import Invalid
from polyvisor.model.group import GroupFilter
from polyvisor.model.user import User, UserFilter
from polyvisor.store.store import Store

users = Resource("/users")
_READ = domain_read("target.user.domain_id")
_MANAGE = domain_manage("target.user.domain_id")
_OWN = "user_id:%(target.user.id)s"
RULES = [
    Rule(
        name="identity:get_user",
        check=f"{_READ} or {_OWN}",
        description="See a user: administrators, readers of its domain, and the user itself.",
    ),
    Rule(
        name="identity:list_users",
        check=domain_read("target.domain_id"),
        description="List users; a token for a domain sees those of that domain.",
    ),
    Rule(name="identity:create_user", check=_MANAGE, description="Make a user."),
    Rule(name="identity:update_user", check=_MANAGE, description="Change a user, also its password, or disable it."),
    Rule(name="identity:delete_user", check=_MANAGE, description="Delete a user with its roles and credentials."),
    Rule(name="identity:list_user_projects", check=f"{_READ} or {_OWN}", description="List a user's projects."),
    Rule(name="identity:list_groups_for_user", check=f"{_READ} or {_OWN}", description="List a user's groups."),
]
Password = Annotated[str, Meta(max_length=4096)]
Email = Annotated[str, Meta(max_length=255)]


class NewUser(msgspec.Struct, forbid_unknown_fields=True):
    """The body that makes a user."""

    name: LongName
    domain_id: Id | None = None
    password: Password | None = None
    default_project_id: Id | None = None
    description: Description | None = None
    email: Email | None = None
    enabled: bool = True
    options: Options = {}


class UserChange(msgspec.Struct, forbid_unknown_fields=True):
    """The body that changes a user."""

    name: LongName | Maybe = UNSET
    password: Password | Maybe | None = UNSET
    default_project_id: Id | Maybe | None = UNSET
    description: Description | Maybe | None = UNSET
    email: Email | Maybe | None = UNSET
    enabled: bool | Maybe = UNSET
    options: Options | Maybe = UNSET
    domain_id: Id | Maybe = UNSET


class UserQuery(Page, frozen=True, kw_only=True):
    """What a list of users is narrowed to."""

    name: str | None = None
    domain_id: str | None = None
    enabled: bool | None = None


def view(call: Call, record: User) -> dict[str, Any]:
    """A user as Keystone shows it; never its hash."""
    shown = {**record.extra, **facts(record, "id", "name", "domain_id", "enabled")}
    for name in ("default_project_id", "description", "email"):
        if getattr(record, name) is not None:
            shown[name] = getattr(record, name)
    return {**shown, "password_expires_at": None, "options": {}, "links": links(call, f"/users/{record.id}")}


def look(call: Call, store: Store, rule: str, user_id: str) -> User:
    """A user, once policy allows `rule` on it."""
    record = store.user.find(user_id)
    target = {"target.user.id": user_id, "target.user.domain_id": record.domain_id if record else None}
    return guarded(call, rule, record, target, f"Could not find user: {user_id}.")


def hash_new(call: Call, password: str | None) -> str | None:
    """The hash of a password that is to be set; None = none. Raises Invalid where it is too short."""
    if password is None:
        return None
    least = call.part(IdentitySettings).min_password_length
    if len(password) < least:
        raise Invalid(f"The field 'user.password' is invalid: a string of at least {least} characters is expected.")
    return call.part(Passwords).hash(password)


@users.route("GET", policy="identity:list_users", query=UserQuery, checked_by_handler=True)
def index(call: Call) -> Reply:
    """Users."""
    query: UserQuery = call.query
    home = listed_domain(call, query.domain_id)
    call.require("identity:list_users", {"target.domain_id": home})
    limit = limit_of(call, query.limit)
    by = UserFilter(domain_id=home, name=query.name, enabled=query.enabled)
    found = call.store.user.list(by, limit=limit, marker=query.marker)
    return page(call, "users", [view(call, record) for record in found], found, limit)


@users.route("POST", policy="identity:create_user", body=dict[str, Any], key="user", checked_by_handler=True,
             transaction=False, slow=True)  # fmt: skip
def create(call: Call) -> Reply:
    """A new user. The password is hashed before the transaction begins."""
    body, extra = with_extra(call, NewUser, "user")
    domain_id = home_domain(call, body.domain_id)
    call.require("identity:create_user", {"target.user.domain_id": domain_id})
    record = User(
        id=fresh_id(call),
        name=body.name,
        domain_id=domain_id,
        enabled=body.enabled,
        description=body.description,
        email=body.email,
        default_project_id=body.default_project_id,
        extra=merged({}, extra),
        password_hash=hash_new(call, body.password),
    )
    with call.database.write() as store:
        store.domain.get(domain_id)
        store.user.create(record)
    return Reply(201, {"user": view(call, record)})


@users.route("GET", "/{id}", policy="identity:get_user", checked_by_handler=True)
def show(call: Call) -> Reply:
    """One user."""
    return Reply(200, {"user": view(call, look(call, call.store, "identity:get_user", call.path["id"]))})


@users.route("PATCH", "/{id}", policy="identity:update_user", body=dict[str, Any], key="user", checked_by_handler=True,
             transaction=False, slow=True)  # fmt: skip
def update(call: Call) -> Reply:
    """Change a user."""
    body, extra = with_extra(call, UserChange, "user")
    with call.database.read() as store:
        record = look(call, store, "identity:update_user", call.path["id"])
    if body.domain_id is not UNSET and body.domain_id != record.domain_id:
        raise Invalid("The field 'user.domain_id' cannot be changed.")
    changes = given(body, "name", "default_project_id", "description", "email", "enabled")
    if body.password is not UNSET:
        changes["password_hash"] = hash_new(call, body.password)
    with call.database.write() as store:
        record = store.user.get(record.id)
        if extra:
            changes["extra"] = merged(record.extra, extra)
        changed = store.user.update(record, changes)
        if "password_hash" in changes:
            store.user.forget_failures(record.id)
    return Reply(200, {"user": view(call, changed)})


@users.route("DELETE", "/{id}", policy="identity:delete_user", checked_by_handler=True)
def delete(call: Call) -> Reply:
    """Delete a user."""
    call.store.user.remove(look(call, call.store, "identity:delete_user", call.path["id"]).id)
    return Reply(204)


@users.route("GET", "/{id}/projects", policy="identity:list_user_projects", checked_by_handler=True)
def projects(call: Call) -> Reply:
    """The enabled projects on which a user has a role."""
    record = look(call, call.store, "identity:list_user_projects", call.path["id"])
    return whole(call, "projects", [project_view(call, project) for project in projects_of(call, record.id)])


class GroupQuery(msgspec.Struct, frozen=True):
    """What a list of a user's groups is narrowed to."""

    name: str | None = None


@users.route("GET", "/{id}/groups", policy="identity:list_groups_for_user", query=GroupQuery, checked_by_handler=True)
def groups(call: Call) -> Reply:
    """The groups of a user."""
    record = look(call, call.store, "identity:list_groups_for_user", call.path["id"])
    found = call.store.group.list(GroupFilter(user_id=record.id, name=call.query.name))
    return whole(call, "groups", [group_view(call, group) for group in found])
