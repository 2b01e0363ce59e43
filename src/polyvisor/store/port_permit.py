"""What ports let through, with all that their security groups refer to, for hosts that filter by themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from sqlalchemy import select

from polyvisor.model.port import Port
from polyvisor.model.port_filter import Permit, PortFilter
from polyvisor.model.security_group import SecurityGroup, SecurityGroupRule
from polyvisor.store.port_tables import port, port_address, port_security_group

if TYPE_CHECKING:
    from polyvisor.store.store import Store

_MANY = 500


def filters_at(store: Store, hosts: Collection[str]) -> dict[str, tuple[PortFilter, ...]]:
    """Those of the ports that are plugged at these hosts, by host, in a constant order. Four statements; none without
    hosts."""
    found: dict[str, list[PortFilter]] = {name: [] for name in hosts}
    ports = store.port.every(port.c.host.in_(sorted(hosts))) if hosts else {}
    for id, made in sorted(filters_of(store, ports.values()).items()):
        found[ports[id].binding.host].append(made)
    return {name: tuple(each) for name, each in found.items()}


def filters_of(store: Store, ports: Iterable[Port]) -> dict[str, PortFilter]:
    """Those of these ports that have port security, by their ids. Three statements at most for 500 groups."""
    guarded = [each for each in ports if each.port_security_enabled]
    groups = store.security_group.of_ids({id for each in guarded for id in each.security_group_ids})
    rules = [rule for group in groups.values() for rule in group.rules]
    addresses: dict[str, tuple[str, ...]] = {
        **_members(store, {rule.remote_group_id for rule in rules if rule.remote_group_id is not None}),
        **_listed(store, {rule.remote_address_group_id for rule in rules if rule.remote_address_group_id is not None}),
    }
    permits = {id: _permits(group, addresses) for id, group in groups.items()}
    return {
        each.id: PortFilter(
            port_id=each.id,
            addresses=_own(each),
            permits=tuple(permit for id in each.security_group_ids for permit in permits.get(id, ())),
        )
        for each in guarded
    }


def _members(store: Store, group_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The addresses of the ports in groups, by the group's id."""
    found: dict[str, list[str]] = defaultdict(list)
    names = sorted(group_ids)
    group, address = port_security_group.c.security_group_id, port_address.c.ip_address
    for at in range(0, len(names), _MANY):
        joined = select(group, address).join(port_address, port_address.c.port_id == port_security_group.c.port_id)
        for id, ip_address in store.connection.execute(
            joined.where(group.in_(names[at : at + _MANY])).order_by(address)
        ):
            found[id].append(ip_address)
    return {id: tuple(found[id]) for id in names}


def _listed(store: Store, ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    found = store.address_group.of_ids(ids) if ids else {}
    return {id: found[id].addresses if id in found else () for id in ids}


def _permits(group: SecurityGroup, addresses: Mapping[str, tuple[str, ...]]) -> tuple[Permit, ...]:
    return tuple(
        Permit(
            ingress=rule.direction == "ingress",
            ethertype=rule.ethertype,
            protocol=rule.protocol,
            port_range_min=rule.port_range_min,
            port_range_max=rule.port_range_max,
            remotes=_remotes(rule, addresses),
            stateful=group.stateful,
        )
        for rule in group.rules
    )


def _remotes(rule: SecurityGroupRule, addresses: Mapping[str, tuple[str, ...]]) -> tuple[str, ...] | None:
    named = rule.remote_group_id or rule.remote_address_group_id
    if named is not None:
        return addresses[named]
    prefix = rule.normalized_cidr or rule.remote_ip_prefix
    return None if prefix is None else (prefix,)


def _own(record: Port) -> tuple[str, ...]:
    """What it may send from."""
    fixed = [each.ip_address for each in record.fixed_ips]
    return tuple(dict.fromkeys([*fixed, *(each.ip_address for each in record.allowed_address_pairs)]))
