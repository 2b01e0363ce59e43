"""How many addresses networks have, and how many of them are in use."""

from typing import Any

import msgspec

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.form import ADMIN, asked, selected
from polyvisor.model.ip import ranges
from polyvisor.model.network import Network
from polyvisor.model.network_list import NetworkList
from polyvisor.model.subnet import Subnet

availabilities = Resource("/network-ip-availabilities")

RULES = [
    Rule(name="get_network_ip_availability", check=ADMIN, description="See how many addresses of networks are in use.")
]
_FILTERS = {"network_id": "id", "network_name": "name", "project_id": "project_id", "tenant_id": "project_id",
            "ip_version": "ip_version"}  # fmt: skip


@availabilities.route("GET", policy="get_network_ip_availability")
def index(call: Call) -> Reply:
    """All networks. Three statements."""
    by = asked(call, _FILTERS, ())
    versions = {value for name, values in by.filters if name == "ip_version" for value in values}
    of_network = tuple(pair for pair in by.filters if pair[0] != "ip_version")
    shown = _shown(call, NetworkList(viewer=None, filters=of_network), versions)
    return Reply(200, {"network_ip_availabilities": [selected(call, each) for each in shown]})


@availabilities.route("GET", "/{id}", policy="get_network_ip_availability")
def show(call: Call) -> Reply:
    """One network."""
    record = call.store.network.get(call.path["id"])
    [shown] = _shown(call, NetworkList(viewer=None, filters=(("id", (record.id,)),)), set())
    return Reply(200, {"network_ip_availability": selected(call, shown)})


def _shown(call: Call, by: NetworkList, versions: set[str]) -> list[dict[str, Any]]:
    networks = call.store.network.list(by)
    subnets = call.store.subnet.of_networks([each.id for each in networks])
    used = call.store.subnet.used([each.id for each in subnets])
    on: dict[str, list[Subnet]] = {}
    for each in subnets:
        if not versions or str(each.ip_version) in versions:
            on.setdefault(each.network_id, []).append(each)
    return [_view(each, on.get(each.id, []), used) for each in networks if each.id in on or not versions]


def _view(network: Network, subnets: list[Subnet], used: dict[str, int]) -> dict[str, Any]:
    return {
        "network_id": network.id,
        "network_name": network.name,
        "tenant_id": network.project_id,
        "project_id": network.project_id,
        "total_ips": _number(sum(_total(each) for each in subnets)),
        "used_ips": sum(used[each.id] for each in subnets),
        "subnet_ip_availability": [
            {
                "subnet_id": each.id,
                "subnet_name": each.name,
                "cidr": each.cidr,
                "ip_version": each.ip_version,
                "total_ips": _number(_total(each)),
                "used_ips": used[each.id],
            }
            for each in subnets
        ],
    }


def _total(subnet: Subnet) -> int:
    return sum(last - first + 1 for first, last in ranges(subnet.allocation_pools))


def _number(number: int) -> msgspec.Raw:
    """A number of any length: a subnet of IPv6 has more addresses than 64 bits count."""
    return msgspec.Raw(str(number).encode())
