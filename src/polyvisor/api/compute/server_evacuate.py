"""Evacuation: bringing a server up elsewhere when its host is down, asked for by an administrator."""

import secrets
from typing import Annotated

import msgspec

from polyvisor.api.compute.fields import Truth, truth
from polyvisor.api.compute.server import begin
from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.model.errors import Conflict, Invalid, NotFound
from polyvisor.model.host import Host, HostState, disks_shared
from polyvisor.model.image import ImageStatus
from polyvisor.model.order import ServerEvacuate
from polyvisor.model.server import Server, TaskState, VmState

server_evacuate = Resource("/servers")

RULES = [
    Rule(
        name="os_compute_api:os-evacuate",
        check="rule:context_is_admin",
        description="Evacuate a server from a host that is down.",
    ),
]

_STATES = (VmState.ACTIVE, VmState.STOPPED, VmState.ERROR)
_HostName = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
_Password = Annotated[str, msgspec.Meta(max_length=255)]


class _Evacuate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    host: _HostName | None = None
    adminPass: _Password | None = None


class _EvacuateUntil213(_Evacuate, frozen=True, kw_only=True, forbid_unknown_fields=True):
    onSharedStorage: Truth


class _EvacuateFrom229(_Evacuate, frozen=True, kw_only=True, forbid_unknown_fields=True):
    force: Truth = False


@server_evacuate.action(
    "evacuate",
    policy="os_compute_api:os-evacuate",
    body={(2, 1): _EvacuateUntil213, (2, 14): _Evacuate, (2, 29): _EvacuateFrom229, (2, 68): _Evacuate},
)
def evacuate(call: Call) -> Reply:
    """Record it. The answer is a 200, as Nova's, though the work is still to be done."""
    asked: _Evacuate = call.body
    force = _forced(call, asked)
    server = call.store.server.get(call.path["id"], project_id=call.owner)
    _check_target(call, server, asked.host)
    _check_state(server)
    source = _source(call, server)
    keeps = _keeps_disks(call, source)
    _check_shared_storage(asked, source, keeps)
    if not keeps:
        _check_image(call, server, source)
    password = None if keeps else asked.adminPass or secrets.token_urlsafe(9)
    project = call.store.project.find(server.project_id)
    # What the failed host was doing to it is over; it may never answer for it.
    call.store.operation.cancel(server.id, call.now)
    order = ServerEvacuate(
        server=server,
        project_name=project.name if project else "",
        host=asked.host,
        force=force,
        admin_password=password if password and server.config_drive else "",
        stay_stopped=call.version >= (2, 95),
    )
    begin(call, server, "server.evacuate", order)
    call.store.server.change(server.id, task_state=TaskState.REBUILDING, updated_at=call.now)
    return Reply(200, {"adminPass": password} if call.version < (2, 14) else None)


def _forced(call: Call, asked: _Evacuate) -> bool:
    """Whether the named host is taken unasked: before 2.29 always, until 2.67 by `force`, never after."""
    if call.version < (2, 29):
        return asked.host is not None
    force = isinstance(asked, _EvacuateFrom229) and truth(asked.force, "evacuate.force")
    if force and asked.host is None:
        raise Invalid("Can't force to a non-provided destination: name a 'host', or leave 'force' out.")
    return force


def _check_target(call: Call, server: Server, host: str | None) -> None:
    if host is None:
        return
    try:
        call.store.host.get(host)
    except NotFound:
        raise NotFound(f"Compute host {host} not found.") from None
    if server.host == host:
        raise Invalid("The target host can't be the same one: name another, or none.")


def _check_state(server: Server) -> None:
    if server.vm_state not in _STATES:
        raise Conflict(f"Cannot 'evacuate' instance {server.id} while it is in vm_state {server.vm_state}.")
    if server.task_state in (TaskState.DELETING, TaskState.REBUILDING):
        raise Conflict(f"Cannot 'evacuate' instance {server.id} while it is in task_state {server.task_state}.")
    if server.host is None:
        raise Conflict(f"Cannot 'evacuate' instance {server.id}: it is on no host.")


def _source(call: Call, server: Server) -> Host:
    host = call.store.host.get(str(server.host))
    if host.state is HostState.UP:
        raise Invalid(
            f"Compute service of {host.name} is still in use: its servers may run. Wait until it counts as down, or, "
            f"when you are sure that it is off, force it down."
        )
    return host


def _keeps_disks(call: Call, source: Host) -> bool:
    return any(host.name != source.name and disks_shared(source.report, host.report) for host in call.store.host.list())


def _check_shared_storage(asked: _Evacuate, source: Host, keeps: bool) -> None:
    """What the caller believes of the disks, where it must say so, has to be true."""
    if isinstance(asked, _EvacuateUntil213) and truth(asked.onSharedStorage, "evacuate.onSharedStorage") != keeps:
        where = "on storage that other hosts share" if keeps else f"on {source.name} alone"
        raise Invalid(f"Invalid state of instance files on shared storage: the disks are {where}.")
    if keeps and asked.adminPass is not None:
        raise Invalid("The admin password can't be changed on an existing disk: leave 'adminPass' out.")


def _check_image(call: Call, server: Server, source: Host) -> None:
    try:
        usable = server.image and call.store.image.get(server.image.id).status is ImageStatus.ACTIVE
    except NotFound:
        usable = False
    if not usable:
        raise Conflict(
            f"The disks of instance {server.id} are on {source.name} alone, and the image it was made from is no more: "
            f"nothing is left to make it from. Bring {source.name} back."
        )
