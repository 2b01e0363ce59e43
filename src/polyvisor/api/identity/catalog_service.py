"""Services in the catalogue."""

from typing import Any

import msgspec
from msgspec import UNSET

from polyvisor.api.identity.common import (
    ADMIN,
    READ,
    Description,
    LongName,
    Maybe,
    facts,
    fresh_id,
    given,
    limit_of,
    links,
    page,
)
from polyvisor.api.kit import Call, Page, Reply, Resource, Rule
from polyvisor.model.catalog import CatalogService

services = Resource("/services")
RULES = [
    Rule(name="identity:get_service", check=READ, description="See a service of the catalogue."),
    Rule(name="identity:list_services", check=READ, description="List the services of the catalogue."),
    Rule(name="identity:create_service", check=ADMIN, description="Add a service to the catalogue."),
    Rule(name="identity:update_service", check=ADMIN, description="Change a service of the catalogue."),
    Rule(name="identity:delete_service", check=ADMIN, description="Remove a service and its endpoints."),
]


class NewService(msgspec.Struct, forbid_unknown_fields=True):
    """The body that adds a service."""

    type: LongName
    name: str = ""
    description: Description | None = None
    enabled: bool = True


class ServiceChange(msgspec.Struct, forbid_unknown_fields=True):
    """The body that changes a service."""

    type: LongName | Maybe = UNSET
    name: str | Maybe = UNSET
    description: Description | Maybe | None = UNSET
    enabled: bool | Maybe = UNSET


class ServiceQuery(Page, frozen=True, kw_only=True):
    """What a list of services is narrowed to."""

    type: str | None = None
    name: str | None = None


def view(call: Call, record: CatalogService) -> dict[str, Any]:
    """A service as Keystone shows it."""
    shown = facts(record, "id", "type", "name", "enabled")
    if record.description is not None:
        shown["description"] = record.description
    return {**shown, "links": links(call, f"/services/{record.id}")}


@services.route("GET", policy="identity:list_services", query=ServiceQuery)
def index(call: Call) -> Reply:
    """Services."""
    query: ServiceQuery = call.query
    limit = limit_of(call, query.limit)
    found = call.store.catalog.services(service_type=query.type, name=query.name, limit=limit, marker=query.marker)
    return page(call, "services", [view(call, record) for record in found], found, limit)


@services.route("POST", policy="identity:create_service", body=NewService, key="service")
def create(call: Call) -> Reply:
    """A new service."""
    body: NewService = call.body
    record = CatalogService(
        id=fresh_id(call), type=body.type, name=body.name, description=body.description, enabled=body.enabled
    )
    call.store.catalog.create_service(record)
    return Reply(201, {"service": view(call, record)})


@services.route("GET", "/{id}", policy="identity:get_service")
def show(call: Call) -> Reply:
    """One service."""
    return Reply(200, {"service": view(call, call.store.catalog.service(call.path["id"]))})


@services.route("PATCH", "/{id}", policy="identity:update_service", body=ServiceChange, key="service")
def update(call: Call) -> Reply:
    """Change a service."""
    changes = given(call.body, "type", "name", "description", "enabled")
    return Reply(200, {"service": view(call, call.store.catalog.update_service(call.path["id"], changes))})


@services.route("DELETE", "/{id}", policy="identity:delete_service")
def delete(call: Call) -> Reply:
    """Remove a service and its endpoints."""
    call.store.catalog.remove_service(call.store.catalog.service(call.path["id"]).id)
    return Reply(204)
