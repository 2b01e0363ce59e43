"""What a request asks of networks, and the ports that servers get by it: made for them, or taken."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from polyvisor.api.compute.server_asked import Asked, NetworkAsked
from polyvisor.api.kit import Call, Rule
from polyvisor.model.errors import Conflict, Forbidden, Invalid, NotFound, OverQuota
from polyvisor.model.network import Network
from polyvisor.model.network_list import everything
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.port import COMPUTE_OWNER, Port, PortWanted, WantedIp
from polyvisor.model.record import Record
from polyvisor.model.server import Server, ServerPort
from polyvisor.model.settings import ComputeSettings

RULES = [
    Rule(
        name="network:attach_external_network",
        check="rule:context_is_admin",
        description="Plug servers into external networks directly.",
    ),
]

NONE_THERE = (
    'This cloud has no networking: ask for no network (networks "none", --nic none), or have its administrator set '
    "`backend` in the table [network] of polyvisor.toml."
)


class Wish(Record):
    """One card: on a network, or with a port that is there."""

    network: Network
    port: Port | None = None
    fixed_ip: str | None = None
    tag: str = ""


def is_offered(call: Call) -> bool:
    """Whether servers can have ports here."""
    return call.part(NetworkSettings).backend not in ("none", "auto")


def wishes(call: Call, asked: Asked, most: int) -> tuple[Wish, ...]:
    """The cards that each of the servers is to have. `most`: how many servers are asked for.

    Raises Invalid, Conflict and Forbidden in Nova's words.
    """
    networks = asked.networks
    if networks == "none" or (not networks and not is_offered(call)):
        return ()
    if not is_offered(call):
        raise Invalid(NONE_THERE)
    if networks == "auto" or not isinstance(networks, list) or not networks:
        return _chosen_for(call, allocate=networks == "auto")
    if most > 1 and any(each.port for each in networks):
        raise Invalid(
            "Unable to launch multiple instances with a single configured port ID. Launch them one by one with "
            "different ports."
        )
    if most > 1 and any(each.fixed_ip for each in networks):
        raise Invalid("Invalid fixed IP Address in requests: max_count must be 1 if fixed_ip is set.")
    return named(call, networks)


def named(call: Call, asked: Sequence[NetworkAsked]) -> tuple[Wish, ...]:
    """Cards on these networks, and with these ports. Three statements.

    Raises NotFound for what the caller does not see, Conflict for a port in use, and Invalid.
    """
    ports = call.store.port.of_ids([each.port for each in asked if each.port], viewer=call.owner)
    for each in asked:
        if each.port and each.port not in ports:
            raise NotFound(f"Port id {each.port} could not be found.", kind="PortNotFound")
    wanted = {each.uuid for each in asked if each.uuid and not each.port}
    networks = call.store.network.of_ids(wanted, viewer=call.owner)
    under = call.store.network.of_ids({port.network_id for port in ports.values()})
    made = []
    taken: set[str] = set()
    for each in asked:
        if each.port:
            port = ports[each.port]
            _check_port(call, port, taken)
            taken.add(port.id)
            made.append(Wish(network=under[port.network_id], port=port, tag=each.tag or ""))
        elif each.uuid in networks:
            _check_network(call, networks[each.uuid])
            made.append(Wish(network=networks[each.uuid], fixed_ip=each.fixed_ip, tag=each.tag or ""))
        else:
            raise NotFound(f"Network {each.uuid} could not be found.", kind="NetworkNotFound")
    return tuple(made)


def only_network(call: Call) -> Network | None:
    """The network that a project means that names none: the only one of its own and those shared with it.

    None where there is none. Raises Conflict where there are several. One statement.
    """
    seen = call.store.network.list(everything(call.project_id))
    usable = [
        each
        for each in seen
        if each.admin_state_up and not each.external and (each.project_id == call.project_id or each.shared)
    ]
    if len(usable) > 1:
        raise Conflict("Multiple possible networks found, use a Network ID to be more specific.")
    return usable[0] if usable else None


def _chosen_for(call: Call, *, allocate: bool) -> tuple[Wish, ...]:
    found = only_network(call)
    if found is not None:
        _check_network(call, found)
        return (Wish(network=found),)
    return (Wish(network=_allocated(call)),) if allocate else ()


def _allocated(call: Call) -> Network:
    """The network that is made for a project which has none and asks for one. Raises Invalid where that cannot be."""
    try:
        made = call.store.network_auto.get_or_make(
            call.project_id, new_id=call.new_id, now=call.now, settings=call.part(NetworkSettings)
        )
    except Conflict as error:
        raise Invalid(
            f"Unable to automatically allocate a network for project {call.project_id}. {error.sentence} Or create a "
            f"network with a subnet yourself, or ask for none (--nic none)."
        ) from None
    return call.store.network.get(made.network_id)


def _check_network(call: Call, network: Network) -> None:
    if network.external and not call.allows("network:attach_external_network"):
        raise Forbidden(f"It is not allowed to create an interface on external network {network.id}.")
    if not network.subnet_ids:
        raise Invalid(f"Network {network.id} requires a subnet in order to boot instances on.")


def _check_port(call: Call, port: Port, taken: set[str]) -> None:
    if port.device_id or port.id in taken:
        raise Conflict(f"Port {port.id} is still in use.")
    if port.project_id != call.project_id:
        raise Invalid(f"Port {port.id} not usable for the instance: it belongs to another project.")
    if not port.fixed_ips:
        raise Invalid(f"Port {port.id} requires a FixedIP in order to be used.")
    if port.binding.vnic_type != "normal":
        raise Invalid(f"Port {port.id} has the vnic_type {port.binding.vnic_type}: only 'normal' is offered here.")


def groups_of(call: Call, asked: Sequence[str]) -> tuple[str, ...]:
    """The ids of security groups that are named by id or by name. Raises NotFound, Conflict for an ambiguous name."""
    wanted = list(dict.fromkeys(asked))
    by_id = call.store.security_group.of_ids(wanted, viewer=call.project_id)
    return tuple(dict.fromkeys(name if name in by_id else _group_named(call, name) for name in wanted))


def _group_named(call: Call, name: str) -> str:
    if name == "default":
        return call.store.security_group.default(call.project_id, call.now)
    found = call.store.security_group.list(everything(call.project_id, name=name))
    if not found:
        raise NotFound(f"Security group {name} not found for project {call.project_id}.", kind="SecurityGroupNotFound")
    if len(found) > 1:
        raise Conflict(f"Multiple security_group matches found for name '{name}', use an ID to be more specific.")
    return found[0].id


def plugged(
    call: Call, servers: Sequence[Server], wanted: Sequence[Wish], groups: tuple[str, ...] | None
) -> list[Server]:
    """The servers with their ports, which are made and taken in this transaction. `groups`: of new ports; None = the
    project's default group.

    Raises what making ports raises, and Invalid where groups cannot be had.
    """
    if not wanted:
        return list(servers)
    _check_groups(wanted, groups)
    asked: list[tuple[str, PortWanted]] = []
    found = []
    for server in servers:
        ports = []
        for wish in wanted:
            if wish.port is None:
                id = call.new_id()
                asked.append((id, _wanted(call, server, wish, groups)))
                ports.append(ServerPort(port_id=id, tag=wish.tag, made=True))
            else:
                owner = {"device_id": server.id, "device_owner": _owner(call, server)}
                call.store.port.change(wish.port, owner, call.now)
                ports.append(ServerPort(port_id=wish.port.id, tag=wish.tag))
        found.append(msgspec.structs.replace(server, ports=(*server.ports, *ports)))
    if asked:
        with _quota_by_its_name():
            call.store.port.create_many(asked, now=call.now, settings=call.part(NetworkSettings))
    return found


def _check_groups(wanted: Sequence[Wish], groups: tuple[str, ...] | None) -> None:
    if groups and any(wish.port is None and not wish.network.port_security_enabled for wish in wanted):
        raise Invalid("Network requires port_security_enabled and subnet associated in order to apply security groups.")


def _wanted(call: Call, server: Server, wish: Wish, groups: tuple[str, ...] | None) -> PortWanted:
    return PortWanted(
        project_id=server.project_id,
        network_id=wish.network.id,
        fixed_ips=(WantedIp(ip_address=wish.fixed_ip),) if wish.fixed_ip else None,
        device_id=server.id,
        device_owner=_owner(call, server),
        security_group_ids=groups,
        dns_name=server.hostname.partition(".")[0],
    )


def _owner(call: Call, server: Server) -> str:
    zone = server.zone or server.zone_requested or call.part(ComputeSettings).default_zone
    return f"{COMPUTE_OWNER}{zone}"


@contextmanager
def _quota_by_its_name() -> Iterator[None]:
    """Neutron says 409 where Nova says 403."""
    try:
        yield
    except Conflict as error:
        if error.kind == "OverQuota":
            raise OverQuota(f"Maximum number of ports exceeded. {error.sentence}") from None
        raise


@contextmanager
def as_bad_request(*kinds: str) -> Iterator[None]:
    """Errors of these kinds are the request's fault (400) in Nova's view, whatever they are in Neutron's."""
    try:
        yield
    except (NotFound, Conflict) as error:
        if error.kind in kinds:
            raise Invalid(error.sentence) from None
        raise
