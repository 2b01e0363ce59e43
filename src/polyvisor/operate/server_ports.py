"""The ports of servers: what they need of a host, where they are bound, and what becomes of them afterwards."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from polyvisor.model.errors import Conflict
from polyvisor.model.host import Host
from polyvisor.model.network import Network
from polyvisor.model.nic import Nic
from polyvisor.model.place import NetworkNeed
from polyvisor.model.port import Port
from polyvisor.model.port_filter import PortFilter
from polyvisor.model.server import Server, ServerPort
from polyvisor.model.vif import UNBOUND, VIF_TYPES
from polyvisor.store.port_permit import filters_of
from polyvisor.store.store import Store


def needs(store: Store, ports: Sequence[ServerPort]) -> tuple[NetworkNeed, ...]:
    """What the networks of these ports ask of a host. Two statements; none without ports."""
    networks = _networks(store, _there(store, ports))
    return tuple(NetworkNeed(name=each.name or each.id, segments=each.segments) for each in networks)


def bind(store: Store, ports: Sequence[ServerPort], host: Host, now: datetime) -> tuple[Nic, ...]:
    """Say that the ports are plugged at the host; returns them as cards, in order, without those that are no more.

    Six statements at most; none without ports. Raises Conflict where the host cannot carry one of the networks.
    """
    there = _there(store, ports)
    for network in _networks(store, there):
        if not any(host.report.reach.carries(segment) for segment in network.segments):
            raise Conflict(
                f"{host.name} cannot carry the network {network.name or network.id}: choose another host, or a network "
                f"that reaches it."
            )
    vif_type = VIF_TYPES[host.report.hypervisor_type]
    elsewhere = [
        port.id for port in there if (port.binding.host, port.binding.vif_type) != (host.name, vif_type)
    ]  # what is bound here already stays as it is, its status too
    if elsewhere:
        store.port.bind(elsewhere, host=host.name, vif_type=vif_type, vif_details=_details(host), now=now)
    return nics(store, ports, host)


def nics(store: Store, ports: Sequence[ServerPort], host: Host) -> tuple[Nic, ...]:
    """The ports as cards at a host, with their tags, and what they let through where the host filters by itself. Three
    statements, or seven; none without ports."""
    if not ports:
        return ()
    tags = {port.port_id: port.tag for port in ports}
    found = store.port.nics([port.port_id for port in ports], host.report.reach)
    filters: dict[str, PortFilter] = {}
    if host.report.port_filter == "host":
        filters = filters_of(store, store.port.of_ids(tags).values())
    return tuple(msgspec.structs.replace(nic, tag=tags[nic.port_id], filter=filters.get(nic.port_id)) for nic in found)


def _details(host: Host) -> dict[str, object]:
    """Whether security groups hold there, and whether by a filter that knows connections."""
    filter = host.report.port_filter
    return {"port_filter": filter != "none", "stateful_filter": filter == "network", "connectivity": "l2"}


def unbind(store: Store, ports: Sequence[ServerPort], now: datetime) -> None:
    """The ports are plugged nowhere; they stay the server's. Three statements at most."""
    bound = [port.id for port in _there(store, ports) if port.binding.host]
    if bound:
        store.port.bind(bound, host="", vif_type=UNBOUND, now=now)


def give_up(store: Store, server: Server, port_ids: Iterable[str], now: datetime) -> None:
    """These ports are no longer the server's: those made for it are removed, the others are free again."""
    wanted = set(port_ids)
    leaving = [port for port in server.ports if port.port_id in wanted]
    if not leaving:
        return
    kept = tuple(port for port in server.ports if port.port_id not in wanted)
    store.server.change(server.id, ports=kept)
    made = {port.port_id for port in leaving if port.made}
    there = [port for port in _there(store, leaving) if port.device_id == server.id]
    store.port.delete([port.id for port in there if port.id in made], now)
    given = [port for port in there if port.id not in made]
    bound = [port.id for port in given if port.binding.host]
    if bound:
        store.port.bind(bound, host="", vif_type=UNBOUND, now=now)
    for port in store.port.of_ids([port.id for port in given]).values():
        store.port.change(port, {"device_id": "", "device_owner": ""}, now)


def _there(store: Store, ports: Sequence[ServerPort]) -> list[Port]:
    """Those that have not been removed through the Networking API meanwhile, in order."""
    found = store.port.of_ids([port.port_id for port in ports]) if ports else {}
    return [found[port.port_id] for port in ports if port.port_id in found]


def _networks(store: Store, ports: Sequence[Port]) -> list[Network]:
    if not ports:
        return []
    found = store.network.of_ids({port.network_id for port in ports})
    return [found[id] for id in dict.fromkeys(port.network_id for port in ports) if id in found]
