"""Floating IPs: addresses of external networks that stand for ports inside."""

from typing import Any

import msgspec

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.fields import UNSET, Address, Project, Tags, Text, UnsetType, given, given_new
from polyvisor.api.network.form import (
    MEMBER,
    READER,
    body_of,
    each_of,
    filters_of,
    for_change,
    listing,
    made,
    names_of,
    project_of,
    require_each,
    restricted,
    selected,
    standard,
)
from polyvisor.model.errors import Invalid
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.router import FloatingIp, FloatingIpWanted, PortDetails
from polyvisor.model.subnet_check import canonical_address

floating_ips = Resource("/floatingips")
_CREATE = restricted("create", "floatingip", {"floating_ip_address": "rule:project_manager_or_admin"})
RULES = [
    Rule(name="create_floatingip", check=MEMBER, description="Make a floating IP."),
    Rule(name="get_floatingip", check=READER, description="List and show the project's floating IPs."),
    Rule(name="update_floatingip", check=MEMBER, description="Let a floating IP stand for a port, or for none."),
    Rule(name="delete_floatingip", check=MEMBER, description="Delete a floating IP."),
    *_CREATE,
]
_CREATE_RULES = names_of(_CREATE)
_FILTERS = filters_of(
    "floating_network_id", "floating_ip_address", "router_id", "port_id", "fixed_ip_address", "status"
)
_SORTS = ("id", "project_id", "floating_network_id", "floating_ip_address", "router_id", "fixed_ip_address", "status",
          "created_at", "updated_at")  # fmt: skip


class NewFloatingIp(msgspec.Struct, forbid_unknown_fields=True):
    """What makes a floating IP."""

    floating_network_id: str
    floating_ip_address: Address | UnsetType | None = UNSET
    subnet_id: str | UnsetType | None = UNSET
    port_id: str | UnsetType | None = UNSET
    fixed_ip_address: Address | UnsetType | None = UNSET
    description: Text | UnsetType = UNSET
    tenant_id: Project | UnsetType = UNSET
    project_id: Project | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET


class FloatingIpChange(msgspec.Struct, forbid_unknown_fields=True):
    """What of a floating IP can be changed."""

    port_id: str | UnsetType | None = UNSET
    fixed_ip_address: Address | UnsetType | None = UNSET
    description: Text | UnsetType = UNSET


@floating_ips.route(
    "POST",
    policy="create_floatingip",
    checked_by_handler=True,
    body=body_of("floatingip", "floatingips", NewFloatingIp),
)
def create(call: Call) -> Reply:
    """New floating IPs, standing for ports where these are named."""
    wanted, several = each_of(call.body)
    return made("floatingip", "floatingips", [view(call, _make(call, each)) for each in wanted], several=several)


def _make(call: Call, new: NewFloatingIp) -> FloatingIp:
    values = {name: value for name, value in given_new(new).items() if value is not None}
    target: dict[str, Any] = {"project_id": project_of(call, values)}
    call.require("create_floatingip", target)
    require_each(call, "create_floatingip", values, _CREATE_RULES, target)
    port_id, fixed = values.pop("port_id", None), _address(values.pop("fixed_ip_address", None))
    if fixed is not None and port_id is None:
        raise _without_port()
    if "floating_ip_address" in values:
        values["floating_ip_address"] = _address(values["floating_ip_address"])
    record = call.store.floating_ip.create(
        FloatingIpWanted(**target, **values),
        id=call.new_id(),
        port_id=call.new_id(),
        viewer=call.owner,
        now=call.now,
        settings=call.part(NetworkSettings),
    )
    if port_id is None:
        return record
    return call.store.floating_ip.associate(record, port_id, fixed, viewer=call.owner, now=call.now)


def _address(text: str | None) -> str | None:
    return None if text is None else canonical_address(text)


def _without_port() -> Invalid:
    return Invalid("Bad floatingip request: fixed_ip_address cannot be specified without a port_id.")


@floating_ips.route("GET", policy="get_floatingip")
def index(call: Call) -> Reply:
    """The project's floating IPs. One statement."""
    return listing(call, "floatingips", call.store.floating_ip.list, view, _FILTERS, _SORTS)


@floating_ips.route("GET", "/{id}", policy="get_floatingip")
def show(call: Call) -> Reply:
    """One floating IP."""
    record = call.store.floating_ip.get(call.path["id"], viewer=call.owner)
    return Reply(200, {"floatingip": selected(call, view(call, record))})


@floating_ips.route(
    "PUT", "/{id}", policy="update_floatingip", checked_by_handler=True, body=FloatingIpChange, key="floatingip"
)
def update(call: Call) -> Reply:
    """Let it stand for a port, for another one, or (`"port_id": null`, or nothing at all) for none."""
    record = for_change(call, call.store.floating_ip, "update_floatingip")
    values = given(call.body)
    asked = not values or "port_id" in values or "fixed_ip_address" in values
    kept = record.port_id if values else None
    port_id, fixed = values.pop("port_id", kept), _address(values.pop("fixed_ip_address", None))
    if fixed is not None and port_id is None:
        raise _without_port()
    if values:
        record = call.store.floating_ip.update(record, values, call.now)
    if asked and port_id is not None:
        record = call.store.floating_ip.associate(record, port_id, fixed, viewer=call.owner, now=call.now)
    elif asked:
        record = call.store.floating_ip.disassociate(record, call.now)
    return Reply(200, {"floatingip": view(call, record)})


@floating_ips.route("DELETE", "/{id}", policy="delete_floatingip", checked_by_handler=True)
def delete(call: Call) -> Reply:
    """Give the address back."""
    record = for_change(call, call.store.floating_ip, "delete_floatingip")
    call.store.floating_ip.delete(record, call.now)
    return Reply(204)


def view(_call: Call, record: FloatingIp) -> dict[str, Any]:
    """A floating IP as the caller sees it."""
    shown = {
        **standard(record),
        "floating_network_id": record.floating_network_id,
        "floating_ip_address": record.floating_ip_address,
        "router_id": record.router_id,
        "port_id": record.port_id,
        "fixed_ip_address": record.fixed_ip_address,
        "status": record.status,
        "port_details": _details(record.ports[0]) if record.ports else None,
        "port_forwardings": [
            {
                "id": each.id,
                "protocol": each.protocol,
                "internal_ip_address": each.internal_ip_address,
                "internal_port_id": each.internal_port_id,
                "internal_port": port_numbers("internal", each.internal_port)["internal_port"],
                "external_port": port_numbers("external", each.external_port)["external_port"],
            }
            for each in record.port_forwardings
        ],
    }
    del shown["name"]
    return shown


def port_numbers(side: str, text: str) -> dict[str, Any]:
    """A port, or "first:last", as both fields of the API."""
    first, _, last = text.partition(":")
    if last in ("", first):
        return {f"{side}_port": int(first), f"{side}_port_range": f"{first}:{first}"}
    return {f"{side}_port": None, f"{side}_port_range": text}


def _details(port: PortDetails) -> dict[str, Any]:
    return {
        "name": port.name,
        "network_id": port.network_id,
        "mac_address": port.mac_address,
        "admin_state_up": port.admin_state_up,
        "status": port.status,
        "device_id": port.device_id,
        "device_owner": port.device_owner,
    }
