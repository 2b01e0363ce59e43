"""Subnet pools."""

from typing import Annotated, Any

import msgspec

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.fields import (
    UNSET,
    Address,
    Id,
    Name,
    Number,
    Project,
    Tags,
    Text,
    Truth,
    UnsetType,
    chosen,
    given,
    given_new,
    invalid,
    named,
    number,
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
from polyvisor.model.errors import Invalid
from polyvisor.model.subnet_pool import SubnetPool
from polyvisor.model.subnet_pool_room import inside, merged, without

subnet_pools = Resource("/subnetpools")

_CREATE = restricted("create", "subnetpool", {"shared": ADMIN, "is_default": ADMIN})
_UPDATE = restricted("update", "subnetpool", {"is_default": ADMIN})
_CREATE_RULES, _UPDATE_RULES = names_of(_CREATE), names_of(_UPDATE)
RULES = [
    Rule(name="create_subnetpool", check=MEMBER, description="Make a subnet pool."),
    Rule(name="get_subnetpool", check=READER, description="List and show the subnet pools that the project sees."),
    Rule(name="update_subnetpool", check=MEMBER, description="Change a subnet pool."),
    Rule(name="delete_subnetpool", check=MEMBER, description="Delete a subnet pool."),
    Rule(name="add_prefixes", check=MEMBER, description="Add prefixes to a subnet pool."),
    Rule(name="remove_prefixes", check=MEMBER, description="Take prefixes from a subnet pool."),
    *_CREATE,
    *_UPDATE,
]


class PoolChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What of a pool can be changed."""

    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    prefixes: list[Address] | UnsetType = UNSET
    min_prefixlen: Number | UnsetType = UNSET
    max_prefixlen: Number | UnsetType = UNSET
    default_prefixlen: Number | UnsetType = UNSET
    default_quota: Number | UnsetType | None = UNSET
    address_scope_id: Id | UnsetType | None = UNSET
    is_default: Truth | UnsetType = UNSET


class NewPool(PoolChange, forbid_unknown_fields=True, kw_only=True):
    """What makes a pool."""

    tenant_id: Project | UnsetType = UNSET
    project_id: Project | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    shared: Truth | UnsetType = UNSET


class Prefixes(msgspec.Struct, forbid_unknown_fields=True):
    """Prefixes to add or to take away."""

    prefixes: Annotated[list[Address], msgspec.Meta(min_length=1)]


_FILTERS = filters_of("ip_version", "min_prefixlen", "max_prefixlen", "default_prefixlen", "default_quota",
                      "address_scope_id", "shared", "is_default")  # fmt: skip
_SORTS = ("id", "name", "project_id", "ip_version", "default_prefixlen", "created_at", "updated_at")
_LENGTHS = ("min_prefixlen", "max_prefixlen", "default_prefixlen")


@subnet_pools.route(
    "POST", policy="create_subnetpool", checked_by_handler=True, body=body_of("subnetpool", "subnetpools", NewPool)
)
def create(call: Call) -> Reply:
    """New pools, all or none."""
    wanted, several = each_of(call.body)
    return made("subnetpool", "subnetpools", [view(call, _make(call, each)) for each in wanted], several=several)


def _make(call: Call, new: NewPool) -> SubnetPool:
    values = given_new(new)
    target = {"project_id": project_of(call, values)}
    call.require("create_subnetpool", target)
    require_each(call, "create_subnetpool", chosen(new), _CREATE_RULES, target)
    if not values.get("prefixes"):
        raise Invalid("Invalid input for prefixes: at least one CIDR is expected.", kind="InvalidInput")
    version = _convert(values)
    most = 32 if version == 4 else 128
    values.setdefault("min_prefixlen", 8 if version == 4 else 64)
    values.setdefault("max_prefixlen", most)
    values.setdefault("default_prefixlen", values["min_prefixlen"])
    fields: dict[str, Any] = {**values, **target}
    record = SubnetPool(id=call.new_id(), ip_version=version, created_at=call.now, updated_at=call.now, **fields)
    _check(call, record)
    _one_default(call, record)
    return call.store.subnet_pool.create(record)


def _convert(values: dict[str, Any]) -> int:
    """Make of the body's values what the record holds; returns the IP version of the prefixes, 0 without any."""
    truths(values, "shared", "is_default")
    for name in _LENGTHS:
        if name in values:
            values[name] = number(values[name], name, 0, 128)
    if values.get("default_quota") is not None:
        values["default_quota"] = number(values["default_quota"], "default_quota", 0, 2**62)
    if "prefixes" not in values:
        return 0
    try:
        prefixes = merged(values["prefixes"])
    except ValueError:
        raise invalid("'prefixes' are CIDRs, such as 10.64.0.0/12.") from None
    versions = {6 if ":" in each else 4 for each in prefixes}
    if len(versions) != 1:
        raise _mixed()
    values["prefixes"] = prefixes
    return versions.pop()


def _check(call: Call, record: SubnetPool) -> None:
    least, default, most = record.min_prefixlen, record.default_prefixlen, record.max_prefixlen
    if not least <= default <= most or most > (32 if record.ip_version == 4 else 128):
        raise Invalid(
            f"Illegal prefix bounds: min_prefixlen={least}, default_prefixlen={default}, max_prefixlen={most}: "
            "they are to grow in this order.",
            kind="IllegalSubnetPoolPrefixBounds",
        )
    if record.address_scope_id is not None:
        scope = call.store.address_scope.get(record.address_scope_id, viewer=call.owner)
        if scope.ip_version != record.ip_version:
            raise Invalid(
                f"Illegal subnetpool association: subnetpool {record.id} cannot associate with address scope "
                f"{scope.id} because subnetpool ip_version is not {scope.ip_version}.",
                kind="IllegalSubnetPoolIpVersionAssociationToAddressScope",
            )


def _one_default(call: Call, record: SubnetPool) -> None:
    if record.is_default:
        other = call.store.subnet_pool.default(record.ip_version)
        if other is not None and other.id != record.id:
            raise invalid(f"A default subnetpool for IPv{record.ip_version} already exists: {other.id}.")


@subnet_pools.route("GET", policy="get_subnetpool")
def index(call: Call) -> Reply:
    """The pools that the project sees. One statement."""
    return listing(call, "subnetpools", call.store.subnet_pool.list, view, _FILTERS, _SORTS)


@subnet_pools.route("GET", "/{id}", policy="get_subnetpool")
def show(call: Call) -> Reply:
    """One pool."""
    record = call.store.subnet_pool.get(call.path["id"], viewer=call.owner)
    return Reply(200, {"subnetpool": selected(call, view(call, record))})


@subnet_pools.route(
    "PUT", "/{id}", policy="update_subnetpool", checked_by_handler=True, body=PoolChange, key="subnetpool"
)
def update(call: Call) -> Reply:
    """Change fields; prefixes may be added this way, and not taken away."""
    record = call.store.subnet_pool.get(call.path["id"], viewer=call.owner)
    target = {"project_id": record.project_id}
    call.require("update_subnetpool", target)
    require_each(call, "update_subnetpool", named(call.body), _UPDATE_RULES, target)
    check_revision(call, record)
    values = given(call.body)
    version = _convert(values)
    if version not in (0, record.ip_version):
        raise _mixed()
    if version and not all(inside(values["prefixes"], each) for each in record.prefixes):
        raise Invalid(
            "Existing prefixes must be a subset of the new prefixes: name them all, and the new ones.",
            kind="IllegalSubnetPoolPrefixUpdate",
        )
    changed = msgspec.structs.replace(record, **values)
    _check(call, changed)
    _check_owner_of_scope(call, record, values)
    _one_default(call, changed)
    return Reply(200, {"subnetpool": view(call, call.store.subnet_pool.change(record, values, call.now))})


def _check_owner_of_scope(call: Call, record: SubnetPool, values: dict[str, Any]) -> None:
    """Which addresses a scope has is for its own project to say: nobody else changes those of its pools."""
    if record.address_scope_id is None or values.get("prefixes", record.prefixes) == record.prefixes:
        return
    scope = call.store.address_scope.get(record.address_scope_id)
    if not call.is_admin and scope.project_id != call.project_id:
        raise Invalid(
            f"Illegal subnetpool association: subnetpool {record.id} cannot be updated, because its address scope "
            f"{scope.id} is not owned by the project: ask its owner.",
            kind="IllegalSubnetPoolAssociationToAddressScope",
        )


@subnet_pools.route("PUT", "/{id}/add_prefixes", policy="add_prefixes", checked_by_handler=True, body=Prefixes)
def add_prefixes(call: Call) -> Reply:
    """More prefixes."""
    record = for_change(call, call.store.subnet_pool, "add_prefixes")
    more = _prefixes(call.body.prefixes, record.ip_version)
    return _with_prefixes(call, record, merged([*record.prefixes, *more]))


@subnet_pools.route("PUT", "/{id}/remove_prefixes", policy="remove_prefixes", checked_by_handler=True, body=Prefixes)
def remove_prefixes(call: Call) -> Reply:
    """Fewer prefixes; what subnets are made of stays."""
    record = for_change(call, call.store.subnet_pool, "remove_prefixes")
    left = without(record.prefixes, _prefixes(call.body.prefixes, record.ip_version))
    call.store.subnet_pool.refuse_lost(record, left)
    return _with_prefixes(call, record, left)


def _mixed() -> Invalid:
    return Invalid("Cannot mix IPv4 and IPv6 prefixes in a subnet pool.", kind="PrefixVersionMismatch")


def _prefixes(wanted: list[str], version: int) -> tuple[str, ...]:
    """CIDRs of the pool's version of IP. Raises Invalid."""
    values: dict[str, Any] = {"prefixes": wanted}
    if _convert(values) != version:
        raise _mixed()
    found: tuple[str, ...] = values["prefixes"]
    return found


def _with_prefixes(call: Call, record: SubnetPool, prefixes: tuple[str, ...]) -> Reply:
    values = {"prefixes": prefixes}
    _check_owner_of_scope(call, record, values)
    changed = call.store.subnet_pool.change(record, values, call.now)
    return Reply(200, {"prefixes": list(changed.prefixes)})


@subnet_pools.route("DELETE", "/{id}", policy="delete_subnetpool", checked_by_handler=True)
def delete(call: Call) -> Reply:
    """Delete a pool that no subnet is made of."""
    record = for_change(call, call.store.subnet_pool, "delete_subnetpool")
    call.store.subnet_pool.delete(record)
    return Reply(204)


def view(_call: Call, record: SubnetPool) -> dict[str, Any]:
    """A pool as the API shows it: its lengths as text, as Neutron has them."""
    return {
        **standard(record),
        "ip_version": record.ip_version,
        "prefixes": list(record.prefixes),
        "min_prefixlen": str(record.min_prefixlen),
        "max_prefixlen": str(record.max_prefixlen),
        "default_prefixlen": str(record.default_prefixlen),
        "default_quota": record.default_quota,
        "address_scope_id": record.address_scope_id,
        "shared": record.shared,
        "is_default": record.is_default,
    }
