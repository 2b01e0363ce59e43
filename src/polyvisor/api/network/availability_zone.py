"""Availability zones that networks and routers may be made for: those of the hosts."""

from urllib.parse import parse_qsl

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.form import selected

availability_zones = Resource("/availability_zones")

RULES = [Rule(name="get_availability_zone", check="@", description="List availability zones of networks and routers.")]
_KEYS = ("name", "resource", "state")


@availability_zones.route("GET", policy="get_availability_zone")
def index(call: Call) -> Reply:
    """Each zone, for networks and for routers. One statement."""
    found = [
        {"name": name, "resource": resource, "state": "available" if is_open else "unavailable"}
        for name, is_open in call.store.aggregate.open_zones().items()
        for resource in ("network", "router")
    ]
    wanted: dict[str, set[str]] = {}
    for name, value in parse_qsl(call.request.raw_query):
        if name in _KEYS:
            wanted.setdefault(name, set()).add(value)
    shown = [each for each in found if all(each[name] in values for name, values in wanted.items())]
    return Reply(200, {"availability_zones": [selected(call, dict(each)) for each in shown]})
