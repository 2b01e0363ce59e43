"""Services: nova-compute of each host, and those of the control processes; enable, disable, force down, delete."""

import uuid
from typing import Annotated, Any, Literal

import msgspec

from polyvisor.api.compute.agent_service import agent_services
from polyvisor.api.compute.availability_zone import INTERNAL
from polyvisor.api.compute.fields import Truth, number, truth
from polyvisor.api.compute.hypervisor_view import disabled_reason, service_uuid
from polyvisor.api.kit import Call, NoQuery, Reply, Resource, Rule
from polyvisor.api.kit.times import plain_micros
from polyvisor.model.control import SERVICES, Control
from polyvisor.model.errors import Conflict, Invalid, NotFound
from polyvisor.model.host import Host, HostState

compute_services = Resource("/os-services")

_SERVICES = "os_compute_api:os-services"
RULES = [
    Rule(name=f"{_SERVICES}:list", check="rule:context_is_admin", description="List the services."),
    Rule(
        name=f"{_SERVICES}:update",
        check="rule:context_is_admin",
        description="Enable, disable or force down a service.",
    ),
    Rule(
        name=f"{_SERVICES}:delete",
        check="rule:context_is_admin",
        description="Delete the service of a host that has left.",
    ),
]

COMPUTE = "nova-compute"
_CONTROL_IDS = 1_000_000
"""Below 2.53 ids are numbers: those of hosts are small, and those of control services begin here."""
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^\S(.*\S)?$")]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class ServiceQuery(NoQuery, frozen=True, kw_only=True):
    """Of one host, or of one kind."""

    host: str | None = None
    binary: str | None = None


class ByName(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The service, below 2.53."""

    host: Text
    binary: Text


class ByNameWithReason(ByName, forbid_unknown_fields=True, kw_only=True):
    """The service, and why it is disabled."""

    disabled_reason: Reason


class ByNameDown(ByName, forbid_unknown_fields=True, kw_only=True):
    """The service, and whether it is to count as down (2.11 to 2.52)."""

    forced_down: Truth = True


class ServiceChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What can be changed from 2.53 on."""

    status: Literal["enabled", "disabled"] | None = None
    disabled_reason: Reason | None = None
    forced_down: Truth | None = None


@compute_services.route("GET", policy=f"{_SERVICES}:list", query=ServiceQuery, ignore_unknown_query=True, last=(2, 74))
@compute_services.route("GET", policy=f"{_SERVICES}:list", query=ServiceQuery, first=(2, 75))
def index(call: Call) -> Reply:
    """All services. Three statements, five where there are agents."""
    shown = [_compute(call, host) for host in call.store.host.list()]
    for process in call.store.control.list():
        shown += [_control(call, process, at) for at in range(len(SERVICES))]
    shown += agent_services(call)
    query: ServiceQuery = call.query
    wanted = [each for each in shown if query.host in (None, each["host"]) and query.binary in (None, each["binary"])]
    return Reply(200, {"services": wanted})


@compute_services.route("PUT", "/enable", policy=f"{_SERVICES}:update", body=ByName, last=(2, 52))
def enable(call: Call) -> Reply:
    """Let the scheduler use a host."""
    _of_name(call).store.host.enable(call.body.host, True, "")
    return _named(call, status="enabled")


@compute_services.route("PUT", "/disable", policy=f"{_SERVICES}:update", body=ByName, last=(2, 52))
def disable(call: Call) -> Reply:
    """Let no new server go to a host."""
    _of_name(call).store.host.enable(call.body.host, False, "")
    return _named(call, status="disabled")


@compute_services.route("PUT", "/disable-log-reason", policy=f"{_SERVICES}:update", body=ByNameWithReason, last=(2, 52))
def disable_with_reason(call: Call) -> Reply:
    """Let no new server go to a host, and say why."""
    _of_name(call).store.host.enable(call.body.host, False, call.body.disabled_reason)
    return _named(call, status="disabled", disabled_reason=call.body.disabled_reason)


@compute_services.route(
    "PUT", "/force-down", policy=f"{_SERVICES}:update", body=ByNameDown, first=(2, 11), last=(2, 52)
)
def force_down(call: Call) -> Reply:
    """Count a host as down, whatever it reports, or believe it again."""
    forced = truth(call.body.forced_down, "forced_down")
    _of_name(call).store.host.force_down(call.body.host, forced)
    return _named(call, forced_down=forced)


@compute_services.route("PUT", "/{id}", policy=f"{_SERVICES}:update", body=ServiceChange, first=(2, 53))
def update(call: Call) -> Reply:
    """Enable, disable or force down a service by its id."""
    change: ServiceChange = call.body
    if change.disabled_reason is not None and change.status != "disabled":
        raise Invalid("The field 'disabled_reason' goes with the status \"disabled\" only.")
    if change.status is None and change.forced_down is None:
        raise Invalid("Nothing is to be changed: give 'status' or 'forced_down'.")
    host = _of_id(call)
    if change.status is not None:
        call.store.host.enable(host.name, change.status == "enabled", change.disabled_reason or "")
    if change.forced_down is not None:
        call.store.host.force_down(host.name, truth(change.forced_down, "forced_down"))
    return Reply(200, {"service": _compute(call, call.store.host.get(host.name))})


@compute_services.route("DELETE", "/{id}", policy=f"{_SERVICES}:delete")
def delete(call: Call) -> Reply:
    """Forget a host that is gone for good, or a control process that has ended."""
    process = _process(call)
    if process is not None:
        if process.alive(call.now):
            raise Conflict(f"{process.name} is running: stop it first, and delete its services a minute later.")
        call.store.control.delete(process.uuid)
        return Reply(204)
    agent = _agent(call)
    if agent is not None:
        raise Conflict(f"{agent['host']} is an agent: `polyvisor agents revoke` on a server takes its rights from it.")
    host = _of_id(call)
    if host.servers:
        raise Conflict(f"Host {host.name} holds {host.servers} servers: delete them, or move them away, first.")
    if host.state is HostState.UP and not host.forced_down:
        raise Conflict(
            f"Host {host.name} is up and would come back at once: take it out of {host.place}, or {host.place} out of "
            f"the configuration, first."
        )
    call.store.aggregate.leave(host.name, call.now)
    call.store.host.leave(host.name)
    return Reply(204)


def _compute(call: Call, host: Host) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": service_uuid(host.uuid) if call.version >= (2, 53) else host.id,
        "binary": COMPUTE,
        "host": host.name,
        "zone": host.zone,
        "status": "enabled" if host.enabled else "disabled",
        "state": host.state,
        "updated_at": plain_micros(host.seen_at),
        "disabled_reason": disabled_reason(host),
    }
    if call.version >= (2, 11):
        shown["forced_down"] = host.forced_down
    return shown


def _control(call: Call, process: Control, at: int) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": _control_id(call, process, at),
        "binary": SERVICES[at],
        "host": process.name,
        "zone": INTERNAL,
        "status": "enabled",
        "state": "up" if process.alive(call.now) else "down",
        "updated_at": plain_micros(process.seen_at),
        "disabled_reason": None,
    }
    if call.version >= (2, 11):
        shown["forced_down"] = False
    return shown


def _control_id(call: Call, process: Control, at: int) -> int | str:
    if call.version >= (2, 53):
        return str(uuid.uuid5(uuid.UUID(process.uuid), SERVICES[at]))
    return _CONTROL_IDS + process.id * len(SERVICES) + at


def _of_name(call: Call) -> Call:
    """The call, once it is known that the service which its body names is there and can be changed."""
    asked: ByName = call.body
    if asked.binary != COMPUTE:
        raise _only_compute(asked.binary)
    try:
        call.store.host.get(asked.host)
    except NotFound:
        raise NotFound(f"Host {asked.host} has no service {COMPUTE}: no such host was found.") from None
    return call


def _named(call: Call, **changed: Any) -> Reply:
    return Reply(200, {"service": {"host": call.body.host, "binary": call.body.binary, **changed}})


def _of_id(call: Call) -> Host:
    """The host whose nova-compute has the path's id. Raises NotFound, and Invalid for a control service."""
    process = _process(call)
    if process is not None:
        raise _only_compute("nova-conductor or nova-scheduler")
    agent = _agent(call)
    if agent is not None:
        raise _only_compute(agent["binary"])
    given = call.path["id"]
    try:
        wanted = service_uuid(given) if call.version >= (2, 53) else number(given)
        return call.store.hypervisor.get(wanted)
    except (ValueError, NotFound):
        raise NotFound(f"Service {given} could not be found.") from None


def _process(call: Call) -> Control | None:
    """The control process one of whose services has the path's id."""
    for process in call.store.control.list():
        if call.path["id"] in (str(_control_id(call, process, at)) for at in range(len(SERVICES))):
            return process
    return None


def _agent(call: Call) -> dict[str, Any] | None:
    """The agent's service that has the path's id."""
    return next((each for each in agent_services(call) if str(each["id"]) == call.path["id"]), None)


def _only_compute(binary: str) -> Invalid:
    return Invalid(f"A service {binary} cannot be changed: the services called {COMPUTE} can.")
