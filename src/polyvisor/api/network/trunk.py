"""Trunks: ports of servers that carry other ports' networks, each by a VLAN tag."""

from typing import Any

import msgspec

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.fields import (
    UNSET,
    Name,
    Number,
    Project,
    Tags,
    Text,
    Truth,
    UnsetType,
    given,
    given_new,
    invalid,
    truths,
)
from polyvisor.api.network.form import (
    MEMBER,
    READER,
    body_of,
    each_of,
    filters_of,
    for_change,
    listing,
    made,
    project_of,
    selected,
    standard,
)
from polyvisor.model.trunk import LAST_VLAN, VLAN, SubPort, Trunk

trunks = Resource("/trunks")
RULES = [
    Rule(name="create_trunk", check=MEMBER, description="Make a trunk."),
    Rule(name="get_trunk", check=READER, description="List and show the project's trunks."),
    Rule(name="update_trunk", check=MEMBER, description="Change a trunk."),
    Rule(name="delete_trunk", check=MEMBER, description="Delete a trunk."),
    Rule(name="get_subports", check=READER, description="Show the ports that a trunk carries."),
    Rule(name="add_subports", check=MEMBER, description="Let a trunk carry more ports."),
    Rule(name="remove_subports", check=MEMBER, description="Let a trunk carry ports no longer."),
]
_FILTERS = filters_of("port_id", "admin_state_up", "status")
_SORTS = ("id", "name", "project_id", "port_id", "admin_state_up", "created_at", "updated_at")


class WantedSubPort(msgspec.Struct, forbid_unknown_fields=True):
    """A port to carry, and its tag."""

    port_id: str
    segmentation_type: str | UnsetType = UNSET
    segmentation_id: Number | UnsetType = UNSET


class GoneSubPort(msgspec.Struct, forbid_unknown_fields=True):
    """A port to carry no longer; clients name its tag as well."""

    port_id: str
    segmentation_type: str | UnsetType = UNSET
    segmentation_id: Number | UnsetType = UNSET


class NewTrunk(msgspec.Struct, forbid_unknown_fields=True):
    """What makes a trunk."""

    port_id: str
    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    tenant_id: Project | UnsetType = UNSET
    project_id: Project | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    admin_state_up: Truth | UnsetType = UNSET
    sub_ports: list[WantedSubPort] | UnsetType = UNSET


class TrunkChange(msgspec.Struct, forbid_unknown_fields=True):
    """What of a trunk can be changed."""

    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    admin_state_up: Truth | UnsetType = UNSET


class More(msgspec.Struct, forbid_unknown_fields=True):
    """Ports to carry."""

    sub_ports: list[WantedSubPort]


class Fewer(msgspec.Struct, forbid_unknown_fields=True):
    """Ports to carry no longer."""

    sub_ports: list[GoneSubPort]


@trunks.route("POST", policy="create_trunk", checked_by_handler=True, body=body_of("trunk", "trunks", NewTrunk))
def create(call: Call) -> Reply:
    """New trunks, with the ports that they carry."""
    wanted, several = each_of(call.body)
    return made("trunk", "trunks", [view(call, _make(call, each)) for each in wanted], several=several)


def _make(call: Call, new: NewTrunk) -> Trunk:
    values = given_new(new)
    target: dict[str, Any] = {"project_id": project_of(call, values)}
    call.require("create_trunk", target)
    truths(values, "admin_state_up")
    values["sub_ports"] = _sub_ports(values.get("sub_ports", []))
    record = Trunk(id=call.new_id(), created_at=call.now, updated_at=call.now, **target, **values)
    return call.store.trunk.create(record, call.owner, call.now)


def _sub_ports(wanted: list[WantedSubPort]) -> tuple[SubPort, ...]:
    found = []
    for each in wanted:
        if each.segmentation_type is UNSET or each.segmentation_id is UNSET:
            raise invalid(
                f"subport {each.port_id} is missing segmentation information: Must specify both segmentation_id and "
                "segmentation_type."
            )
        if each.segmentation_type != VLAN:
            raise invalid(f"Unknown segmentation_type '{each.segmentation_type[:64]}': vlan is known.")
        vlan = int(each.segmentation_id)
        if not 1 <= vlan <= LAST_VLAN:
            raise invalid(f"Segmentation ID '{vlan}' is not in range: 1 to {LAST_VLAN} are.")
        found.append(SubPort(port_id=each.port_id, segmentation_id=vlan))
    if len({each.port_id for each in found}) < len(found):
        raise invalid("a port is named twice in 'sub_ports'.")
    if len({each.segmentation_id for each in found}) < len(found):
        raise invalid("segmentation_type and segmentation_id are the same for two of 'sub_ports'.")
    return tuple(found)


@trunks.route("GET", policy="get_trunk")
def index(call: Call) -> Reply:
    """The project's trunks, with the ports that they carry. One statement."""
    return listing(call, "trunks", call.store.trunk.list, view, _FILTERS, _SORTS)


@trunks.route("GET", "/{id}", policy="get_trunk")
def show(call: Call) -> Reply:
    """One trunk."""
    record = call.store.trunk.get(call.path["id"], viewer=call.owner)
    return Reply(200, {"trunk": selected(call, view(call, record))})


@trunks.route("PUT", "/{id}", policy="update_trunk", checked_by_handler=True, body=TrunkChange, key="trunk")
def update(call: Call) -> Reply:
    """Change fields. A trunk whose admin_state_up is false keeps its ports as they are, and stays."""
    record = for_change(call, call.store.trunk, "update_trunk")
    values = given(call.body)
    truths(values, "admin_state_up")
    return Reply(200, {"trunk": view(call, call.store.trunk.update(record, values, call.now))})


@trunks.route("DELETE", "/{id}", policy="delete_trunk", checked_by_handler=True)
def delete(call: Call) -> Reply:
    """Delete a trunk whose port no server uses; the ports stay."""
    call.store.trunk.delete(for_change(call, call.store.trunk, "delete_trunk"), call.now)
    return Reply(204)


@trunks.route("GET", "/{id}/get_subports", policy="get_subports")
def sub_ports(call: Call) -> Reply:
    """The ports that a trunk carries."""
    record = call.store.trunk.get(call.path["id"], viewer=call.owner)
    return Reply(200, {"sub_ports": _carried(record)})


@trunks.route("PUT", "/{id}/add_subports", policy="add_subports", checked_by_handler=True, body=More)
def add(call: Call) -> Reply:
    """Let a trunk carry more ports."""
    record = for_change(call, call.store.trunk, "add_subports")
    changed = call.store.trunk.add(record, _sub_ports(call.body.sub_ports), call.owner, call.now)
    return Reply(200, view(call, changed))


@trunks.route("PUT", "/{id}/remove_subports", policy="remove_subports", checked_by_handler=True, body=Fewer)
def remove(call: Call) -> Reply:
    """Let a trunk carry ports no longer."""
    record = for_change(call, call.store.trunk, "remove_subports")
    changed = call.store.trunk.remove(record, [each.port_id for each in call.body.sub_ports], call.now)
    return Reply(200, view(call, changed))


def _carried(record: Trunk) -> list[dict[str, Any]]:
    return [
        {
            "port_id": each.port_id,
            "segmentation_type": each.segmentation_type,
            "segmentation_id": each.segmentation_id,
        }
        for each in record.sub_ports
    ]


def view(_call: Call, record: Trunk) -> dict[str, Any]:
    """A trunk as the caller sees it."""
    return {
        **standard(record),
        "port_id": record.port_id,
        "admin_state_up": record.admin_state_up,
        "status": record.status,
        "sub_ports": _carried(record),
    }
