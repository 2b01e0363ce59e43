"""Availability zones: made of aggregates, shown with whether a server can go there now."""

from typing import Any

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.kit.times import plain_micros
from polyvisor.model.control import SERVICES, Control
from polyvisor.model.host import Host, HostState

availability_zones = Resource("/os-availability-zone")

_ZONES = "os_compute_api:os-availability-zone"
RULES = [
    Rule(name=f"{_ZONES}:list", check="@", description="List the availability zones."),
    Rule(
        name=f"{_ZONES}:detail",
        check="rule:context_is_admin",
        description="List the availability zones with their hosts.",
    ),
]

INTERNAL = "internal"
"""The zone of the control services, which no server can ask for."""


@availability_zones.route("GET", policy=f"{_ZONES}:list", ignore_unknown_query=True)
def index(call: Call) -> Reply:
    """Zones that servers can ask for. One statement."""
    zones = call.store.aggregate.open_zones()
    return Reply(200, {"availabilityZoneInfo": [_zone(name, is_open, None) for name, is_open in zones.items()]})


@availability_zones.route("GET", "/detail", policy=f"{_ZONES}:detail", ignore_unknown_query=True)
def detail(call: Call) -> Reply:
    """Zones with their hosts, and that of the control services. Three statements."""
    by_zone: dict[str, dict[str, Any]] = {}
    for host in call.store.host.list():
        by_zone.setdefault(host.zone, {})[host.name] = _compute(host)
    zones = call.store.aggregate.open_zones()
    shown = [_zone(name, is_open, by_zone.get(name, {})) for name, is_open in zones.items()]
    processes = call.store.control.list()
    if processes:
        internal = {each.name: _services(each, each.alive(call.now)) for each in processes}
        shown.insert(0, {"zoneName": INTERNAL, "zoneState": {"available": True}, "hosts": internal})
    return Reply(200, {"availabilityZoneInfo": shown})


def _zone(name: str, is_open: bool, hosts: dict[str, Any] | None) -> dict[str, Any]:
    return {"zoneName": name, "zoneState": {"available": is_open}, "hosts": hosts}


def _compute(host: Host) -> dict[str, Any]:
    state = {
        "available": host.state is HostState.UP,
        "active": host.enabled,
        "updated_at": plain_micros(host.seen_at),
    }
    return {"nova-compute": state}


def _services(process: Control, alive: bool) -> dict[str, Any]:
    state = {"available": alive, "active": True, "updated_at": plain_micros(process.seen_at)}
    return dict.fromkeys(SERVICES, state)
