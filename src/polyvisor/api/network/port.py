"""Ports."""

from typing import Any

import msgspec

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.fields import UNSET, Project, Tags, UnsetType, chosen, given, given_new, named
from polyvisor.api.network.form import (
    ADMIN,
    MEMBER,
    READER,
    body_of,
    check_revision,
    each_of,
    filters_of,
    listing,
    made,
    names_of,
    project_of,
    require_each,
    restricted,
    selected,
)
from polyvisor.api.network.port_fields import PortChange, check_device_owner, convert, refuse_external
from polyvisor.api.network.port_view import view
from polyvisor.model.errors import Conflict
from polyvisor.model.network import Network
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.port import Binding, Port, PortWanted

ports = Resource("/ports")

_OF_NETWORK = "rule:context_is_admin or (role:member and project_id:%(network:project_id)s)"
_EITHER = "rule:project_member_or_admin or (role:member and project_id:%(network:project_id)s)"
_RESTRICTED = {
    "device_owner": _OF_NETWORK,
    "mac_address": _OF_NETWORK,
    "fixed_ips:ip_address": _OF_NETWORK,
    "port_security_enabled": _OF_NETWORK,
    "allowed_address_pairs": _OF_NETWORK,
    "binding:host_id": ADMIN,
    "binding:profile": ADMIN,
}
_CREATE = restricted("create", "port", _RESTRICTED)
_UPDATE = restricted("update", "port", {**_RESTRICTED, "mac_address": ADMIN})
_CREATE_RULES, _UPDATE_RULES = names_of(_CREATE), names_of(_UPDATE)
RULES = [
    Rule(name="create_port", check=MEMBER, description="Make a port."),
    Rule(name="get_port", check=READER, description="List and show the ports that the project sees."),
    Rule(name="update_port", check=MEMBER, description="Change a port."),
    Rule(name="delete_port", check=_EITHER, description="Delete a port."),
    *_CREATE,
    *_UPDATE,
    *restricted(
        "get",
        "port",
        dict.fromkeys(("binding:host_id", "binding:profile", "binding:vif_type", "binding:vif_details"), ADMIN),
    ),
]
_MOST_BYTES = 8 * 1024 * 1024
"""A body with several thousand ports."""


class NewPort(PortChange, forbid_unknown_fields=True, kw_only=True):
    """What makes a port: what can be changed later, and what stays."""

    network_id: str
    tenant_id: Project | UnsetType = UNSET
    project_id: Project | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET


_FILTERS = filters_of(
    "network_id", "mac_address", "device_id", "device_owner", "admin_state_up", "status", "port_security_enabled",
    "dns_name", "dns_domain", "qos_policy_id", "fixed_ips", "security_groups", "ip_allocation", "binding:host_id",
    "binding:vif_type", "binding:vnic_type",
)  # fmt: skip
_SORTS = ("id", "name", "project_id", "network_id", "mac_address", "device_id", "device_owner", "status",
          "admin_state_up", "created_at", "updated_at")  # fmt: skip
_NOT_OURS = ("network:router_interface", "network:router_gateway", "network:floatingip")


@ports.route(
    "POST", policy="create_port", checked_by_handler=True, body=body_of("port", "ports", NewPort),
    max_body_bytes=_MOST_BYTES,
)  # fmt: skip
def create(call: Call) -> Reply:
    """New ports, all or none; how many statements it takes does not depend on how many they are."""
    new, several = each_of(call.body)
    networks = call.store.network.of_ids({each.network_id for each in new}, viewer=call.owner)
    for each in new:
        if each.network_id not in networks:
            raise call.store.network.not_found(each.network_id)
    wanted = [(call.new_id(), _wanted(call, each, networks[each.network_id])) for each in new]
    done = call.store.port.create_many(wanted, now=call.now, settings=call.part(NetworkSettings))
    return made("port", "ports", [view(call, each) for each in done], several=several)


def _wanted(call: Call, new: NewPort, network: Network) -> PortWanted:
    values = given_new(new)
    target = _target(project_of(call, values), network)
    call.require("create_port", target)
    _require_each(call, "create_port", new, chosen(new), _CREATE_RULES, target)
    refuse_external(network.external, network.shared, target, call)
    convert(call, values, Binding())
    return PortWanted(project_id=target["project_id"], **values)


def _target(project_id: str, network: Network) -> dict[str, Any]:
    return {"project_id": project_id, "network:project_id": network.project_id}


def _require_each(
    call: Call, rule: str, body: msgspec.Struct, fields: list[str], known: frozenset[str], target: dict[str, Any]
) -> None:
    """Leave for each of the fields that has a rule of its own."""
    values = given(body)
    names = [name for name in fields if name != "device_owner"]
    if any(each.ip_address is not None for each in values.get("fixed_ips") or ()):
        names.append("fixed_ips:ip_address")
    require_each(call, rule, names, known, target)
    check_device_owner(call, rule, values, target)


@ports.route("GET", policy="get_port")
def index(call: Call) -> Reply:
    """The ports that the project sees. One statement."""
    return listing(call, "ports", call.store.port.list, view, _FILTERS, _SORTS)


@ports.route("GET", "/{id}", policy="get_port")
def show(call: Call) -> Reply:
    """One port."""
    record = call.store.port.get(call.path["id"], viewer=call.owner)
    return Reply(200, {"port": selected(call, view(call, record))})


@ports.route("PUT", "/{id}", policy="update_port", checked_by_handler=True, body=PortChange, key="port")
def update(call: Call) -> Reply:
    """Change fields."""
    record = call.store.port.get(call.path["id"], viewer=call.owner)
    target = _target(record.project_id, call.store.network.get(record.network_id))
    call.require("update_port", target)
    _require_each(call, "update_port", call.body, named(call.body), _UPDATE_RULES, target)
    check_revision(call, record)
    values = given(call.body)
    convert(call, values, record.binding)
    if "qos_policy_id" in values:
        call.store.qos_policy.refuse_removal(record.qos_policy_id, values["qos_policy_id"], call.owner)
    if values.get("mac_address", "") is None:
        del values["mac_address"]
    return Reply(200, {"port": view(call, call.store.port.change(record, values, call.now))})


@ports.route("DELETE", "/{id}", policy="delete_port", checked_by_handler=True)
def delete(call: Call) -> Reply:
    """Delete a port that no router, floating IP or trunk is made of."""
    record = call.store.port.get(call.path["id"], viewer=call.owner)
    call.require("delete_port", _target(record.project_id, call.store.network.get(record.network_id)))
    check_revision(call, record)
    _refuse_service(record)
    call.store.trunk.refuse_gone([record.id])
    call.store.port.delete([record.id], call.now)
    return Reply(204)


def _refuse_service(record: Port) -> None:
    if record.device_owner in _NOT_OURS:
        raise Conflict(
            f"Port {record.id} cannot be deleted directly via the port API: has device owner {record.device_owner}.",
            kind="ServicePortInUse",
        )
