"""Regions."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta

from polyvisor.api.identity.common import (
    ADMIN,
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
from polyvisor.model.errors import Invalid
from polyvisor.model.region import Region

regions = Resource("/regions")
RULES = [
    Rule(name="identity:get_region", check="@", description="See a region: everybody with a token."),
    Rule(name="identity:list_regions", check="@", description="List regions: everybody with a token."),
    Rule(name="identity:create_region", check=ADMIN, description="Make a region."),
    Rule(name="identity:update_region", check=ADMIN, description="Change a region."),
    Rule(name="identity:delete_region", check=ADMIN, description="Delete a region without endpoints."),
]
RegionId = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^/]+$")]


class NewRegion(msgspec.Struct, forbid_unknown_fields=True):
    """The body that makes a region."""

    id: RegionId | None = None
    name: LongName | None = None
    description: Description | None = None
    parent_region_id: str | None = None


class RegionChange(msgspec.Struct, forbid_unknown_fields=True):
    """The body that changes a region."""

    name: LongName | Maybe | None = UNSET
    description: Description | Maybe | None = UNSET
    parent_region_id: str | Maybe | None = UNSET


class RegionQuery(Page, frozen=True, kw_only=True):
    """What a list of regions is narrowed to."""

    parent_region_id: str | None = None


def view(call: Call, record: Region) -> dict[str, Any]:
    """A region as Keystone shows it."""
    shown = facts(record, "id", "description")
    if record.name is not None:
        shown["name"] = record.name
    return {**shown, "parent_region_id": record.parent_id, "links": links(call, f"/regions/{record.id}")}


@regions.route("GET", policy="identity:list_regions", query=RegionQuery)
def index(call: Call) -> Reply:
    """Regions."""
    query: RegionQuery = call.query
    limit = limit_of(call, query.limit)
    found = call.store.region.list(parent_id=query.parent_region_id, limit=limit, marker=query.marker)
    return page(call, "regions", [view(call, record) for record in found], found, limit)


def _create(call: Call, region_id: str) -> Reply:
    body: NewRegion = call.body
    if body.parent_region_id is not None:
        call.store.region.get(body.parent_region_id)
    record = Region(id=region_id, name=body.name, description=body.description or "", parent_id=body.parent_region_id)
    call.store.region.create(record)
    return Reply(201, {"region": view(call, record)})


@regions.route("POST", policy="identity:create_region", body=NewRegion, key="region")
def create(call: Call) -> Reply:
    """A new region."""
    return _create(call, call.body.id or fresh_id(call))


@regions.route("PUT", "/{id}", policy="identity:create_region", body=NewRegion, key="region")
def create_as(call: Call) -> Reply:
    """A new region with an id of the caller's choice."""
    if call.body.id not in (None, call.path["id"]):
        raise Invalid("The field 'region.id' is another one than in the address.")
    if len(call.path["id"]) > 255:
        raise Invalid("The id of a region has at most 255 characters.")
    return _create(call, call.path["id"])


@regions.route("GET", "/{id}", policy="identity:get_region")
def show(call: Call) -> Reply:
    """One region."""
    return Reply(200, {"region": view(call, call.store.region.get(call.path["id"]))})


@regions.route("PATCH", "/{id}", policy="identity:update_region", body=RegionChange, key="region")
def update(call: Call) -> Reply:
    """Change a region."""
    record = call.store.region.get(call.path["id"])
    changes = given(call.body, "name", "description")
    if "description" in changes:
        changes["description"] = changes["description"] or ""
    parent_id = call.body.parent_region_id
    if parent_id is not UNSET:
        _check_parent(call, record, parent_id)
        changes["parent_id"] = parent_id
    return Reply(200, {"region": view(call, call.store.region.update(record, changes))})


def _check_parent(call: Call, record: Region, parent_id: str | None) -> None:
    above = parent_id
    while above is not None:
        if above == record.id:
            raise Invalid("The field 'region.parent_region_id' is invalid: a region cannot stand below itself.")
        above = call.store.region.get(above).parent_id


@regions.route("DELETE", "/{id}", policy="identity:delete_region")
def delete(call: Call) -> Reply:
    """Delete a region."""
    call.store.region.remove(call.store.region.get(call.path["id"]))
    return Reply(204)
