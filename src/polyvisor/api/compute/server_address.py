"""The addresses of servers, by the names of their networks."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import Any

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.model.errors import NotFound
from polyvisor.model.server_port import ShownPort

server_addresses = Resource("/servers")

_READER = "rule:project_reader_or_admin"
RULES = [
    Rule(name="os_compute_api:ips:index", check=_READER, description="Read a server's addresses."),
    Rule(name="os_compute_api:ips:show", check=_READER, description="Read a server's addresses on one network."),
]


@server_addresses.route("GET", "/{id}/ips", policy="os_compute_api:ips:index")
def addresses(call: Call) -> Reply:
    """On all networks."""
    return Reply(200, {"addresses": _plain(call)})


@server_addresses.route("GET", "/{id}/ips/{network}", policy="os_compute_api:ips:show")
def addresses_on(call: Call) -> Reply:
    """On the networks of one name."""
    shown = _plain(call)
    name = call.path["network"]
    if name not in shown:
        raise NotFound(f"Instance is not a member of specified network: it has no port on one named {name!r}.")
    return Reply(200, {name: shown[name]})


def _plain(call: Call) -> dict[str, list[dict[str, Any]]]:
    server = call.store.server.get(call.path["id"], project_id=call.owner)
    ports = call.store.server_port.shown([server])[server.id]
    shown = by_network(ports)
    return {
        name: [{"version": each["version"], "addr": each["addr"]} for each in found] for name, found in shown.items()
    }


def by_network(ports: Sequence[ShownPort]) -> dict[str, list[dict[str, Any]]]:
    """`addresses` as a server shows them: on each network those of the ports first, then those that stand for them."""
    shown: dict[str, list[dict[str, Any]]] = {}
    for port in ports:
        shown.setdefault(port.network_name, []).extend(
            _address(port, fixed.ip_address, "fixed") for fixed in port.fixed_ips
        )
    for port in ports:
        shown[port.network_name].extend(_address(port, each.address, "floating") for each in port.floating)
    return shown


def _address(port: ShownPort, address: str, kind: str) -> dict[str, Any]:
    return {
        "version": ip_address(address).version,
        "addr": address,
        "OS-EXT-IPS:type": kind,
        "OS-EXT-IPS-MAC:mac_addr": port.mac_address,
    }


def group_names(ports: Sequence[ShownPort]) -> list[dict[str, str]]:
    """`security_groups` as a server shows them: each name once."""
    return [{"name": name} for name in dict.fromkeys(_names(ports))]


def _names(ports: Sequence[ShownPort]) -> Iterator[str]:
    for port in ports:
        yield from (group.name for group in port.groups)
