"""Port forwarding: ports of a floating IP that are handed on to ports inside."""

from typing import Any, Literal

import msgspec

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.fields import UNSET, Address, Number, Text, UnsetType, given
from polyvisor.api.network.floating_ip import port_numbers
from polyvisor.api.network.form import MEMBER, READER, asked, check_revision, listed, selected
from polyvisor.model.errors import Invalid
from polyvisor.model.router import FloatingIp, PortForwarding
from polyvisor.model.subnet_check import canonical_address

port_forwardings = Resource("/floatingips/{id}/port_forwardings")
RULES = [
    Rule(name="create_floatingip_port_forwarding", check=MEMBER, description="Hand ports of a floating IP on."),
    Rule(name="get_floatingip_port_forwarding", check=READER, description="List and show ports that are handed on."),
    Rule(name="update_floatingip_port_forwarding", check=MEMBER, description="Change which ports are handed on."),
    Rule(name="delete_floatingip_port_forwarding", check=MEMBER, description="Hand ports on no longer."),
]
_FILTERS = {name: name for name in ("id", "protocol", "external_port", "internal_port", "internal_port_id",
                                    "internal_ip_address", "description")}  # fmt: skip
_SORTS = ("id", "protocol", "external_port", "internal_port_id")
_SIDES = ("internal", "external")


class NewPortForwarding(msgspec.Struct, forbid_unknown_fields=True):
    """What hands ports on: for each side a port, or a range "first:last"."""

    protocol: Literal["tcp", "udp"]
    internal_port_id: str
    internal_ip_address: Address | UnsetType = UNSET
    external_port: Number | UnsetType = UNSET
    internal_port: Number | UnsetType = UNSET
    external_port_range: str | UnsetType = UNSET
    internal_port_range: str | UnsetType = UNSET
    description: Text | UnsetType = UNSET


class PortForwardingChange(msgspec.Struct, forbid_unknown_fields=True):
    """What of it can be changed."""

    protocol: Literal["tcp", "udp"] | UnsetType = UNSET
    internal_port_id: str | UnsetType = UNSET
    internal_ip_address: Address | UnsetType = UNSET
    external_port: Number | UnsetType = UNSET
    internal_port: Number | UnsetType = UNSET
    external_port_range: str | UnsetType = UNSET
    internal_port_range: str | UnsetType = UNSET
    description: Text | UnsetType = UNSET


def _address(call: Call, rule: str) -> FloatingIp:
    record = call.store.floating_ip.get(call.path["id"], viewer=call.owner)
    call.require(rule, {"project_id": record.project_id})
    return record


def _values(body: msgspec.Struct) -> dict[str, Any]:
    """A body's fields as the record has them: a port and a range of ports are one field."""
    values = given(body)
    for side in _SIDES:
        one, several = values.pop(f"{side}_port", None), values.pop(f"{side}_port_range", None)
        if one is not None and several is not None:
            raise Invalid(f"Bad port_forwarding request: give {side}_port or {side}_port_range, not both.")
        if one is not None or several is not None:
            values[f"{side}_port"] = str(one if one is not None else several)
    if "internal_ip_address" in values:
        values["internal_ip_address"] = canonical_address(values["internal_ip_address"])
    return values


@port_forwardings.route(
    "POST",
    policy="create_floatingip_port_forwarding",
    checked_by_handler=True,
    body=NewPortForwarding,
    key="port_forwarding",
)
def create(call: Call) -> Reply:
    """Hand ports on."""
    address = _address(call, "create_floatingip_port_forwarding")
    values = _values(call.body)
    for side in _SIDES:
        if f"{side}_port" not in values:
            raise Invalid(f"Bad port_forwarding request: {side}_port or {side}_port_range is required.")
    wanted = PortForwarding(
        id=call.new_id(),
        project_id=address.project_id,
        floating_ip_id=address.id,
        created_at=call.now,
        updated_at=call.now,
        **{"internal_ip_address": "", **values},
    )
    made = call.store.port_forwarding.create(address, wanted, call.owner, call.now)
    return Reply(201, {"port_forwarding": view(made)})


@port_forwardings.route("GET", policy="get_floatingip_port_forwarding", checked_by_handler=True)
def index(call: Call) -> Reply:
    """What is handed on. Two statements: one for the floating IP."""
    address = _address(call, "get_floatingip_port_forwarding")
    by = asked(call, _FILTERS, _SORTS)
    of_this = (*by.filters, ("floating_ip_id", (address.id,)))
    found = call.store.port_forwarding.list(msgspec.structs.replace(by, viewer=None, filters=of_this))
    return listed(call, "port_forwardings", by, [view(each) for each in found], [each.id for each in found])


def _one(call: Call, rule: str) -> tuple[FloatingIp, PortForwarding]:
    address = _address(call, rule)
    record = next((each for each in address.port_forwardings if each.id == call.path["forwarding"]), None)
    if record is None:
        raise call.store.port_forwarding.not_found(call.path["forwarding"])
    return address, record


@port_forwardings.route("GET", "/{forwarding}", policy="get_floatingip_port_forwarding", checked_by_handler=True)
def show(call: Call) -> Reply:
    """One of them."""
    _, record = _one(call, "get_floatingip_port_forwarding")
    return Reply(200, {"port_forwarding": selected(call, view(record))})


@port_forwardings.route(
    "PUT",
    "/{forwarding}",
    policy="update_floatingip_port_forwarding",
    checked_by_handler=True,
    body=PortForwardingChange,
    key="port_forwarding",
)
def update(call: Call) -> Reply:
    """Hand them on otherwise."""
    address, record = _one(call, "update_floatingip_port_forwarding")
    check_revision(call, record)
    values = _values(call.body)
    if "internal_port_id" in values and "internal_ip_address" not in values:
        values["internal_ip_address"] = ""
    changed = call.store.port_forwarding.update(address, record, values, call.owner, call.now)
    return Reply(200, {"port_forwarding": view(changed)})


@port_forwardings.route("DELETE", "/{forwarding}", policy="delete_floatingip_port_forwarding", checked_by_handler=True)
def delete(call: Call) -> Reply:
    """Hand them on no longer."""
    address, record = _one(call, "delete_floatingip_port_forwarding")
    check_revision(call, record)
    call.store.port_forwarding.delete(address, record, call.now)
    return Reply(204)


def view(record: PortForwarding) -> dict[str, Any]:
    """The JSON object."""
    return {
        "id": record.id,
        "protocol": record.protocol,
        "internal_port_id": record.internal_port_id,
        "internal_ip_address": record.internal_ip_address,
        **port_numbers("internal", record.internal_port),
        **port_numbers("external", record.external_port),
        "description": record.description,
    }
