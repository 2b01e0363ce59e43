"""What is done to a server by `POST /servers/{id}/action`: power, console log, lock, state."""

from typing import Annotated, Any, Literal

import msgspec

from polyvisor.api.compute.server import begin
from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.model.errors import Conflict, Unavailable
from polyvisor.model.host import HypervisorType
from polyvisor.model.operation import UNFINISHED, Operation, OperationState
from polyvisor.model.order import ServerConsoleLog, ServerReboot, ServerTarget
from polyvisor.model.server import Server, TaskState, VmState
from polyvisor.model.settings import ComputeSettings

server_actions = Resource("/servers")

_MEMBER = "rule:project_member_or_admin"
RULES = [
    Rule(name="os_compute_api:servers:start", check=_MEMBER, description="Start a server."),
    Rule(name="os_compute_api:servers:stop", check=_MEMBER, description="Stop a server."),
    Rule(name="os_compute_api:servers:reboot", check=_MEMBER, description="Reboot a server, softly or hard."),
    Rule(name="os_compute_api:os-pause-server:pause", check=_MEMBER, description="Pause a server."),
    Rule(name="os_compute_api:os-pause-server:unpause", check=_MEMBER, description="Let a paused server run on."),
    Rule(name="os_compute_api:os-suspend-server:suspend", check=_MEMBER, description="Suspend a server to disk."),
    Rule(name="os_compute_api:os-suspend-server:resume", check=_MEMBER, description="Resume a suspended server."),
    Rule(name="os_compute_api:os-lock-server:lock", check=_MEMBER, description="Lock a server against changes."),
    Rule(name="os_compute_api:os-lock-server:unlock", check=_MEMBER, description="Unlock a server."),
    Rule(
        name="os_compute_api:os-lock-server:unlock:unlock_override",
        check="rule:context_is_admin",
        description="Change a locked server, and unlock what another has locked.",
    ),
    Rule(name="os_compute_api:os-console-output", check=_MEMBER, description="Read a server's console log."),
    Rule(
        name="os_compute_api:os-admin-actions:reset_state",
        check="rule:context_is_admin",
        description="Set a server's state by hand.",
    ),
]


def _find(call: Call, action: str, states: tuple[VmState, ...], *, busy: bool = False) -> Server:
    """The server, when its states let the action be done. Raises NotFound and Conflict."""
    server = call.store.server.get(call.path["id"], project_id=call.owner)
    if server.locked and not call.allows("os_compute_api:os-lock-server:unlock:unlock_override"):
        raise Conflict(f"Instance {server.id} is locked: unlock it first.")
    if server.vm_state not in states:
        raise Conflict(f"Cannot '{action}' instance {server.id} while it is in vm_state {server.vm_state}.")
    if server.task_state is not None and not busy:
        raise Conflict(f"Cannot '{action}' instance {server.id} while it is in task_state {server.task_state}.")
    return server


def _power(call: Call, action: str, states: tuple[VmState, ...], task: TaskState) -> Reply:
    server = _find(call, action, states)
    begin(call, server, f"server.{action}", ServerTarget(server_id=server.id))
    call.store.server.change(server.id, task_state=task, updated_at=call.now)
    return Reply(202)


@server_actions.action("os-start", policy="os_compute_api:servers:start")
def start(call: Call) -> Reply:
    """Power on."""
    return _power(call, "start", (VmState.STOPPED,), TaskState.POWERING_ON)


@server_actions.action("os-stop", policy="os_compute_api:servers:stop")
def stop(call: Call) -> Reply:
    """Shut down, and power off what does not obey."""
    return _power(call, "stop", (VmState.ACTIVE, VmState.ERROR), TaskState.POWERING_OFF)


@server_actions.action("pause", policy="os_compute_api:os-pause-server:pause")
def pause(call: Call) -> Reply:
    """Stop its processors."""
    server = _find(call, "pause", (VmState.ACTIVE,))
    if server.host and call.store.host.get(server.host).report.hypervisor_type is HypervisorType.VMWARE:
        raise Conflict(f"Cannot 'pause' instance {server.id}: vSphere pauses no guests. Suspend it instead.")
    return _power(call, "pause", (VmState.ACTIVE,), TaskState.PAUSING)


@server_actions.action("unpause", policy="os_compute_api:os-pause-server:unpause")
def unpause(call: Call) -> Reply:
    """Let its processors run on."""
    return _power(call, "unpause", (VmState.PAUSED,), TaskState.UNPAUSING)


@server_actions.action("suspend", policy="os_compute_api:os-suspend-server:suspend")
def suspend(call: Call) -> Reply:
    """Save its memory to disk, and power off."""
    return _power(call, "suspend", (VmState.ACTIVE,), TaskState.SUSPENDING)


@server_actions.action("resume", policy="os_compute_api:os-suspend-server:resume")
def resume(call: Call) -> Reply:
    """Restore its memory from disk, and go on."""
    return _power(call, "resume", (VmState.SUSPENDED,), TaskState.RESUMING)


class _Reboot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    type: Annotated[str, msgspec.Meta(pattern="^([Ss][Oo][Ff][Tt]|[Hh][Aa][Rr][Dd])$")]


_SOFT = (VmState.ACTIVE,)
_HARD = (VmState.ACTIVE, VmState.STOPPED, VmState.PAUSED, VmState.SUSPENDED, VmState.ERROR)


@server_actions.action("reboot", policy="os_compute_api:servers:reboot", body=_Reboot)
def reboot(call: Call) -> Reply:
    """Ask its operating system to reboot, or cut the power."""
    hard = call.body.type.upper() == "HARD"
    server = _find(call, "reboot", _HARD if hard else _SOFT)
    task = TaskState.REBOOTING_HARD if hard else TaskState.REBOOTING
    begin(call, server, "server.reboot", ServerReboot(server_id=server.id, hard=hard))
    call.store.server.change(server.id, task_state=task, updated_at=call.now)
    return Reply(202)


class _Lock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    locked_reason: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None


@server_actions.action("lock", policy="os_compute_api:os-lock-server:lock", body=_Lock | str | None)
def lock(call: Call) -> Reply:
    """Keep everybody but administrators from changing it."""
    server = call.store.server.get(call.path["id"], project_id=call.owner)
    reason = call.body.locked_reason if isinstance(call.body, _Lock) and call.version >= (2, 73) else None
    call.store.server.change(server.id, locked=True, locked_reason=reason, updated_at=call.now)
    return Reply(202)


@server_actions.action("unlock", policy="os_compute_api:os-lock-server:unlock")
def unlock(call: Call) -> Reply:
    """End the lock."""
    server = call.store.server.get(call.path["id"], project_id=call.owner)
    call.store.server.change(server.id, locked=False, locked_reason=None, updated_at=call.now)
    return Reply(202)


class _ResetState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    state: Literal["active", "error"]


@server_actions.action("os-resetState", policy="os_compute_api:os-admin-actions:reset_state", body=_ResetState)
def reset_state(call: Call) -> Reply:
    """Set the state that the record shows; the guest is not touched."""
    server = call.store.server.get(call.path["id"], project_id=call.owner)
    call.store.server.change(
        server.id, vm_state=VmState(call.body.state), task_state=None, fault=None, updated_at=call.now
    )
    return Reply(202)


class _ConsoleOutput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    length: int | Annotated[str, msgspec.Meta(pattern=r"^-?\d+$")] | None = None


@server_actions.action(
    "os-getConsoleOutput", policy="os_compute_api:os-console-output", body=_ConsoleOutput | None, transaction=False
)
def console_output(call: Call) -> Reply:
    """The log of the serial console, read at the hypervisor by a one-step operation."""
    length = None if call.body is None or call.body.length is None else int(call.body.length)
    return Reply(
        200, {"output": ask(call, "server.console_log", lambda id: ServerConsoleLog(server_id=id, length=length))}
    )


def ask(call: Call, kind: str, args: Any) -> Any:
    """Run an operation that only answers, and wait for its last step's output.

    `args` makes the arguments from the server's id. Raises NotFound, Conflict (the hypervisor refuses, or the server
    is on none yet) and Unavailable (no answer in time).
    """
    with call.database.write() as store:
        server = store.server.get(call.path["id"], project_id=call.owner)
        if server.place is None:
            raise Conflict(f"Instance {server.id} is not ready: it is on no host yet.")
        id = call.new_id()
        call.name(operation_id=id)
        store.trace = call.trace
        store.operation.begin(
            id=id,
            kind=kind,
            # Its own target: an answer waits for nothing that is being done to the server, and delays nothing.
            target_id=f"{kind}:{id}",
            project_id=server.project_id,
            user_id=call.caller.user_id,
            request_id=call.request_id,
            args=msgspec.to_builtins(args(server.id)),
            now=call.now,
            alone=True,
        )
    row = _await(call, id)
    if row.state is OperationState.DONE:
        return row.journal[-1].output
    if row.state in UNFINISHED:
        with call.database.write() as store:
            store.operation.cancel(row.target_id, call.now)
        raise Unavailable("The hypervisor has not answered in time; try again in a moment.")
    raise Conflict(row.error)


def _await(call: Call, id: str) -> Operation:
    signals, subject = call.database.signals, f"operation:{id}"
    remaining = call.part(ComputeSettings).answer_seconds
    while True:
        seen = signals.count(subject)
        with call.database.read() as store:
            row = store.operation.get(id)
        if row.state not in UNFINISHED or remaining <= 0:
            return row
        signals.wait(subject, seen, min(1.0, remaining))
        remaining -= 1.0
