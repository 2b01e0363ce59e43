"""Endpoints in the catalogue."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta

from polyvisor.api.identity.common import ADMIN, READ, Maybe, facts, fresh_id, given, limit_of, links, page
from polyvisor.api.kit import Call, Page, Reply, Resource, Rule
from polyvisor.model.catalog import Endpoint, Interface
from polyvisor.model.errors import Invalid, NotFound
from polyvisor.model.region import Region

endpoints = Resource("/endpoints")
RULES = [
    Rule(name="identity:get_endpoint", check=READ, description="See an endpoint of the catalogue."),
    Rule(name="identity:list_endpoints", check=READ, description="List the endpoints of the catalogue."),
    Rule(name="identity:create_endpoint", check=ADMIN, description="Add an endpoint to the catalogue."),
    Rule(name="identity:update_endpoint", check=ADMIN, description="Change an endpoint of the catalogue."),
    Rule(name="identity:delete_endpoint", check=ADMIN, description="Remove an endpoint from the catalogue."),
]
Url = Annotated[str, Meta(min_length=1, max_length=2048, pattern=r"^[a-zA-Z0-9+.-]+:.+")]


class NewEndpoint(msgspec.Struct, forbid_unknown_fields=True):
    """The body that adds an endpoint; `region` is the old name of `region_id`."""

    service_id: str
    interface: Interface
    url: Url
    region_id: str | None = None
    region: str | None = None
    name: str | None = None
    enabled: bool = True


class EndpointChange(msgspec.Struct, forbid_unknown_fields=True):
    """The body that changes an endpoint."""

    service_id: str | Maybe = UNSET
    interface: Interface | Maybe = UNSET
    url: Url | Maybe = UNSET
    region_id: str | Maybe | None = UNSET
    region: str | Maybe | None = UNSET
    name: str | Maybe | None = UNSET
    enabled: bool | Maybe = UNSET


class EndpointQuery(Page, frozen=True, kw_only=True):
    """What a list of endpoints is narrowed to."""

    service_id: str | None = None
    interface: Interface | None = None
    region_id: str | None = None
    region: str | None = None


def view(call: Call, record: Endpoint) -> dict[str, Any]:
    """An endpoint as Keystone shows it."""
    shown = facts(record, "id", "service_id", "interface", "url", "region_id", "enabled")
    if record.name is not None:
        shown["name"] = record.name
    return {**shown, "region": record.region_id, "links": links(call, f"/endpoints/{record.id}")}


@endpoints.route("GET", policy="identity:list_endpoints", query=EndpointQuery)
def index(call: Call) -> Reply:
    """Endpoints."""
    query: EndpointQuery = call.query
    limit = limit_of(call, query.limit)
    found = call.store.catalog.endpoints(
        service_id=query.service_id,
        interface=query.interface,
        region_id=query.region_id or query.region,
        limit=limit,
        marker=query.marker,
    )
    return page(call, "endpoints", [view(call, record) for record in found], found, limit)


def _check(call: Call, service_id: str | None, region_id: str | None) -> None:
    try:
        if service_id is not None:
            call.store.catalog.service(service_id)
        if region_id is not None:
            call.store.region.get(region_id)
    except NotFound as error:
        raise Invalid(error.sentence) from None


def _old_region(call: Call, region_id: str | None) -> str | None:
    """The region under the old name of the field, which makes it, as it did before regions were a resource."""
    if region_id is not None and call.store.region.find(region_id) is None:
        call.store.region.create(Region(id=region_id))
    return region_id


@endpoints.route("POST", policy="identity:create_endpoint", body=NewEndpoint, key="endpoint")
def create(call: Call) -> Reply:
    """A new endpoint."""
    body: NewEndpoint = call.body
    region_id = body.region_id if body.region_id is not None else _old_region(call, body.region)
    _check(call, body.service_id, region_id)
    record = Endpoint(
        id=fresh_id(call),
        service_id=body.service_id,
        interface=body.interface,
        region_id=region_id,
        url=body.url,
        name=body.name,
        enabled=body.enabled,
    )
    call.store.catalog.create_endpoint(record)
    return Reply(201, {"endpoint": view(call, record)})


@endpoints.route("GET", "/{id}", policy="identity:get_endpoint")
def show(call: Call) -> Reply:
    """One endpoint."""
    return Reply(200, {"endpoint": view(call, call.store.catalog.endpoint(call.path["id"]))})


@endpoints.route("PATCH", "/{id}", policy="identity:update_endpoint", body=EndpointChange, key="endpoint")
def update(call: Call) -> Reply:
    """Change an endpoint."""
    changes = given(call.body, "service_id", "interface", "url", "region_id", "name", "enabled")
    if call.body.region is not UNSET and "region_id" not in changes:
        changes["region_id"] = _old_region(call, call.body.region)
    _check(call, changes.get("service_id"), changes.get("region_id"))
    return Reply(200, {"endpoint": view(call, call.store.catalog.update_endpoint(call.path["id"], changes))})


@endpoints.route("DELETE", "/{id}", policy="identity:delete_endpoint")
def delete(call: Call) -> Reply:
    """Remove an endpoint."""
    call.store.catalog.remove_endpoint(call.store.catalog.endpoint(call.path["id"]).id)
    return Reply(204)
