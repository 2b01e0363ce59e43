"""Routers, with their ways out and their extra routes."""

from typing import Annotated, Any

import msgspec

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.fields import (
    UNSET,
    Name,
    Project,
    Tags,
    Text,
    Truth,
    UnsetType,
    given,
    given_new,
    invalid,
    truth,
    truths,
)
from polyvisor.api.network.form import (
    ADMIN,
    MEMBER,
    READER,
    body_of,
    check_revision,
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
from polyvisor.api.network.port_fields import FixedIp, wanted_ip
from polyvisor.api.network.subnet import Route
from polyvisor.model.errors import Invalid
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.router import Gateway, GatewayWanted, Router
from polyvisor.model.subnet import HostRoute
from polyvisor.model.subnet_check import canonical_route

routers = Resource("/routers")
_GATEWAY = "external_gateway_info"
_FIELDS = {
    _GATEWAY: MEMBER,
    f"{_GATEWAY}:network_id": MEMBER,
    f"{_GATEWAY}:enable_snat": ADMIN,
    f"{_GATEWAY}:external_fixed_ips": ADMIN,
}
_CREATE, _UPDATE = restricted("create", "router", _FIELDS), restricted("update", "router", _FIELDS)
RULES = [
    Rule(name="create_router", check=MEMBER, description="Make a router."),
    Rule(name="get_router", check=READER, description="List and show the project's routers."),
    Rule(name="update_router", check=MEMBER, description="Change a router."),
    Rule(name="delete_router", check=MEMBER, description="Delete a router."),
    Rule(name="add_extraroutes", check=MEMBER, description="Add routes to a router."),
    Rule(name="remove_extraroutes", check=MEMBER, description="Remove routes from a router."),
    *_CREATE,
    *_UPDATE,
]
_KNOWN = {"create_router": names_of(_CREATE), "update_router": names_of(_UPDATE)}
_FILTERS = filters_of("admin_state_up")
_SORTS = ("id", "name", "project_id", "admin_state_up", "created_at", "updated_at")
_MOST_ROUTES = 30


class GatewayInfo(msgspec.Struct, forbid_unknown_fields=True):
    """A way out as it is asked for; without a network, none."""

    network_id: str | None = None
    enable_snat: Truth | UnsetType = UNSET
    external_fixed_ips: list[FixedIp] | UnsetType | None = UNSET


class NewRouter(msgspec.Struct, forbid_unknown_fields=True):
    """What makes a router."""

    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    tenant_id: Project | UnsetType = UNSET
    project_id: Project | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    admin_state_up: Truth | UnsetType = UNSET
    external_gateway_info: GatewayInfo | UnsetType | None = UNSET


class RouterChange(msgspec.Struct, forbid_unknown_fields=True):
    """What of a router can be changed."""

    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    admin_state_up: Truth | UnsetType = UNSET
    external_gateway_info: GatewayInfo | UnsetType | None = UNSET
    routes: list[Route] | UnsetType | None = UNSET


class Routes(msgspec.Struct, forbid_unknown_fields=True):
    """Routes to add or to remove."""

    routes: Annotated[list[Route], msgspec.Meta(max_length=_MOST_ROUTES)]


@routers.route("POST", policy="create_router", checked_by_handler=True, body=body_of("router", "routers", NewRouter))
def create(call: Call) -> Reply:
    """New routers, with their gateways."""
    wanted, several = each_of(call.body)
    return made("router", "routers", [view(call, _make(call, each)) for each in wanted], several=several)


def _make(call: Call, new: NewRouter) -> Router:
    values = given_new(new)
    target: dict[str, Any] = {"project_id": project_of(call, values)}
    gateway = _gateway(call, "create_router", values, target)
    truths(values, "admin_state_up")
    record = Router(id=call.new_id(), created_at=call.now, updated_at=call.now, **target, **values)
    call.store.router.create(record)
    return record if gateway is None else _set_gateway(call, record, gateway)


def _gateway(call: Call, rule: str, values: dict[str, Any], target: dict[str, Any]) -> GatewayWanted | None:
    """The way out that is asked for; it is taken out of `values`. Each part of it has a rule of its own."""
    call.require(rule, target)
    info: GatewayInfo | None = values.pop(_GATEWAY, None)
    if info is None or info.network_id is None:
        return None
    parts = given(info)
    require_each(call, rule, [_GATEWAY, *(f"{_GATEWAY}:{name}" for name in parts)], _KNOWN[rule], target)
    addresses = parts.get("external_fixed_ips")
    return GatewayWanted(
        network_id=info.network_id,
        enable_snat=truth(parts["enable_snat"], "enable_snat") if "enable_snat" in parts else None,
        external_fixed_ips=tuple(wanted_ip(each) for each in addresses) if addresses else None,
    )


def _set_gateway(call: Call, record: Router, wanted: GatewayWanted) -> Router:
    return call.store.router_gateway.set(
        record,
        wanted,
        viewer=call.owner,
        port_id=call.new_id(),
        now=call.now,
        settings=call.part(NetworkSettings),
    )


@routers.route("GET", policy="get_router")
def index(call: Call) -> Reply:
    """The project's routers. One statement."""
    return listing(call, "routers", call.store.router.list, view, _FILTERS, _SORTS)


@routers.route("GET", "/{id}", policy="get_router")
def show(call: Call) -> Reply:
    """One router."""
    record = call.store.router.get(call.path["id"], viewer=call.owner)
    return Reply(200, {"router": selected(call, view(call, record))})


@routers.route("PUT", "/{id}", policy="update_router", checked_by_handler=True, body=RouterChange, key="router")
def update(call: Call) -> Reply:
    """Change fields, the gateway and the routes."""
    record = call.store.router.get(call.path["id"], viewer=call.owner)
    values = given(call.body)
    asked = _GATEWAY in values
    gateway = _gateway(call, "update_router", values, {"project_id": record.project_id})
    check_revision(call, record)
    truths(values, "admin_state_up")
    routes = routes_of(values.pop("routes") or ()) if "routes" in values else None
    if asked and gateway is None:
        call.require(f"update_router:{_GATEWAY}", {"project_id": record.project_id})
        if routes is not None:
            record = call.store.router.set_routes(record, routes, call.now)
        call.store.router_gateway.clear(record, call.now)
        record, routes = call.store.router.get(record.id), None
    elif gateway is not None:
        record = _set_gateway(call, record, gateway)
    if routes is not None:
        record = call.store.router.set_routes(record, routes, call.now)
    if values:
        record = call.store.router.change(record, values, call.now)
    return Reply(200, {"router": view(call, record)})


@routers.route(
    "PUT", "/{id}/add_extraroutes", policy="add_extraroutes", checked_by_handler=True, body=Routes, key="router"
)
def add_routes(call: Call) -> Reply:
    """Add routes; those that are there already stay."""
    record = for_change(call, call.store.router, "add_extraroutes")
    return _routed(call, record, tuple(dict.fromkeys((*record.routes, *routes_of(call.body.routes)))))


@routers.route(
    "PUT", "/{id}/remove_extraroutes", policy="remove_extraroutes", checked_by_handler=True, body=Routes, key="router"
)
def remove_routes(call: Call) -> Reply:
    """Remove routes; those that are not there are passed over."""
    record = for_change(call, call.store.router, "remove_extraroutes")
    gone = routes_of(call.body.routes)
    return _routed(call, record, tuple(each for each in record.routes if each not in gone))


def _routed(call: Call, record: Router, routes: tuple[HostRoute, ...]) -> Reply:
    _check_count(routes)
    return Reply(200, {"router": view(call, call.store.router.set_routes(record, routes, call.now))})


def routes_of(wanted: Any) -> tuple[HostRoute, ...]:
    """Routes as a body has them. Raises Invalid for those that cannot be read, are there twice, or are too many."""
    found = tuple(canonical_route(each.destination, each.nexthop) for each in wanted)
    if len(set(found)) < len(found):
        raise invalid("Duplicate hostroute: each route is given once.")
    _check_count(found)
    return found


def _check_count(routes: tuple[HostRoute, ...]) -> None:
    if len(routes) > _MOST_ROUTES:
        raise Invalid(
            f"Unable to complete operation. The number of routes exceeds the maximum {_MOST_ROUTES}.",
            kind="RoutesExhausted",
        )


@routers.route("DELETE", "/{id}", policy="delete_router", checked_by_handler=True)
def delete(call: Call) -> Reply:
    """Delete a router without interfaces, with its gateway."""
    record = for_change(call, call.store.router, "delete_router")
    call.store.router.delete(record, call.now)
    return Reply(204)


def view(_call: Call, record: Router) -> dict[str, Any]:
    """A router as the caller sees it."""
    return {
        **standard(record),
        "admin_state_up": record.admin_state_up,
        "status": "ACTIVE",
        "external_gateway_info": None if record.gateway is None else _gateway_view(record.gateway),
        "routes": [{"destination": each.destination, "nexthop": each.nexthop} for each in record.routes],
    }


def _gateway_view(gateway: Gateway) -> dict[str, Any]:
    return {
        "network_id": gateway.network_id,
        "enable_snat": gateway.enable_snat,
        "external_fixed_ips": [
            {"subnet_id": each.subnet_id, "ip_address": each.ip_address} for each in gateway.external_fixed_ips
        ],
    }
