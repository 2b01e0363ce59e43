"""The ports of a server: listed, plugged in and taken out."""

from typing import Annotated, Any

import msgspec

from polyvisor.api.compute.server import begin
from polyvisor.api.compute.server_asked import NetworkAsked, Tag, check_address
from polyvisor.api.compute.server_network import (
    NONE_THERE,
    Wish,
    as_bad_request,
    is_offered,
    named,
    only_network,
    plugged,
)
from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.model.errors import Conflict, Invalid, NotFound
from polyvisor.model.order import ServerInterface
from polyvisor.model.server import Server, VmState
from polyvisor.model.server_port import ShownPort

server_interfaces = Resource("/servers")

_POLICY = "os_compute_api:os-attach-interfaces"
_READER, _MEMBER = "rule:project_reader_or_admin", "rule:project_member_or_admin"
RULES = [
    Rule(name=f"{_POLICY}:list", check=_READER, description="List the ports of a server."),
    Rule(name=f"{_POLICY}:show", check=_READER, description="Show a port of a server."),
    Rule(name=f"{_POLICY}:create", check=_MEMBER, description="Plug a port into a server."),
    Rule(name=f"{_POLICY}:delete", check=_MEMBER, description="Take a port out of a server."),
]
_STATES = (VmState.ACTIVE, VmState.PAUSED, VmState.STOPPED)
_OVERRIDE = "os_compute_api:os-lock-server:unlock:unlock_override"


class _FixedIp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ip_address: str


class _Attach(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    net_id: str | None = None
    port_id: str | None = None
    fixed_ips: Annotated[list[_FixedIp], msgspec.Meta(min_length=1, max_length=1)] | None = None


class _AttachFrom249(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    net_id: str | None = None
    port_id: str | None = None
    fixed_ips: Annotated[list[_FixedIp], msgspec.Meta(min_length=1, max_length=1)] | None = None
    tag: Tag | None = None


@server_interfaces.route("GET", "/{id}/os-interface", policy=f"{_POLICY}:list")
def interfaces(call: Call) -> Reply:
    """All of them, in the order of the cards."""
    server = call.store.server.get(call.path["id"], project_id=call.owner)
    ports = call.store.server_port.shown([server])[server.id]
    return Reply(200, {"interfaceAttachments": [_view(call, server, port) for port in ports]})


@server_interfaces.route("GET", "/{id}/os-interface/{port_id}", policy=f"{_POLICY}:show")
def interface(call: Call) -> Reply:
    """One of them."""
    server = call.store.server.get(call.path["id"], project_id=call.owner)
    return Reply(200, {"interfaceAttachment": _view(call, server, _shown(call, server, call.path["port_id"]))})


@server_interfaces.route(
    "POST",
    "/{id}/os-interface",
    policy=f"{_POLICY}:create",
    body={(2, 1): _Attach | None, (2, 49): _AttachFrom249 | None},
    key="interfaceAttachment",
)
def attach(call: Call) -> Reply:
    """Make or take a port for the server, and begin to plug it in."""
    server = _changeable(call, "attach_interface")
    asked = call.body if call.body is not None else _Attach()
    with as_bad_request("IpAddressGenerationFailure"):
        wish = _wish(call, asked)
        [changed] = plugged(call, [server], [wish], None)
    call.store.server.change(server.id, ports=changed.ports, updated_at=call.now)
    port_id = changed.ports[-1].port_id
    begin(call, server, "server.attach_interface", ServerInterface(server_id=server.id, port_id=port_id))
    return Reply(200, {"interfaceAttachment": _view(call, changed, _shown(call, changed, port_id))})


@server_interfaces.route("DELETE", "/{id}/os-interface/{port_id}", policy=f"{_POLICY}:delete")
def detach(call: Call) -> Reply:
    """Begin to take it out; a port that was made for the server goes with it."""
    server = _changeable(call, "detach_interface")
    port_id = call.path["port_id"]
    if port_id not in {port.port_id for port in server.ports}:
        raise NotFound(f"Port id {port_id} could not be found among the ports of instance {server.id}.")
    begin(call, server, "server.detach_interface", ServerInterface(server_id=server.id, port_id=port_id))
    return Reply(202)


def _changeable(call: Call, action: str) -> Server:
    server = call.store.server.get(call.path["id"], project_id=call.owner)
    if server.locked and not call.allows(_OVERRIDE):
        raise Conflict(f"Instance {server.id} is locked: unlock it first.")
    if server.vm_state not in _STATES:
        raise Conflict(f"Cannot '{action}' instance {server.id} while it is in vm_state {server.vm_state}.")
    if server.task_state is not None:
        raise Conflict(f"Cannot '{action}' instance {server.id} while it is in task_state {server.task_state}.")
    return server


def _wish(call: Call, asked: _Attach | _AttachFrom249) -> Wish:
    if asked.net_id and asked.port_id:
        raise Invalid("Must not input both network_id and port_id.")
    if asked.fixed_ips and not asked.net_id:
        raise Invalid("Must input network_id when request IP address.")
    fixed_ip = asked.fixed_ips[0].ip_address if asked.fixed_ips else None
    if fixed_ip is not None:
        check_address(fixed_ip)
    if not is_offered(call):
        raise Invalid(NONE_THERE)
    tag = asked.tag if isinstance(asked, _AttachFrom249) else None
    if asked.net_id or asked.port_id:
        [wish] = named(call, [NetworkAsked(uuid=asked.net_id, port=asked.port_id, fixed_ip=fixed_ip, tag=tag)])
        return wish
    network = only_network(call)
    if network is None:
        raise Invalid("No network could be found: name one, or a port.")
    [wish] = named(call, [NetworkAsked(uuid=network.id, tag=tag)])
    return wish


def _shown(call: Call, server: Server, port_id: str) -> ShownPort:
    for port in call.store.server_port.shown([server])[server.id]:
        if port.id == port_id:
            return port
    raise NotFound(f"Instance {server.id} does not have the port {port_id}.")


def _view(call: Call, server: Server, port: ShownPort) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "net_id": port.network_id,
        "port_id": port.id,
        "mac_addr": port.mac_address,
        "port_state": port.status,
        "fixed_ips": [{"subnet_id": each.subnet_id, "ip_address": each.ip_address} for each in port.fixed_ips],
    }
    if call.version >= (2, 70):
        tags = {each.port_id: each.tag for each in server.ports}
        shown["tag"] = tags[port.id] or None
    return shown
