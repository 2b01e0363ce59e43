"""Domains."""

from typing import Any

import msgspec
from msgspec import UNSET

from polyvisor.api.identity.common import (
    ADMIN,
    READ,
    Description,
    Maybe,
    Name,
    Options,
    facts,
    fresh_id,
    given,
    guarded,
    limit_of,
    links,
    merged,
    page,
    with_extra,
)
from polyvisor.api.kit import Call, Page, Reply, Resource, Rule
from polyvisor.model.domain import Domain, DomainFilter
from polyvisor.model.errors import Invalid

domains = Resource("/domains")
RULES = [
    Rule(
        name="identity:get_domain",
        check=f"{READ} or (role:reader and domain_id:%(target.domain.id)s) or project_domain_id:%(target.domain.id)s",
        description="See a domain: administrators, readers of the domain, and whoever has a project in it.",
    ),
    Rule(
        name="identity:list_domains",
        check=f"{READ} or (role:reader and domain_id:%(target.domain_id)s)",
        description="List domains; a token for a domain sees that one.",
    ),
    Rule(name="identity:create_domain", check=ADMIN, description="Make a domain."),
    Rule(name="identity:update_domain", check=ADMIN, description="Change a domain, also enable and disable it."),
    Rule(name="identity:delete_domain", check=ADMIN, description="Delete a disabled domain with all that is in it."),
]


class NewDomain(msgspec.Struct, forbid_unknown_fields=True):
    """The body that makes a domain."""

    name: Name
    description: Description | None = None
    enabled: bool = True
    options: Options = {}
    tags: list[str] = []


class DomainChange(msgspec.Struct, forbid_unknown_fields=True):
    """The body that changes a domain."""

    name: Name | Maybe = UNSET
    description: Description | Maybe | None = UNSET
    enabled: bool | Maybe = UNSET
    options: Options | Maybe = UNSET


class DomainQuery(Page, frozen=True, kw_only=True):
    """What a list of domains is narrowed to."""

    name: str | None = None
    enabled: bool | None = None


def view(call: Call, record: Domain) -> dict[str, Any]:
    """A domain as Keystone shows it."""
    path = f"/domains/{record.id}"
    shown = facts(record, "id", "name", "description", "enabled")
    return {**record.extra, **shown, "tags": [], "options": {}, "links": links(call, path)}


def look(call: Call, rule: str, domain_id: str) -> Domain:
    """A domain, once policy allows `rule` on it."""
    target = {"target.domain.id": domain_id}
    return guarded(call, rule, call.store.domain.find(domain_id), target, f"Could not find domain: {domain_id}.")


@domains.route("GET", policy="identity:list_domains", query=DomainQuery, checked_by_handler=True)
def index(call: Call) -> Reply:
    """Domains."""
    query: DomainQuery = call.query
    own = call.caller.domain_id
    call.require("identity:list_domains", {"target.domain_id": own})
    by = DomainFilter(ids=None if own is None else (own,), name=query.name, enabled=query.enabled)
    limit = limit_of(call, query.limit)
    found = call.store.domain.list(by, limit=limit, marker=query.marker)
    return page(call, "domains", [view(call, record) for record in found], found, limit)


@domains.route("POST", policy="identity:create_domain", body=dict[str, Any], key="domain")
def create(call: Call) -> Reply:
    """A new domain."""
    body, extra = with_extra(call, NewDomain, "domain")
    if body.tags:
        raise Invalid("The field 'domain.tags' is not supported: projects have tags, domains have none.")
    record = Domain(
        id=fresh_id(call),
        name=body.name,
        description=body.description or "",
        enabled=body.enabled,
        extra=merged({}, extra),
    )
    call.store.domain.create(record)
    return Reply(201, {"domain": view(call, record)})


@domains.route("GET", "/{id}", policy="identity:get_domain", checked_by_handler=True)
def show(call: Call) -> Reply:
    """One domain."""
    return Reply(200, {"domain": view(call, look(call, "identity:get_domain", call.path["id"]))})


@domains.route("PATCH", "/{id}", policy="identity:update_domain", body=dict[str, Any], key="domain")
def update(call: Call) -> Reply:
    """Change a domain."""
    body, extra = with_extra(call, DomainChange, "domain")
    changes = given(body, "name", "description", "enabled")
    if "description" in changes:
        changes["description"] = changes["description"] or ""
    record = call.store.domain.get(call.path["id"])
    if extra:
        changes["extra"] = merged(record.extra, extra)
    record = call.store.domain.update(record, changes, call.now)
    return Reply(200, {"domain": view(call, record)})


@domains.route("DELETE", "/{id}", policy="identity:delete_domain")
def delete(call: Call) -> Reply:
    """Delete a domain with all that is in it."""
    call.store.domain.delete(call.store.domain.get(call.path["id"]))
    return Reply(204)
