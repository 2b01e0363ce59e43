"""Groups, and who is in them."""

from typing import Any

import msgspec
from msgspec import UNSET

from polyvisor.api.identity.common import (
    Description,
    Id,
    Maybe,
    Name,
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
    with_extra,
)
from polyvisor.api.kit import Call, Page, Reply, Resource, Rule
from polyvisor.model.errors import Invalid
from polyvisor.model.group import Group, GroupFilter

groups = Resource("/groups")
_READ = domain_read("target.group.domain_id")
_MANAGE = domain_manage("target.group.domain_id")
RULES = [
    Rule(name="identity:get_group", check=_READ, description="See a group."),
    Rule(
        name="identity:list_groups",
        check=domain_read("target.domain_id"),
        description="List groups; a token for a domain sees those of that domain.",
    ),
    Rule(name="identity:create_group", check=_MANAGE, description="Make a group."),
    Rule(name="identity:update_group", check=_MANAGE, description="Change a group."),
    Rule(name="identity:delete_group", check=_MANAGE, description="Delete a group and its roles."),
]


class NewGroup(msgspec.Struct, forbid_unknown_fields=True):
    """The body that makes a group."""

    name: Name
    domain_id: Id | None = None
    description: Description | None = None


class GroupChange(msgspec.Struct, forbid_unknown_fields=True):
    """The body that changes a group."""

    name: Name | Maybe = UNSET
    description: Description | Maybe | None = UNSET
    domain_id: Id | Maybe = UNSET


class GroupQuery(Page, frozen=True, kw_only=True):
    """What a list of groups is narrowed to."""

    name: str | None = None
    domain_id: str | None = None


def view(call: Call, record: Group) -> dict[str, Any]:
    """A group as Keystone shows it."""
    shown = facts(record, "id", "name", "domain_id", "description")
    return {**record.extra, **shown, "links": links(call, f"/groups/{record.id}")}


def look(call: Call, rule: str, group_id: str, **target: str) -> Group:
    """A group, once policy allows `rule` on it."""
    record = call.store.group.find(group_id)
    whole = {"target.group.id": group_id, "target.group.domain_id": record.domain_id if record else None, **target}
    return guarded(call, rule, record, whole, f"Could not find group: {group_id}.")


@groups.route("GET", policy="identity:list_groups", query=GroupQuery, checked_by_handler=True)
def index(call: Call) -> Reply:
    """Groups."""
    query: GroupQuery = call.query
    home = listed_domain(call, query.domain_id)
    call.require("identity:list_groups", {"target.domain_id": home})
    limit = limit_of(call, query.limit)
    found = call.store.group.list(GroupFilter(domain_id=home, name=query.name), limit=limit, marker=query.marker)
    return page(call, "groups", [view(call, record) for record in found], found, limit)


@groups.route("POST", policy="identity:create_group", body=dict[str, Any], key="group", checked_by_handler=True)
def create(call: Call) -> Reply:
    """A new group."""
    body, extra = with_extra(call, NewGroup, "group")
    domain_id = home_domain(call, body.domain_id)
    call.require("identity:create_group", {"target.group.domain_id": domain_id})
    call.store.domain.get(domain_id)
    record = Group(
        id=fresh_id(call),
        name=body.name,
        domain_id=domain_id,
        description=body.description or "",
        extra=merged({}, extra),
    )
    call.store.group.create(record)
    return Reply(201, {"group": view(call, record)})


@groups.route("GET", "/{id}", policy="identity:get_group", checked_by_handler=True)
def show(call: Call) -> Reply:
    """One group."""
    return Reply(200, {"group": view(call, look(call, "identity:get_group", call.path["id"]))})


@groups.route(
    "PATCH", "/{id}", policy="identity:update_group", body=dict[str, Any], key="group", checked_by_handler=True
)
def update(call: Call) -> Reply:
    """Change a group."""
    body, extra = with_extra(call, GroupChange, "group")
    record = look(call, "identity:update_group", call.path["id"])
    if body.domain_id is not UNSET and body.domain_id != record.domain_id:
        raise Invalid("The field 'group.domain_id' cannot be changed.")
    changes = given(body, "name", "description")
    if "description" in changes:
        changes["description"] = changes["description"] or ""
    if extra:
        changes["extra"] = merged(record.extra, extra)
    return Reply(200, {"group": view(call, call.store.group.update(record, changes))})


@groups.route("DELETE", "/{id}", policy="identity:delete_group", checked_by_handler=True)
def delete(call: Call) -> Reply:
    """Delete a group."""
    call.store.group.remove(look(call, "identity:delete_group", call.path["id"]).id)
    return Reply(204)
