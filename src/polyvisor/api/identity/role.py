"""Roles."""

from typing import Any

import msgspec
from msgspec import UNSET

from polyvisor.api.identity.common import (
    ADMIN,
    READ,
    Description,
    Id,
    LongName,
    Maybe,
    Options,
    facts,
    fresh_id,
    given,
    limit_of,
    links,
    page,
)
from polyvisor.api.kit import Call, Page, Reply, Resource, Rule
from polyvisor.model.role import Role

roles = Resource("/roles")
_READ = f"{READ} or (role:manager and domain_id:%(target.caller.domain_id)s)"
RULES = [
    Rule(name="identity:get_role", check=_READ, description="See a role: administrators, and managers of a domain."),
    Rule(name="identity:list_roles", check=_READ, description="List roles: administrators, and managers of a domain."),
    Rule(name="identity:create_role", check=ADMIN, description="Make a role."),
    Rule(name="identity:update_role", check=ADMIN, description="Change a role."),
    Rule(name="identity:delete_role", check=ADMIN, description="Delete a role and its assignments."),
]


class NewRole(msgspec.Struct, forbid_unknown_fields=True):
    """The body that makes a role."""

    name: LongName
    domain_id: Id | None = None
    description: Description | None = None
    options: Options = {}


class RoleChange(msgspec.Struct, forbid_unknown_fields=True):
    """The body that changes a role."""

    name: LongName | Maybe = UNSET
    description: Description | Maybe | None = UNSET
    options: Options | Maybe = UNSET


class RoleQuery(Page, frozen=True, kw_only=True):
    """What a list of roles is narrowed to; without a domain, the roles of the cloud."""

    name: str | None = None
    domain_id: str | None = None


def view(call: Call, record: Role) -> dict[str, Any]:
    """A role as Keystone shows it."""
    shown = facts(record, "id", "name", "domain_id", "description")
    return {**shown, "options": {}, "links": links(call, f"/roles/{record.id}")}


def _own(call: Call) -> dict[str, Any]:
    return {"target.caller.domain_id": call.caller.domain_id}


@roles.route("GET", policy="identity:list_roles", query=RoleQuery, checked_by_handler=True)
def index(call: Call) -> Reply:
    """Roles."""
    query: RoleQuery = call.query
    call.require("identity:list_roles", _own(call))
    limit = limit_of(call, query.limit)
    found = call.store.role.list(name=query.name, domain_id=query.domain_id, limit=limit, marker=query.marker)
    return page(call, "roles", [view(call, record) for record in found], found, limit)


@roles.route("POST", policy="identity:create_role", body=NewRole, key="role")
def create(call: Call) -> Reply:
    """A new role."""
    body: NewRole = call.body
    if body.domain_id is not None:
        call.store.domain.get(body.domain_id)
    record = Role(id=fresh_id(call), name=body.name, domain_id=body.domain_id, description=body.description)
    call.store.role.create(record)
    return Reply(201, {"role": view(call, record)})


@roles.route("GET", "/{id}", policy="identity:get_role", checked_by_handler=True)
def show(call: Call) -> Reply:
    """One role."""
    call.require("identity:get_role", _own(call))
    return Reply(200, {"role": view(call, call.store.role.get(call.path["id"]))})


@roles.route("PATCH", "/{id}", policy="identity:update_role", body=RoleChange, key="role")
def update(call: Call) -> Reply:
    """Change a role."""
    record = call.store.role.get(call.path["id"])
    return Reply(200, {"role": view(call, call.store.role.update(record, given(call.body, "name", "description")))})


@roles.route("DELETE", "/{id}", policy="identity:delete_role")
def delete(call: Call) -> Reply:
    """Delete a role."""
    call.store.role.remove(call.store.role.get(call.path["id"]).id)
    return Reply(204)
