"""The security groups of a server's ports, all of them at once."""

from typing import Annotated

import msgspec

from polyvisor.api.compute.security_group import POLICY, views
from polyvisor.api.compute.server_network import groups_of
from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.model.errors import Conflict, Invalid, NotFound
from polyvisor.model.port import Port
from polyvisor.model.server import Server

server_security_groups = Resource("/servers")

_OVERRIDE = "os_compute_api:os-lock-server:unlock:unlock_override"
RULES = [
    Rule(
        name=f"{POLICY}:list",
        check="rule:project_reader_or_admin",
        description="List the security groups of a server's ports.",
    ),
    Rule(
        name=f"{POLICY}:add",
        check="rule:project_member_or_admin",
        description="Put all ports of a server into a security group.",
    ),
    Rule(
        name=f"{POLICY}:remove",
        check="rule:project_member_or_admin",
        description="Take all ports of a server out of a security group.",
    ),
]


class _Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


@server_security_groups.route("GET", "/{id}/os-security-groups", policy=f"{POLICY}:list")
def security_groups(call: Call) -> Reply:
    """Those of all its ports, with their rules."""
    server = call.store.server.get(call.path["id"], project_id=call.owner)
    ports = call.store.server_port.shown([server])[server.id]
    ids = dict.fromkeys(group.id for port in ports for group in port.groups)
    groups = call.store.security_group.of_ids(ids)
    return Reply(200, {"security_groups": views(call, [groups[id] for id in ids if id in groups])})


@server_security_groups.action("addSecurityGroup", policy=f"{POLICY}:add", body=_Group)
def add_security_group(call: Call) -> Reply:
    """Each port that may be in groups is in this one, too."""
    server = _changeable(call)
    [group] = groups_of(call, [call.body.name])
    ports = [port for port in _ports(call, server) if port.port_security_enabled]
    if not ports:
        raise Invalid(
            f"Instance {server.id} has no port with port security: security groups apply to ports. Plug one in first."
        )
    for port in ports:
        if group not in port.security_group_ids:
            call.store.port.change(port, {"security_group_ids": (*port.security_group_ids, group)}, call.now)
    call.store.server.change(server.id, updated_at=call.now)
    return Reply(202)


@server_security_groups.action("removeSecurityGroup", policy=f"{POLICY}:remove", body=_Group)
def remove_security_group(call: Call) -> Reply:
    """No port is in it any more."""
    server = _changeable(call)
    [group] = groups_of(call, [call.body.name])
    ports = [port for port in _ports(call, server) if group in port.security_group_ids]
    if not ports:
        raise NotFound(f"Security group {call.body.name} is not associated with the instance {server.id}.")
    for port in ports:
        left = tuple(id for id in port.security_group_ids if id != group)
        call.store.port.change(port, {"security_group_ids": left}, call.now)
    call.store.server.change(server.id, updated_at=call.now)
    return Reply(202)


def _changeable(call: Call) -> Server:
    server = call.store.server.get(call.path["id"], project_id=call.owner)
    if server.locked and not call.allows(_OVERRIDE):
        raise Conflict(f"Instance {server.id} is locked: unlock it first.")
    return server


def _ports(call: Call, server: Server) -> list[Port]:
    found = call.store.port.of_ids([port.port_id for port in server.ports])
    return [found[port.port_id] for port in server.ports if port.port_id in found]
