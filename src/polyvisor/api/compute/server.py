"""One server: shown, renamed, deleted; and how an operation on it begins."""

from typing import Annotated, Any

import msgspec

from polyvisor.api.compute.fields import address
from polyvisor.api.compute.server_asked import Name, checked_hostname
from polyvisor.api.compute.server_view import alone, changed, host_status_of, shown_to_host_status_readers
from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.model.errors import Conflict, Invalid
from polyvisor.model.order import ServerTarget
from polyvisor.model.server import Server, TaskState

servers = Resource("/servers")

RULES = [
    Rule(
        name="os_compute_api:servers:show",
        check="rule:project_reader_or_admin",
        description="Show a server.",
    ),
    Rule(
        name="os_compute_api:servers:show:host_status",
        check="rule:context_is_admin",
        description="See the state of the host that a server is on.",
    ),
    Rule(
        name="os_compute_api:os-extended-server-attributes",
        check="rule:context_is_admin",
        description="See a server's host and what else concerns the cloud's inside.",
    ),
    Rule(
        name="os_compute_api:servers:update",
        check="rule:project_member_or_admin",
        description="Change a server's name, description or addresses of access.",
    ),
    Rule(
        name="os_compute_api:servers:delete",
        check="rule:project_member_or_admin",
        description="Delete a server.",
    ),
]


@servers.route("GET", "/{id}", policy="os_compute_api:servers:show")
def show(call: Call) -> Reply:
    """One server."""
    server = call.store.server.get(call.path["id"], project_id=call.owner)
    return Reply(200, {"server": alone(call, server, _status_of_its_host(call, server))})


def _status_of_its_host(call: Call, server: Server) -> str | None:
    if not shown_to_host_status_readers(call):
        return None
    if server.host is None:
        return ""
    host = call.store.host.get(server.host)
    return host_status_of(host.state, host.enabled)


class _Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Name | None = None
    accessIPv4: str | None = None
    accessIPv6: str | None = None
    disk_config: str | None = msgspec.field(default=None, name="OS-DCF:diskConfig")
    hostname: str | None = None


class _ChangeFrom219(_Change, frozen=True, kw_only=True, forbid_unknown_fields=True):
    description: Annotated[str, msgspec.Meta(max_length=255)] | msgspec.UnsetType | None = msgspec.UNSET


@servers.route(
    "PUT",
    "/{id}",
    policy="os_compute_api:servers:update",
    body={(2, 1): _Change, (2, 19): _ChangeFrom219},
    key="server",
)
def update(call: Call) -> Reply:
    """Rename or describe a server."""
    server = call.store.server.get(call.path["id"], project_id=call.owner)
    asked: _Change = call.body
    if asked.hostname is not None and call.version < (2, 90):
        raise Invalid("The field 'server.hostname' is not known here. It begins at microversion 2.90.")
    if asked.disk_config not in (None, "AUTO", "MANUAL"):
        raise Invalid("The field 'server.OS-DCF:diskConfig' is invalid: AUTO or MANUAL is expected.")
    values: dict[str, Any] = {
        "name": asked.name,
        "access_ipv4": None if asked.accessIPv4 is None else address(asked.accessIPv4, 4, "server.accessIPv4"),
        "access_ipv6": None if asked.accessIPv6 is None else address(asked.accessIPv6, 6, "server.accessIPv6"),
        "disk_config": asked.disk_config,
        "hostname": None if asked.hostname is None else checked_hostname(asked.hostname, call),
    }
    values = {name: value for name, value in values.items() if value is not None}
    if isinstance(asked, _ChangeFrom219) and asked.description is not msgspec.UNSET:
        values["description"] = asked.description
    call.store.server.change(server.id, **values, updated_at=call.now)
    server = call.store.server.get(server.id)
    return Reply(200, {"server": changed(call, server, _status_of_its_host(call, server))})


@servers.route("DELETE", "/{id}", policy="os_compute_api:servers:delete")
def delete(call: Call) -> Reply:
    """Stop whatever is being done to the server, and delete it."""
    server = call.store.server.get(call.path["id"], project_id=call.owner)
    if server.locked and not call.is_admin:
        raise Conflict(f"Instance {server.id} is locked: unlock it before you delete it.")
    if server.task_state is TaskState.DELETING:
        return Reply(204)
    call.store.operation.cancel(server.id, call.now)
    begin(call, server, "server.delete", ServerTarget(server_id=server.id))
    call.store.server.change(server.id, task_state=TaskState.DELETING, updated_at=call.now)
    return Reply(204)


def begin(call: Call, server: Server, kind: str, args: msgspec.Struct) -> str:
    """Record an operation on a server; returns its id."""
    id = call.new_id()
    call.name(server_id=server.id, operation_id=id)
    call.store.operation.begin(
        id=id,
        kind=kind,
        target_id=server.id,
        project_id=server.project_id,
        user_id=call.caller.user_id,
        request_id=call.request_id,
        args=msgspec.to_builtins(args),
        now=call.now,
    )
    return id
