"""Routers' interfaces: which subnets a router is on."""

from collections.abc import Sequence
from typing import Any

import msgspec

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.fields import Id
from polyvisor.api.network.form import MEMBER, for_change
from polyvisor.model.errors import Invalid
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.router import Router
from polyvisor.model.subnet import Subnet

router_interfaces = Resource("/routers/{id}")
RULES = [
    Rule(name="add_router_interface", check=MEMBER, description="Add an interface to a router."),
    Rule(name="remove_router_interface", check=MEMBER, description="Remove an interface from a router."),
]


class Where(msgspec.Struct, forbid_unknown_fields=True):
    """The subnet, or the port."""

    subnet_id: Id | None = None
    port_id: Id | None = None


@router_interfaces.route(
    "PUT", "/add_router_interface", policy="add_router_interface", checked_by_handler=True, body=Where
)
def add(call: Call) -> Reply:
    """Put a router on a subnet, at the address of the subnet's gateway, or let it have a port."""
    record, where = _found(call, "add_router_interface")
    interfaces = call.store.router_interface
    if where.port_id is not None and where.subnet_id is not None:
        raise Invalid("Bad router request: Cannot specify both subnet-id and port-id.")
    if where.port_id is not None:
        port, subnets = interfaces.add_port(record, where.port_id, viewer=call.owner, now=call.now)
    else:
        port, subnet = interfaces.add_subnet(
            record,
            str(where.subnet_id),
            viewer=call.owner,
            port_id=call.new_id(),
            now=call.now,
            settings=call.part(NetworkSettings),
        )
        subnets = [subnet]
    return Reply(200, _view(record, port.id, port.network_id, subnets))


@router_interfaces.route(
    "PUT", "/remove_router_interface", policy="remove_router_interface", checked_by_handler=True, body=Where
)
def remove(call: Call) -> Reply:
    """Take a router off a subnet, or off the subnets of a port, which is deleted."""
    record, where = _found(call, "remove_router_interface")
    interface, subnets = call.store.router_interface.remove(
        record, port_id=where.port_id, subnet_id=where.subnet_id, now=call.now
    )
    return Reply(200, _view(record, interface.port_id, interface.network_id, subnets))


def _found(call: Call, rule: str) -> tuple[Router, Where]:
    record = for_change(call, call.store.router, rule)
    where: Where = call.body
    if where.port_id is None and where.subnet_id is None:
        raise Invalid("Bad router request: Either subnet_id or port_id must be specified.")
    return record, where


def _view(record: Router, port_id: str, network_id: str, subnets: Sequence[Subnet]) -> dict[str, Any]:
    return {
        "id": record.id,
        "tenant_id": record.project_id,
        "project_id": record.project_id,
        "port_id": port_id,
        "network_id": network_id,
        "subnet_id": subnets[-1].id,
        "subnet_ids": [each.id for each in subnets],
        "tags": list(record.tags),
    }
