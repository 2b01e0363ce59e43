"""Host aggregates: create, show, update, delete; their hosts and metadata."""

from typing import Annotated, Any

import msgspec

from polyvisor.api.compute.fields import MetadataValue, Name, number
from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.kit.times import plain_micros
from polyvisor.model.aggregate import ZONE_KEY, Aggregate
from polyvisor.model.errors import Invalid, NotFound
from polyvisor.model.settings import ComputeSettings

aggregates = Resource("/os-aggregates")

_AGGREGATES = "os_compute_api:os-aggregates"
RULES = [
    Rule(name=f"{_AGGREGATES}:{verb}", check="rule:context_is_admin", description=described)
    for verb, described in (
        ("index", "List the host aggregates."),
        ("show", "Show a host aggregate."),
        ("create", "Make a host aggregate."),
        ("update", "Rename a host aggregate, or give it another availability zone."),
        ("delete", "Delete a host aggregate."),
        ("add_host", "Add a host to an aggregate."),
        ("remove_host", "Remove a host from an aggregate."),
        ("set_metadata", "Set metadata of an aggregate."),
    )
]

Zone = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[^\s:]([^:]*[^\s:])?$")]
"""A zone's name; no colon, for servers ask for "zone:host"."""


class NewAggregate(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The `aggregate` of a request to make one."""

    name: Name
    availability_zone: Zone | None = None


class AggregateChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What can be changed; at least one of them."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    availability_zone: Zone | msgspec.UnsetType = msgspec.UNSET


class Member(msgspec.Struct, forbid_unknown_fields=True):
    """The host to add or remove."""

    host: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class MetadataChange(msgspec.Struct, forbid_unknown_fields=True):
    """Entries to set; null removes one."""

    metadata: dict[Annotated[str, msgspec.Meta(min_length=1, max_length=255)], MetadataValue | None]


@aggregates.route("GET", policy=f"{_AGGREGATES}:index")
def index(call: Call) -> Reply:
    """All aggregates."""
    return Reply(200, {"aggregates": [view(call, one) for one in call.store.aggregate.list()]})


@aggregates.route("GET", "/{id}", policy=f"{_AGGREGATES}:show")
def show(call: Call) -> Reply:
    """One aggregate."""
    return Reply(200, {"aggregate": view(call, call.store.aggregate.get(_id(call)))})


@aggregates.route("POST", policy=f"{_AGGREGATES}:create", body=NewAggregate, key="aggregate")
def create(call: Call) -> Reply:
    """Make an aggregate without hosts."""
    asked: NewAggregate = call.body
    entries = {} if asked.availability_zone is None else {ZONE_KEY: asked.availability_zone}
    made = call.store.aggregate.create(asked.name, entries, uuid=call.new_id(), now=call.now)
    shown = view(call, made)
    del shown["hosts"], shown["metadata"]  # the reference leaves them out here, and clients that check answers mind
    return Reply(200, {"aggregate": shown})


@aggregates.route("PUT", "/{id}", policy=f"{_AGGREGATES}:update", body=AggregateChange, key="aggregate")
def update(call: Call) -> Reply:
    """Rename it, or give its hosts another zone."""
    asked: AggregateChange = call.body
    if asked.name is msgspec.UNSET and asked.availability_zone is msgspec.UNSET:
        raise Invalid("Nothing is to be changed: give 'aggregate.name' or 'aggregate.availability_zone'.")
    changed = call.store.aggregate.update(
        _id(call),
        name=None if asked.name is msgspec.UNSET else asked.name,
        entries={} if asked.availability_zone is msgspec.UNSET else {ZONE_KEY: asked.availability_zone},
        default_zone=_default_zone(call),
        now=call.now,
    )
    return Reply(200, {"aggregate": view(call, changed)})


@aggregates.route("DELETE", "/{id}", policy=f"{_AGGREGATES}:delete")
def delete(call: Call) -> Reply:
    """Delete an aggregate without hosts."""
    call.store.aggregate.delete(_id(call))
    return Reply(200)


@aggregates.action("add_host", policy=f"{_AGGREGATES}:add_host", body=Member)
def add_host(call: Call) -> Reply:
    """Add a host."""
    host, zone = call.body.host, _default_zone(call)
    changed = call.store.aggregate.add_host(_id(call), host, default_zone=zone, now=call.now)
    return Reply(200, {"aggregate": view(call, changed)})


@aggregates.action("remove_host", policy=f"{_AGGREGATES}:remove_host", body=Member)
def remove_host(call: Call) -> Reply:
    """Remove a host."""
    host, zone = call.body.host, _default_zone(call)
    changed = call.store.aggregate.remove_host(_id(call), host, default_zone=zone, now=call.now)
    return Reply(200, {"aggregate": view(call, changed)})


@aggregates.action("set_metadata", policy=f"{_AGGREGATES}:set_metadata", body=MetadataChange)
def set_metadata(call: Call) -> Reply:
    """Set metadata; the key `availability_zone` gives the hosts a zone."""
    entries: dict[str, str | None] = call.body.metadata
    zone = entries.get(ZONE_KEY)
    if zone is not None:
        _check_zone(zone)
    changed = call.store.aggregate.update(
        _id(call), name=None, entries=entries, default_zone=_default_zone(call), now=call.now
    )
    return Reply(200, {"aggregate": view(call, changed)})


def view(call: Call, aggregate: Aggregate) -> dict[str, Any]:
    """An aggregate as the API shows it."""
    shown: dict[str, Any] = {
        "id": aggregate.id,
        "name": aggregate.name,
        "availability_zone": aggregate.zone,
        "hosts": list(aggregate.hosts),
        "metadata": aggregate.metadata,
        "created_at": plain_micros(aggregate.created_at),
        "updated_at": plain_micros(aggregate.updated_at) if aggregate.updated_at else None,
        "deleted": False,
        "deleted_at": None,
    }
    if call.version >= (2, 41):
        shown["uuid"] = aggregate.uuid
    return shown


def _id(call: Call) -> int:
    given = call.path["id"]
    try:
        return number(given)
    except ValueError:
        raise NotFound(f"Aggregate {given} could not be found: an aggregate's id is a number.") from None


def _check_zone(zone: str) -> None:
    try:
        msgspec.convert(zone, Zone)
    except msgspec.ValidationError:
        raise Invalid(
            f"The field 'metadata.{ZONE_KEY}' is invalid: a zone's name without a colon is expected, "
            f"with no space at either end."
        ) from None


def _default_zone(call: Call) -> str:
    return call.part(ComputeSettings).default_zone
