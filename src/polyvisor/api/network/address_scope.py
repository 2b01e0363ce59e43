"""Address scopes."""

from typing import Any, Literal

import msgspec

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.fields import UNSET, Name, Project, Truth, UnsetType, chosen, given, invalid, named, truths
from polyvisor.api.network.form import (
    ADMIN,
    MEMBER,
    READER,
    body_of,
    each_of,
    listing,
    made,
    names_of,
    project_of,
    require_each,
    restricted,
    selected,
)
from polyvisor.model.subnet_pool import AddressScope

address_scopes = Resource("/address-scopes")

_CREATE = restricted("create", "address_scope", {"shared": ADMIN})
_UPDATE = restricted("update", "address_scope", {"shared": ADMIN})
_CREATE_RULES, _UPDATE_RULES = names_of(_CREATE), names_of(_UPDATE)
RULES = [
    Rule(name="create_address_scope", check=MEMBER, description="Make an address scope."),
    Rule(name="get_address_scope", check=READER, description="List and show address scopes that the project sees."),
    Rule(name="update_address_scope", check=MEMBER, description="Change an address scope."),
    Rule(name="delete_address_scope", check=MEMBER, description="Delete an address scope."),
    *_CREATE,
    *_UPDATE,
]


class ScopeChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What of a scope can be changed."""

    name: Name | UnsetType = UNSET
    shared: Truth | UnsetType = UNSET


class NewScope(ScopeChange, forbid_unknown_fields=True, kw_only=True):
    """What makes a scope."""

    ip_version: Literal[4, 6]
    tenant_id: Project | UnsetType = UNSET
    project_id: Project | UnsetType = UNSET


_FILTERS = {name: name for name in ("id", "name", "project_id", "ip_version", "shared")} | {"tenant_id": "project_id"}
_SORTS = ("id", "name", "project_id", "ip_version")


@address_scopes.route(
    "POST",
    policy="create_address_scope",
    checked_by_handler=True,
    body=body_of("address_scope", "address_scopes", NewScope),
)
def create(call: Call) -> Reply:
    """New scopes, all or none."""
    wanted, several = each_of(call.body)
    return made("address_scope", "address_scopes", [view(call, _make(call, each)) for each in wanted], several=several)


def _make(call: Call, new: NewScope) -> AddressScope:
    values = given(new)
    target: dict[str, Any] = {"project_id": project_of(call, values)}
    call.require("create_address_scope", target)
    require_each(call, "create_address_scope", chosen(new), _CREATE_RULES, target)
    truths(values, "shared")
    record = AddressScope(id=call.new_id(), created_at=call.now, updated_at=call.now, **values, **target)
    return call.store.address_scope.create(record)


@address_scopes.route("GET", policy="get_address_scope")
def index(call: Call) -> Reply:
    """The scopes that the project sees. One statement."""
    return listing(call, "address_scopes", call.store.address_scope.list, view, _FILTERS, _SORTS)


@address_scopes.route("GET", "/{id}", policy="get_address_scope")
def show(call: Call) -> Reply:
    """One scope."""
    record = call.store.address_scope.get(call.path["id"], viewer=call.owner)
    return Reply(200, {"address_scope": selected(call, view(call, record))})


@address_scopes.route(
    "PUT", "/{id}", policy="update_address_scope", checked_by_handler=True, body=ScopeChange, key="address_scope"
)
def update(call: Call) -> Reply:
    """Rename it, or open it to everybody."""
    record = call.store.address_scope.get(call.path["id"], viewer=call.owner)
    target = {"project_id": record.project_id}
    call.require("update_address_scope", target)
    require_each(call, "update_address_scope", named(call.body), _UPDATE_RULES, target)
    values = given(call.body)
    truths(values, "shared")
    if record.shared and not values.get("shared", True):
        raise invalid("a shared address scope stays shared: make another one.")
    if values.get("shared") and not record.shared:
        call.store.rbac_policy.open_to_all("address_scope", record.id, record.project_id)
    return Reply(200, {"address_scope": view(call, call.store.address_scope.change(record, values, call.now))})


@address_scopes.route("DELETE", "/{id}", policy="delete_address_scope", checked_by_handler=True)
def delete(call: Call) -> Reply:
    """Delete a scope that no pool is in."""
    record = call.store.address_scope.get(call.path["id"], viewer=call.owner)
    call.require("delete_address_scope", {"project_id": record.project_id})
    call.store.address_scope.delete(record)
    return Reply(204)


def view(_call: Call, record: AddressScope) -> dict[str, Any]:
    """A scope as the API shows it."""
    return {
        "id": record.id,
        "name": record.name,
        "tenant_id": record.project_id,
        "project_id": record.project_id,
        "ip_version": record.ip_version,
        "shared": record.shared,
    }
