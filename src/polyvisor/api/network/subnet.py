"""Subnets: list, show, change and delete them."""

import re
from typing import Any

import msgspec

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.fields import UNSET, Address, Name, Text, Truth, UnsetType, given, invalid, named, truths
from polyvisor.api.network.form import (
    ADMIN,
    READER,
    check_revision,
    filters_of,
    listing,
    names_of,
    require_each,
    restricted,
    selected,
    standard,
)
from polyvisor.model.errors import Invalid
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.subnet import Pool, Subnet
from polyvisor.model.subnet_check import canonical_address, canonical_route

subnets = Resource("/subnets")

OF_NETWORK = "rule:context_is_admin or (role:member and project_id:%(network:project_id)s)"
OF_EITHER = "rule:project_member_or_admin or (role:member and project_id:%(network:project_id)s)"
_UPDATE = restricted("update", "subnet", {"segment_id": ADMIN, "service_types": OF_EITHER})
_UPDATE_RULES = names_of(_UPDATE)
RULES = [
    Rule(name="get_subnet", check=READER, description="List and show the subnets that the project sees."),
    Rule(name="update_subnet", check=OF_EITHER, description="Change a subnet."),
    Rule(name="delete_subnet", check=OF_EITHER, description="Delete a subnet."),
    *_UPDATE,
]
_MOST_SERVERS, _MOST_ROUTES = 5, 20
_OWNER = re.compile("[a-z][a-z0-9_-]*:")
"""How the device owners begin that a subnet may be for: compute:, network:, baremetal: and those of others' ports."""


class Route(msgspec.Struct, forbid_unknown_fields=True):
    """A route for ports."""

    destination: Address
    nexthop: Address


class Addresses(msgspec.Struct, forbid_unknown_fields=True):
    """An allocation pool."""

    start: Address
    end: Address


class SubnetChange(msgspec.Struct, forbid_unknown_fields=True):
    """What of a subnet can be changed."""

    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    gateway_ip: Address | UnsetType | None = UNSET
    allocation_pools: list[Addresses] | UnsetType = UNSET
    dns_nameservers: list[Address] | UnsetType | None = UNSET
    host_routes: list[Route] | UnsetType | None = UNSET
    enable_dhcp: Truth | UnsetType = UNSET
    segment_id: str | UnsetType | None = UNSET
    service_types: list[Name] | UnsetType = UNSET
    dns_publish_fixed_ip: Truth | UnsetType = UNSET


_FILTERS = filters_of(
    "network_id", "ip_version", "cidr", "gateway_ip", "enable_dhcp", "ipv6_ra_mode", "ipv6_address_mode",
    "subnetpool_id", "segment_id", "dns_publish_fixed_ip", "shared",
)  # fmt: skip
_SORTS = ("id", "name", "project_id", "network_id", "ip_version", "cidr", "gateway_ip", "enable_dhcp", "created_at",
          "updated_at")  # fmt: skip


def convert(values: dict[str, Any]) -> None:
    """Make of the body's values what the record holds. Raises Invalid."""
    truths(values, "enable_dhcp", "dns_publish_fixed_ip")
    if values.get("gateway_ip") is not None:
        values["gateway_ip"] = canonical_address(values["gateway_ip"])
    if "allocation_pools" in values:
        values["allocation_pools"] = tuple(
            Pool(start=canonical_address(each.start), end=canonical_address(each.end))
            for each in values["allocation_pools"]
        )
    if "dns_nameservers" in values:
        values["dns_nameservers"] = _servers(values["dns_nameservers"] or [])
    if "host_routes" in values:
        given_routes = values["host_routes"] or []
        _most(given_routes, _MOST_ROUTES, "host routes", "HostRoutesExhausted")
        routes = tuple(canonical_route(each.destination, each.nexthop) for each in given_routes)
        if len({(each.destination, each.nexthop) for each in routes}) < len(routes):
            raise invalid("duplicate routes in 'host_routes': give each once.")
        values["host_routes"] = routes
    if "service_types" in values:
        values["service_types"] = _service_types(values["service_types"])


def _servers(given_servers: list[str]) -> tuple[str, ...]:
    _most(given_servers, _MOST_SERVERS, "DNS nameservers", "DNSNameServersExhausted")
    servers = tuple(canonical_address(each) for each in given_servers)
    if len(set(servers)) < len(servers):
        raise invalid("duplicate nameservers in 'dns_nameservers': give each once.")
    return servers


def _most(values: list[Any], most: int, what: str, kind: str) -> None:
    if len(values) > most:
        raise Invalid(f"Unable to complete operation. The number of {what} exceeds the limit {most}.", kind=kind)


def _service_types(values: list[str]) -> tuple[str, ...]:
    for value in values:
        if not _OWNER.match(value) or len(set(values)) < len(values):
            raise Invalid(
                f"Subnet service type '{value[:64]}' does not correspond to a valid device owner, or is given twice.",
                kind="InvalidSubnetServiceType",
            )
    return tuple(values)


@subnets.route("GET", policy="get_subnet")
def index(call: Call) -> Reply:
    """The subnets that the project sees. One statement."""
    return listing(call, "subnets", call.store.subnet.list, view, _FILTERS, _SORTS)


@subnets.route("GET", "/{id}", policy="get_subnet")
def show(call: Call) -> Reply:
    """One subnet."""
    record = call.store.subnet.get(call.path["id"], viewer=call.owner)
    return Reply(200, {"subnet": selected(call, view(call, record))})


@subnets.route("PUT", "/{id}", policy="update_subnet", checked_by_handler=True, body=SubnetChange, key="subnet")
def update(call: Call) -> Reply:
    """Change fields."""
    record = call.store.subnet.get(call.path["id"], viewer=call.owner)
    target = target_of(call, record)
    call.require("update_subnet", target)
    require_each(call, "update_subnet", named(call.body), _UPDATE_RULES, target)
    check_revision(call, record)
    values = given(call.body)
    convert(values)
    check_segment(call, values.get("segment_id"), record.network_id)
    changed = call.store.subnet.change(record, values, call.now)
    call.store.metadata_port.keep(record.network_id, now=call.now, settings=call.part(NetworkSettings))
    return Reply(200, {"subnet": view(call, changed)})


@subnets.route("DELETE", "/{id}", policy="delete_subnet", checked_by_handler=True)
def delete(call: Call) -> Reply:
    """Delete a subnet that no port has addresses of."""
    record = call.store.subnet.get(call.path["id"], viewer=call.owner)
    call.require("delete_subnet", target_of(call, record))
    check_revision(call, record)
    call.store.subnet.delete(record, call.now)
    return Reply(204)


def target_of(call: Call, record: Subnet) -> dict[str, Any]:
    """What a rule is asked about a subnet."""
    network = call.store.network.get(record.network_id)
    return {"project_id": record.project_id, "network:project_id": network.project_id}


def check_segment(call: Call, segment_id: str | None, network_id: str) -> None:
    """Raise Invalid or NotFound where the segment is none of the network's."""
    if segment_id is not None and call.store.segment.get(segment_id, viewer=call.owner).network_id != network_id:
        raise invalid(f"segment {segment_id} is not one of network {network_id}.")


def view(_call: Call, record: Subnet) -> dict[str, Any]:
    """A subnet as the API shows it."""
    return {
        **standard(record),
        "network_id": record.network_id,
        "ip_version": record.ip_version,
        "cidr": record.cidr,
        "gateway_ip": record.gateway_ip,
        "allocation_pools": [{"start": each.start, "end": each.end} for each in record.allocation_pools],
        "dns_nameservers": list(record.dns_nameservers),
        "host_routes": [{"destination": each.destination, "nexthop": each.nexthop} for each in record.host_routes],
        "enable_dhcp": record.enable_dhcp,
        "ipv6_ra_mode": record.ipv6_ra_mode,
        "ipv6_address_mode": record.ipv6_address_mode,
        "subnetpool_id": record.subnetpool_id,
        "segment_id": record.segment_id,
        "service_types": list(record.service_types),
        "dns_publish_fixed_ip": record.dns_publish_fixed_ip,
    }
