"""Hosts in the form that old clients know, until 2.42: what each has and who uses it."""

from typing import Annotated, Any, Literal

import msgspec

from polyvisor.api.compute.availability_zone import INTERNAL
from polyvisor.api.kit import Call, NoQuery, Reply, Resource, Rule
from polyvisor.model.control import SERVICES
from polyvisor.model.errors import Invalid, NotFound, NotOffered
from polyvisor.model.host import Host
from polyvisor.model.server import Server

hosts = Resource("/os-hosts")

_HOSTS = "os_compute_api:os-hosts"
LAST = (2, 42)
RULES = [
    Rule(name=f"{_HOSTS}:list", check="rule:context_is_admin", description="List the hosts with their services."),
    Rule(name=f"{_HOSTS}:show", check="rule:context_is_admin", description="Show what a host has, and who uses it."),
    Rule(name=f"{_HOSTS}:update", check="rule:context_is_admin", description="Enable or disable a host."),
    Rule(name=f"{_HOSTS}:start", check="rule:context_is_admin", description="Power on a host."),
    Rule(name=f"{_HOSTS}:shutdown", check="rule:context_is_admin", description="Power off a host."),
    Rule(name=f"{_HOSTS}:reboot", check="rule:context_is_admin", description="Reboot a host."),
]

Switch = Annotated[str, msgspec.Meta(pattern="^(?i:enable|disable)$")]


class HostQuery(NoQuery, frozen=True, kw_only=True):
    """Of one zone, or with one service."""

    zone: str | None = None
    service: str | None = None


class HostChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What can be changed; at least one of them."""

    status: Switch | None = None
    maintenance_mode: Switch | None = None


@hosts.route("GET", policy=f"{_HOSTS}:list", query=HostQuery, ignore_unknown_query=True, last=LAST)
def index(call: Call) -> Reply:
    """The hosts, and those of the control services. Two statements."""
    shown = [{"host_name": host.name, "service": "compute", "zone": host.zone} for host in call.store.host.list()]
    for process in call.store.control.list():
        names = [binary.removeprefix("nova-") for binary in SERVICES]
        shown += [{"host_name": process.name, "service": name, "zone": INTERNAL} for name in names]
    query: HostQuery = call.query
    zone, service = query.zone or None, query.service or None
    wanted = [each for each in shown if zone in (None, each["zone"]) and service in (None, each["service"])]
    return Reply(200, {"hosts": wanted})


@hosts.route("GET", "/{name}", policy=f"{_HOSTS}:show", last=LAST)
def show(call: Call) -> Reply:
    """What a host has, what is used of it, and by which projects. Two statements."""
    host = _find(call)
    here = call.store.server.on_host(host.name)
    capacity = host.report.capacity
    rows = [
        _row(host, "(total)", capacity.vcpus, capacity.memory_mib, capacity.disk_gib),
        _row(
            host,
            "(used_now)",
            host.used_vcpus,
            host.used_memory_mib + host.reserved_memory_mib,
            host.used_disk_gib + host.reserved_disk_gib,
        ),
        _row(host, "(used_max)", *_sums(here)),
    ]
    users = sorted({server.project_id for server in here})
    used = [_row(host, user, *_sums([each for each in here if each.project_id == user])) for user in users]
    return Reply(200, {"host": [*rows, *used]})


@hosts.route("PUT", "/{name}", policy=f"{_HOSTS}:update", body=HostChange, last=LAST)
def update(call: Call) -> Reply:
    """Let the scheduler use a host, or not."""
    change: HostChange = call.body
    if change.status is None and change.maintenance_mode is None:
        raise Invalid('Nothing is to be changed: give \'status\' as "enable" or "disable".')
    host = _find(call)
    if change.maintenance_mode is not None or change.status is None:
        raise NotOffered(f"Maintenance of {host.name} is not begun here: disable it, and move its servers away.")
    enabled = change.status.lower() == "enable"
    call.store.host.enable(host.name, enabled, "")
    return Reply(200, {"host": host.name, "status": "enabled" if enabled else "disabled"})


def _power(verb: Literal["startup", "shutdown", "reboot"], policy: str) -> None:
    @hosts.route("GET", f"/{{name}}/{verb}", policy=policy, last=LAST)
    def refuse(call: Call) -> Reply:
        raise NotOffered(f"The power of {_find(call).name} is not switched here: use its own management ({verb}).")


_power("startup", f"{_HOSTS}:start")
_power("shutdown", f"{_HOSTS}:shutdown")
_power("reboot", f"{_HOSTS}:reboot")


def _find(call: Call) -> Host:
    try:
        return call.store.host.get(call.path["name"])
    except NotFound:
        raise NotFound(f"Compute host {call.path['name']} could not be found.") from None


def _sums(servers: list[Server]) -> tuple[int, int, int]:
    flavors = [server.flavor for server in servers]
    return (
        sum(flavor.vcpus for flavor in flavors),
        sum(flavor.memory_mib for flavor in flavors),
        sum(flavor.root_gib + flavor.ephemeral_gib for flavor in flavors),
    )


def _row(host: Host, project: str, cpu: int, memory_mb: int, disk_gb: int) -> dict[str, Any]:
    return {"resource": {"host": host.name, "project": project, "cpu": cpu, "memory_mb": memory_mb, "disk_gb": disk_gb}}
