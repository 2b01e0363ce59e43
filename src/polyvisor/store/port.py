"""Ports: made with their addresses and MAC addresses, bound to hosts, and as network cards."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import ColumnElement, Row, and_, delete, exists, insert, or_, select, update

from polyvisor.model.errors import Conflict
from polyvisor.model.host import Reach
from polyvisor.model.ip import is_automatic
from polyvisor.model.network import Network
from polyvisor.model.network_intent import Unit
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.nic import Nic
from polyvisor.model.port import AddressPair, Binding, FixedIp, Port, PortWanted, WantedIp
from polyvisor.store.address import Addresses
from polyvisor.store.mac import Macs
from polyvisor.store.network import network
from polyvisor.store.network_standard import Condition, StandardNoun
from polyvisor.store.nic import nics_of
from polyvisor.store.port_filter import FILTERS
from polyvisor.store.port_release import release
from polyvisor.store.port_tables import port, port_address, port_security_group
from polyvisor.store.trunk import trunk_details, values_of_trunk

if TYPE_CHECKING:
    from polyvisor.store.store import Store

_BINDING = Binding.__struct_fields__
_PLAIN = tuple(name for name in Port.__struct_fields__ if name in port.c)
_DETAILS = trunk_details(port.c.id)
_MANY = 500
_OF_ROUTER = "network:router"
OF_NETWORK = "network:"
"""How the owner of a port begins that no server has: it gets no default security group."""


class Ports(StandardNoun[Port]):
    """The statements on ports."""

    table = port
    kind = Port
    title = "Port"
    missing = "PortNotFound"
    unit = Unit.PORT

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._defaults: dict[str, str] = {}
        """The default groups that this transaction has met, by project."""

    def _fields(self, viewer: str | None) -> dict[str, ColumnElement[Any]]:
        return {**{name: port.c[name] for name in (*_PLAIN, *_BINDING)}, **_DETAILS}

    def _of(self, row: Row[Any]) -> Port:
        values = dict(zip((*_PLAIN, *_BINDING, *_DETAILS), row, strict=True))
        binding = Binding(**{name: values.pop(name) for name in _BINDING})
        return Port(**values_of_trunk(values), binding=binding)

    def visible(self, viewer: str) -> ColumnElement[bool]:
        """A project sees its own ports, and those on its own networks."""
        on_own = exists().where(network.c.id == port.c.network_id, network.c.project_id == viewer)
        return or_(port.c.project_id == viewer, on_own)

    def filters(self) -> Mapping[str, Condition]:
        """Filters on addresses and groups, and on the binding by the API's names."""
        return FILTERS

    # Making and changing

    def create(self, wanted: PortWanted, *, id: str, now: datetime, settings: NetworkSettings) -> Port:
        """A new port. Raises NotFound (network), Invalid and Conflict in Neutron's words. About ten statements."""
        return self.create_many([(id, wanted)], now=now, settings=settings)[0]

    def create_many(
        self, wanted: Sequence[tuple[str, PortWanted]], *, now: datetime, settings: NetworkSettings
    ) -> list[Port]:
        """New ports by their ids, all or none. The number of statements grows with networks and subnets, not with
        ports, but for addresses that are asked for by themselves."""
        # Networks are held first, then projects: everybody in the same order, so that none waits for one who waits.
        networks = self._store.network.of_ids({each.network_id for _, each in wanted})
        for _, each in wanted:
            if each.network_id not in networks:
                raise self._store.network.not_found(each.network_id)
        self._check_quota([each.project_id for _, each in wanted])
        addresses = Addresses(self._store, self._store.subnet.of_networks(networks))
        macs = Macs(self._sql).choose(wanted, settings.mac_prefix)
        made: list[Port] = []
        for id, each in wanted:
            record = self._new(id, each, networks[each.network_id], macs[id], now)
            fixed = addresses.claim(
                each.network_id, each.fixed_ips, mac_address=macs[id], device_owner=each.device_owner
            )
            made.append(msgspec.structs.replace(record, fixed_ips=fixed))
        self._add(made)
        addresses.record({each.id: each.fixed_ips for each in made})
        self._join_groups({each.id: each.security_group_ids for each in made})
        return made

    def _new(self, id: str, wanted: PortWanted, network: Network, mac_address: str, now: datetime) -> Port:
        secure = network.port_security_enabled if wanted.port_security_enabled is None else wanted.port_security_enabled
        groups = wanted.security_group_ids
        if groups is None:
            groups = self._default_groups(wanted, now) if secure else ()
        fields = {
            name: getattr(wanted, name) for name in Port.__struct_fields__ if name in PortWanted.__struct_fields__
        }
        fields |= {
            "mac_address": mac_address,
            "fixed_ips": (),
            "security_group_ids": groups,
            "port_security_enabled": secure,
            "allowed_address_pairs": _completed(wanted.allowed_address_pairs, mac_address),
        }
        made = Port(id=id, created_at=now, updated_at=now, **fields)
        _check_security(made)
        return made

    def _default_groups(self, wanted: PortWanted, now: datetime) -> tuple[str, ...]:
        if not wanted.project_id or wanted.device_owner.startswith(OF_NETWORK):
            return ()
        if wanted.project_id not in self._defaults:
            self._defaults[wanted.project_id] = self._store.security_group.default(wanted.project_id, now)
        return (self._defaults[wanted.project_id],)

    def change(self, record: Port, changes: Mapping[str, Any], now: datetime) -> Port:
        """The port with other fields; `fixed_ips` as a tuple of WantedIp (those that it has and that are wanted stay).

        The caller has got `record` in this transaction. Raises Invalid and Conflict in Neutron's words.
        """
        values = dict(changes)
        wanted_ips = values.pop("fixed_ips", None)
        mac_address = values.get("mac_address", record.mac_address)
        if mac_address != record.mac_address:
            self._check_mac(record, mac_address)
            if wanted_ips is None:
                wanted_ips = tuple(WantedIp(subnet_id=each.subnet_id) for each in record.fixed_ips)
        if "allowed_address_pairs" in values:
            values["allowed_address_pairs"] = _completed(values["allowed_address_pairs"], mac_address)
        if wanted_ips is not None:
            values["fixed_ips"] = self._readdressed(record, wanted_ips, mac_address)
        binding = values.pop("binding", record.binding)
        changed = super().change(record, values, now)
        if binding != record.binding:
            if binding.host:
                self._store.port_binding.forget([record.id], binding.host)
            changed = msgspec.structs.replace(changed, binding=binding)
            self._sql.execute(update(port).where(port.c.id == record.id).values(**msgspec.structs.asdict(binding)))
        _check_security(changed)
        if changed.security_group_ids != record.security_group_ids:
            self._sql.execute(delete(port_security_group).where(port_security_group.c.port_id == record.id))
            self._join_groups({record.id: changed.security_group_ids})
        if changed.fixed_ips != record.fixed_ips:
            self._readdressed_elsewhere(changed, now)
        return changed

    def _readdressed_elsewhere(self, changed: Port, now: datetime) -> None:
        if changed.device_owner.startswith(_OF_ROUTER):
            self._store.network_intent.touch(Unit.ROUTER, [changed.device_id])
        else:
            self._store.floating_ip.readdressed(changed, now)

    def _readdressed(self, record: Port, wanted: tuple[WantedIp, ...], mac_address: str) -> tuple[FixedIp, ...]:
        self._store.network.get(record.network_id)
        subnets = self._store.subnet.of_networks([record.network_id])
        automatic = {each.id for each in subnets if is_automatic(each)}
        moved = mac_address != record.mac_address
        kept = [each for each in record.fixed_ips if not (moved and each.subnet_id in automatic)]
        addresses = Addresses(self._store, subnets)
        claimed = addresses.claim(
            record.network_id, wanted, mac_address=mac_address, device_owner=record.device_owner, kept=kept
        )
        addresses.change(record.id, record.fixed_ips, claimed)
        return claimed

    def _check_mac(self, record: Port, mac_address: str) -> None:
        if record.binding.host:
            raise Conflict(
                f"Unable to complete operation on port {record.id}, port is already bound, "
                f"port type: {record.binding.vif_type}, old_mac {record.mac_address}, new_mac {mac_address}.",
                kind="PortBound",
            )
        Macs(self._sql).refuse_taken(record.network_id, [mac_address])

    def bind(
        self,
        ids: Collection[str],
        *,
        host: str,
        vif_type: str,
        vif_details: Mapping[str, object] | None = None,
        now: datetime,
    ) -> None:
        """Say where ports are plugged; `host=""` (with `vif_type="unbound"`) = nowhere. Four statements."""
        values = {
            "host": host,
            "vif_type": vif_type,
            "vif_details": dict(vif_details or {}),
            "status": "DOWN",
            "updated_at": now,
            "revision_number": port.c.revision_number + 1,
        }
        self._sql.execute(update(port).where(port.c.id.in_(sorted(ids))).values(**values))
        if host:
            self._store.port_binding.forget(ids, host)
        self.touched(ids)

    def set_status(self, statuses: Mapping[str, str], now: datetime) -> None:
        """What a backend says of ports: "ACTIVE" or "DOWN" by id. Two statements at most; no backend is told."""
        for status in sorted(set(statuses.values())):
            ids = sorted(id for id, wanted in statuses.items() if wanted == status)
            for at in range(0, len(ids), _MANY):
                where = and_(port.c.id.in_(ids[at : at + _MANY]), port.c.status != status)
                values = {"status": status, "updated_at": now, "revision_number": port.c.revision_number + 1}
                self._sql.execute(update(port).where(where).values(**values))

    def delete(self, ids: Collection[str], now: datetime) -> None:
        """Remove ports, whatever they are for; their addresses are free. Those that are not there are passed over."""
        names = sorted(ids)
        if not names:
            return
        routers = select(port.c.device_id).where(port.c.id.in_(names), port.c.device_owner.startswith(_OF_ROUTER))
        self._store.network_intent.touch(Unit.ROUTER, self._sql.execute(routers).scalars())
        release(self._store, names, now)
        self._sql.execute(delete(port_address).where(port_address.c.port_id.in_(names)))
        self._sql.execute(delete(port_security_group).where(port_security_group.c.port_id.in_(names)))
        self._remove(names)

    # Reading

    def of_devices(self, device_ids: Collection[str]) -> dict[str, list[Port]]:
        """The ports of servers or routers, by their ids, oldest first. One statement for 500."""
        found: dict[str, list[Port]] = {id: [] for id in device_ids}
        names = sorted(found)
        for at in range(0, len(names), _MANY):
            statement = self._select(None).where(port.c.device_id.in_(names[at : at + _MANY]))
            for row in self._sql.execute(statement.order_by(port.c.created_at, port.c.id)):
                record = self._of(row)
                found[record.device_id].append(record)
        return found

    def nics(self, ids: Sequence[str], reach: Reach | None = None) -> tuple[Nic, ...]:
        """Ports as network cards, in the order of `ids`; those that are gone are passed over. Three statements.

        `reach`: what the host is connected to (None = unknown), so that of a network with several segments the one is
        named that it can carry.
        """
        return nics_of(self._store, ids, reach)

    # Parts

    def _check_quota(self, projects: Iterable[str]) -> None:
        counts: dict[str, int] = {}
        for project_id in projects:
            counts[project_id] = counts.get(project_id, 0) + 1
        for project_id, count in sorted(counts.items()):
            if project_id:
                self._store.network_quota.check(project_id, port=count)

    def _join_groups(self, groups: Mapping[str, Iterable[str]]) -> None:
        rows = [
            {"port_id": id, "security_group_id": group}
            for id, wanted in groups.items()
            for group in dict.fromkeys(wanted)
        ]
        if rows:
            self._sql.execute(insert(port_security_group), rows)

    def _add(self, records: Sequence[Port], **more: Any) -> None:
        rows = []
        for record in records:
            fields = msgspec.structs.asdict(record)
            binding = fields.pop("binding")
            del fields["trunk"]
            rows.append({**fields, **msgspec.structs.asdict(binding), **more})
        self._sql.execute(insert(port), rows)
        self.touched(record.id for record in records)


def _check_security(record: Port) -> None:
    if record.port_security_enabled:
        return
    if record.security_group_ids:
        raise Conflict(
            "Port security must be enabled in order to have security groups on the port: take them off, or enable it.",
            kind="PortSecurityAndIPRequiredForSecurityGroups",
        )
    if record.allowed_address_pairs:
        raise Conflict(
            "Port Security must be enabled in order to have allowed address pairs on a port.",
            kind="AddressPairAndPortSecurityRequired",
        )


def _completed(pairs: Iterable[AddressPair], mac_address: str) -> tuple[AddressPair, ...]:
    return tuple(AddressPair(ip_address=each.ip_address, mac_address=each.mac_address or mac_address) for each in pairs)
