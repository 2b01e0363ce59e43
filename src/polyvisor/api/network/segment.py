"""Segments of networks."""

from typing import Any

import msgspec

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.fields import UNSET, Name, Number, Text, UnsetType, given
from polyvisor.api.network.form import (
    ADMIN,
    body_of,
    check_revision,
    each_of,
    filters_of,
    listing,
    made,
    selected,
    standard,
)
from polyvisor.api.network.network import segment_ref
from polyvisor.model.network import Segment
from polyvisor.model.network_settings import NetworkSettings

segments = Resource("/segments")

RULES = [
    Rule(name="create_segment", check=ADMIN, description="Add a segment to a network."),
    Rule(name="get_segment", check=ADMIN, description="List and show segments."),
    Rule(name="update_segment", check=ADMIN, description="Name and describe a segment."),
    Rule(name="delete_segment", check=ADMIN, description="Take a segment from a network."),
]


class NewSegment(msgspec.Struct, forbid_unknown_fields=True):
    """What makes a segment."""

    network_id: str
    network_type: str
    physical_network: str | UnsetType | None = UNSET
    segmentation_id: Number | UnsetType | None = UNSET
    name: Name | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET


class SegmentChange(msgspec.Struct, forbid_unknown_fields=True):
    """What of a segment can be changed."""

    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET


_FILTERS = filters_of("network_id", "network_type", "physical_network", "segmentation_id")
_SORTS = ("id", "name", "network_id", "network_type", "physical_network", "created_at", "updated_at")


@segments.route("POST", policy="create_segment", body=body_of("segment", "segments", NewSegment))
def create(call: Call) -> Reply:
    """New segments, all or none."""
    wanted, several = each_of(call.body)
    return made("segment", "segments", [view(call, _make(call, each)) for each in wanted], several=several)


def _make(call: Call, new: NewSegment) -> Segment:
    network = call.store.network.get(new.network_id, viewer=call.owner)
    values = given(new)
    carried = segment_ref(new.network_type, values.get("physical_network"), values.get("segmentation_id"))
    record = Segment(
        id=call.new_id(),
        project_id=network.project_id,
        name=values.get("name") or "",
        description=values.get("description") or "",
        network_id=network.id,
        carried=carried,
        created_at=call.now,
        updated_at=call.now,
    )
    return call.store.segment.create(record, network, settings=call.part(NetworkSettings))


@segments.route("GET", policy="get_segment")
def index(call: Call) -> Reply:
    """All segments. One statement."""
    return listing(call, "segments", call.store.segment.list, view, _FILTERS, _SORTS)


@segments.route("GET", "/{id}", policy="get_segment")
def show(call: Call) -> Reply:
    """One segment."""
    record = call.store.segment.get(call.path["id"], viewer=call.owner)
    return Reply(200, {"segment": selected(call, view(call, record))})


@segments.route("PUT", "/{id}", policy="update_segment", body=SegmentChange, key="segment")
def update(call: Call) -> Reply:
    """Name and describe it."""
    record = call.store.segment.get(call.path["id"], viewer=call.owner)
    check_revision(call, record)
    return Reply(200, {"segment": view(call, call.store.segment.change(record, given(call.body), call.now))})


@segments.route("DELETE", "/{id}", policy="delete_segment")
def delete(call: Call) -> Reply:
    """Take it from its network, which keeps at least one."""
    record = call.store.segment.get(call.path["id"], viewer=call.owner)
    check_revision(call, record)
    call.store.segment.delete(record, call.now)
    return Reply(204)


def view(_call: Call, record: Segment) -> dict[str, Any]:
    """A segment as the API shows it: it has no project and no tags."""
    told = standard(record)
    for name in ("tenant_id", "project_id", "tags"):
        del told[name]
    return {
        **told,
        "network_id": record.network_id,
        "network_type": record.carried.network_type.value,
        "physical_network": record.carried.physical_network,
        "segmentation_id": record.carried.segmentation_id,
    }
