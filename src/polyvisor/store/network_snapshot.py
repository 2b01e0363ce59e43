"""What a network backend is handed: the records of one moment that concern some subjects, or all that there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from sqlalchemy import or_, select

from polyvisor.model.network import Network
from polyvisor.model.network_intent import Unit
from polyvisor.model.port import METADATA, Port
from polyvisor.model.router import FloatingIp, Interface
from polyvisor.network.backend import Parent, Records, Subject
from polyvisor.network.standing import PART_OF_ROUTERS
from polyvisor.store.floating_ip import floating_ip
from polyvisor.store.network import network
from polyvisor.store.port_tables import port
from polyvisor.store.subnet import subnet
from polyvisor.store.trunk import trunk_sub_port

if TYPE_CHECKING:
    from polyvisor.store.store import Store

_MANY = 500


class NetworkSnapshots:
    """Read in a transaction of their own, which sees one state. The number of statements is fixed, for some hundreds of
    subjects at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def whole(self) -> Records:
        """Everything. Nine statements."""
        store = self._store
        ports = store.port.every()
        carried = select(trunk_sub_port.c.port_id)
        return Records(
            networks=store.network.every(),
            subnets=store.subnet.every(),
            ports=ports,
            parents=self._parents(store.connection.execute(carried).scalars().all()),
            routers=store.router.every(),
            interfaces=_interfaces(ports.values()),
            floating_ips=store.floating_ip.every(),
            security_groups=store.security_group.every(),
            address_groups=store.address_group.every(),
            qos_policies=store.qos_policy.every(),
        )

    def of(self, subjects: Collection[Subject]) -> tuple[Records, list[Subject]]:
        """What concerns these, and which they are with all that changes with them. About sixteen statements.

        With a network change its ports (their DHCP options, names, limits) and the routers that lead out of it; with a
        router the gateways of its physical networks; with a metadata port its network, whose guests are told of it;
        with a QoS policy the ports that have it.
        """
        due = _by_unit(subjects)
        touched = self._store.port.of_ids(due[Unit.PORT])
        due[Unit.ROUTER] |= {each.device_id for each in touched.values() if each.device_owner in PART_OF_ROUTERS}
        due[Unit.NETWORK] |= {each.network_id for each in touched.values() if each.device_owner == METADATA}
        due[Unit.NETWORK] |= self._networks_of(due)
        ports = touched | self._ports_of(due)
        due[Unit.PORT] |= set(ports)
        due[Unit.ROUTER] |= {each.device_id for each in ports.values() if each.device_owner in PART_OF_ROUTERS}
        records = self._around(due, ports)
        return records, [Subject(unit=unit, id=id) for unit in Unit for id in sorted(due[unit])]

    def _networks_of(self, due: Mapping[Unit, set[str]]) -> set[str]:
        """Those that change with a policy, or with a router that leads to their physical network."""
        connected = select(port.c.network_id).where(
            port.c.device_id.in_(sorted(due[Unit.ROUTER])), port.c.device_owner.in_(sorted(PART_OF_ROUTERS))
        )
        where = or_(network.c.id.in_(connected), network.c.qos_policy_id.in_(sorted(due[Unit.QOS_POLICY])))
        found = self._store.network.every(where)
        return {each.id for each in found.values() if each.qos_policy_id in due[Unit.QOS_POLICY] or _is_physical(each)}

    def _ports_of(self, due: Mapping[Unit, set[str]]) -> dict[str, Port]:
        """Those that change with their network or their policy."""
        of_network = port.c.network_id.in_(sorted(due[Unit.NETWORK]))
        return self._store.port.every(or_(of_network, port.c.qos_policy_id.in_(sorted(due[Unit.QOS_POLICY]))))

    def _around(self, due: Mapping[Unit, set[str]], ports: dict[str, Port]) -> Records:
        """The subjects' records, and what these refer to."""
        store = self._store
        routers = store.router.of_ids(due[Unit.ROUTER])
        interfaces = store.router.interfaces(list(routers))
        floating_ips = store.floating_ip.every(floating_ip.c.router_id.in_(sorted(routers)))
        ports = ports | store.port.of_ids(_ports_of_floating(floating_ips.values()) - set(ports))
        networks = store.network.of_ids(_networks_around(due, ports.values(), interfaces))
        metadata_ports = store.port.every(port.c.network_id.in_(sorted(networks)), port.c.device_owner == METADATA)
        policies = {each.qos_policy_id for each in ports.values()} | {each.qos_policy_id for each in networks.values()}
        return Records(
            networks=networks,
            subnets=store.subnet.every(subnet.c.network_id.in_(sorted(networks))),
            ports={**ports, **metadata_ports},
            parents=self._parents(ports),
            routers=routers,
            interfaces=interfaces,
            floating_ips=floating_ips,
            security_groups=store.security_group.of_ids(due[Unit.SECURITY_GROUP]),
            address_groups=store.address_group.of_ids(due[Unit.ADDRESS_GROUP]),
            qos_policies=store.qos_policy.of_ids({each for each in policies if each is not None}),
        )

    def _parents(self, port_ids: Collection[str]) -> dict[str, Parent]:
        found: dict[str, Parent] = {}
        names = sorted(port_ids)
        for at in range(0, len(names), _MANY):
            carried = self._store.trunk.parents(names[at : at + _MANY])
            found |= {id: Parent(port_id=parent, vlan=vlan) for id, (parent, vlan) in carried.items()}
        return found


def _by_unit(subjects: Iterable[Subject]) -> dict[Unit, set[str]]:
    due: dict[Unit, set[str]] = defaultdict(set)
    for each in subjects:
        due[each.unit].add(each.id)
    return due


def _is_physical(record: Network) -> bool:
    return any(segment.physical_network for segment in record.segments)


def _ports_of_floating(floating_ips: Iterable[FloatingIp]) -> set[str]:
    return {id for each in floating_ips for id in (each.port_id, each.floating_port_id) if id is not None}


def _networks_around(
    due: Mapping[Unit, set[str]], ports: Iterable[Port], interfaces: Mapping[str, tuple[Interface, ...]]
) -> set[str]:
    of_routers = {each.network_id for held in interfaces.values() for each in held}
    return due[Unit.NETWORK] | {each.network_id for each in ports} | of_routers


def _interfaces(ports: Iterable[Port]) -> dict[str, tuple[Interface, ...]]:
    found: dict[str, list[Interface]] = defaultdict(list)
    for each in ports:
        if each.device_owner in PART_OF_ROUTERS:
            found[each.device_id].append(
                Interface(
                    port_id=each.id,
                    network_id=each.network_id,
                    mac_address=each.mac_address,
                    fixed_ips=each.fixed_ips,
                )
            )
    return {id: tuple(held) for id, held in found.items()}
