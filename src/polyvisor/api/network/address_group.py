"""Address groups: addresses that rules of security groups name together."""

from typing import Annotated, Any

import msgspec

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.fields import UNSET, Name, Project, Tags, Text, UnsetType, given, given_new, invalid
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
from polyvisor.model.errors import Invalid, NotFound
from polyvisor.model.ip import read_network
from polyvisor.model.security_group import AddressGroup

address_groups = Resource("/address-groups")
RULES = [
    Rule(name="create_address_group", check=MEMBER, description="Make an address group."),
    Rule(name="get_address_group", check=READER, description="List and show the address groups that one sees."),
    Rule(name="update_address_group", check=MEMBER, description="Change an address group."),
    Rule(name="delete_address_group", check=MEMBER, description="Delete an address group."),
    Rule(name="add_addresses", check=MEMBER, description="Add addresses to an address group."),
    Rule(name="remove_addresses", check=MEMBER, description="Remove addresses from an address group."),
]
_FILTERS = filters_of("shared")
_SORTS = ("id", "name", "description", "project_id", "created_at", "updated_at")
Cidrs = list[Annotated[str, msgspec.Meta(max_length=64)]]


class NewAddressGroup(msgspec.Struct, forbid_unknown_fields=True):
    """What makes an address group."""

    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    tenant_id: Project | UnsetType = UNSET
    project_id: Project | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    addresses: Cidrs | UnsetType | None = UNSET


class AddressGroupChange(msgspec.Struct, forbid_unknown_fields=True):
    """What of an address group can be changed by itself."""

    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET


class Addresses(msgspec.Struct, forbid_unknown_fields=True):
    """What to add or to remove."""

    addresses: Cidrs


@address_groups.route(
    "POST",
    policy="create_address_group",
    checked_by_handler=True,
    body=body_of("address_group", "address_groups", NewAddressGroup),
)
def create(call: Call) -> Reply:
    """New groups, with their addresses."""
    wanted, several = each_of(call.body)
    return made("address_group", "address_groups", [view(call, _make(call, each)) for each in wanted], several=several)


def _make(call: Call, new: NewAddressGroup) -> AddressGroup:
    values = given_new(new)
    target: dict[str, Any] = {"project_id": project_of(call, values)}
    call.require("create_address_group", target)
    addresses = cidrs(values.pop("addresses", None) or (), with_prefix=True)
    record = AddressGroup(
        id=call.new_id(), addresses=addresses, created_at=call.now, updated_at=call.now, **target, **values
    )
    call.store.address_group.create(record)
    return record


def cidrs(texts: Any, *, with_prefix: bool = False) -> tuple[str, ...]:
    """Ranges of addresses in one form, each once; an address alone is a range of one, unless `with_prefix` asks for its
    prefix length, as Neutron does of new groups alone. Raises Invalid."""
    found: dict[str, None] = {}
    for text in texts:
        try:
            if "%" in text or (with_prefix and "/" not in text):
                raise ValueError
            found[str(read_network(text, strict=False))] = None
        except ValueError:
            raise invalid(
                f"'{text}' is not a valid IP subnet: such as 192.0.2.0/24 or 192.0.2.7/32 is expected."
            ) from None
    return tuple(found)


@address_groups.route("GET", policy="get_address_group")
def index(call: Call) -> Reply:
    """The groups that the project sees. One statement."""
    return listing(call, "address_groups", call.store.address_group.list, view, _FILTERS, _SORTS)


@address_groups.route("GET", "/{id}", policy="get_address_group")
def show(call: Call) -> Reply:
    """One group."""
    record = call.store.address_group.get(call.path["id"], viewer=call.owner)
    return Reply(200, {"address_group": selected(call, view(call, record))})


@address_groups.route(
    "PUT", "/{id}", policy="update_address_group", checked_by_handler=True, body=AddressGroupChange, key="address_group"
)
def update(call: Call) -> Reply:
    """Change name and description."""
    record = for_change(call, call.store.address_group, "update_address_group")
    return _changed(call, record, given(call.body))


@address_groups.route("PUT", "/{id}/add_addresses", policy="add_addresses", checked_by_handler=True, body=Addresses)
def add(call: Call) -> Reply:
    """Add addresses that are not in the group yet."""
    record = for_change(call, call.store.address_group, "add_addresses")
    more = cidrs(call.body.addresses)
    known = [each for each in more if each in record.addresses]
    if known:
        raise Invalid(
            f"Addresses {', '.join(known)} already exist in the address group {record.id}.",
            kind="AddressesAlreadyExist",
        )
    return _changed(call, record, {"addresses": (*record.addresses, *more)})


@address_groups.route(
    "PUT", "/{id}/remove_addresses", policy="remove_addresses", checked_by_handler=True, body=Addresses
)
def remove(call: Call) -> Reply:
    """Remove addresses that are in the group."""
    record = for_change(call, call.store.address_group, "remove_addresses")
    gone = cidrs(call.body.addresses)
    unknown = [each for each in gone if each not in record.addresses]
    if unknown:
        raise NotFound(
            f"Addresses {', '.join(unknown)} not found in the address group {record.id}.", kind="AddressesNotFound"
        )
    return _changed(call, record, {"addresses": tuple(each for each in record.addresses if each not in gone)})


def _changed(call: Call, record: AddressGroup, changes: dict[str, Any]) -> Reply:
    return Reply(200, {"address_group": view(call, call.store.address_group.change(record, changes, call.now))})


@address_groups.route("DELETE", "/{id}", policy="delete_address_group", checked_by_handler=True)
def delete(call: Call) -> Reply:
    """Delete a group that no rule names."""
    record = for_change(call, call.store.address_group, "delete_address_group")
    call.store.address_group.delete(record.id)
    return Reply(204)


def view(_call: Call, record: AddressGroup) -> dict[str, Any]:
    """A group as the caller sees it."""
    return {**standard(record), "addresses": list(record.addresses), "shared": record.shared}
