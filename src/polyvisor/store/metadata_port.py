"""Who asks the metadata service: from a network and an address to a port, and from hosts to what they may ask about."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from sqlalchemy import ColumnElement, and_, or_, select

from polyvisor.model.errors import Conflict
from polyvisor.model.host import EVERY_PHYSICAL_NETWORK, HypervisorType
from polyvisor.model.metadata import MetadataPort
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.port import COMPUTE_OWNER, METADATA, Port, PortWanted, WantedIp
from polyvisor.model.record import Record
from polyvisor.store.floating_ip import floating_ip
from polyvisor.store.held_place import place
from polyvisor.store.host import host
from polyvisor.store.network import network
from polyvisor.store.port_tables import port, port_address, port_security_group
from polyvisor.store.security_group import security_group
from polyvisor.store.segment import segment
from polyvisor.store.subnet import subnet

if TYPE_CHECKING:
    from polyvisor.store.store import Store

_OUTSIDE = "dvs"
"""The vif_type of ports whose hypervisor has no metadata service: gateways of their physical network answer for it."""

_CHASSIS = (HypervisorType.KVM, HypervisorType.QEMU)
"""What runs on hosts that may be gateways."""


class Hosts(Record):
    """The hosts whose guests somebody speaks for."""

    names: frozenset[str] = frozenset()
    physical_networks: frozenset[str] = frozenset()
    """Networks of the site that they are connected to, and may be gateways of."""


class Found(Record):
    """A port that a question came from."""

    port_id: str
    device_id: str
    """What the port says whose it is. Its owner may write there what he likes: the server must say so, too."""


class MetadataPorts:
    """The statements of the metadata service."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def keep(self, network_id: str, *, now: datetime, settings: NetworkSettings) -> None:
        """Give a network that has a subnet with DHCP its metadata port, with an address in each such subnet of IPv4.

        To be called where subnets have come or changed. Where a pool is exhausted the port does without. Nothing is
        made where the backend has no such ports.
        """
        if settings.backend != "ovn":
            return
        self._store.network.get(network_id)  # held from here on: nobody else gives it one
        served = [each for each in self._store.subnet.of_networks([network_id]) if each.enable_dhcp]
        wanted = tuple(WantedIp(subnet_id=each.id) for each in served if each.ip_version == 4)
        found = self._store.port.every(port.c.network_id == network_id, port.c.device_owner == METADATA)
        try:
            if found:
                self._change(next(iter(found.values())), wanted, now)
            elif served:
                self._make(network_id, wanted, now, settings)
        except Conflict:
            if not found:
                self._make(network_id, (), now, settings)

    def lacking(self) -> list[str]:
        """Networks that have a subnet with DHCP and no metadata port, by their ids. One statement."""
        have = select(port.c.network_id).where(port.c.device_owner == METADATA)
        statement = select(subnet.c.network_id).where(subnet.c.enable_dhcp, subnet.c.network_id.not_in(have))
        return list(self._sql.execute(statement.distinct().order_by(subnet.c.network_id)).scalars())

    def _make(self, network_id: str, wanted: tuple[WantedIp, ...], now: datetime, settings: NetworkSettings) -> None:
        # It is the network's and no project's, which has no quota for it.
        made = PortWanted(
            network_id=network_id, project_id="", device_owner=METADATA, device_id=f"ovnmeta-{network_id}",
            fixed_ips=wanted, port_security_enabled=False, security_group_ids=(),
        )  # fmt: skip
        self._store.port.create(made, id=str(uuid5(UUID(network_id), METADATA)), now=now, settings=settings)

    def _change(self, record: Port, wanted: tuple[WantedIp, ...], now: datetime) -> None:
        have = {each.subnet_id for each in record.fixed_ips if ":" not in each.ip_address}
        if have != {each.subnet_id for each in wanted}:
            self._store.port.change(record, {"fixed_ips": wanted}, now)

    def hosts_of_agent(self, agent_id: str) -> Hosts:
        """Those at places that the agent holds, or held last. One statement."""
        held = select(place.c.name).where(place.c.agent_id == agent_id)
        return self._hosts(host.c.place.in_(held))

    def hosts_at(self, places: Collection[str]) -> Hosts:
        """Those at these places. One statement."""
        return self._hosts(host.c.place.in_(sorted(places)))

    def _hosts(self, where: ColumnElement[bool]) -> Hosts:
        rows = self._sql.execute(select(host.c.name, host.c.report).where(where, host.c.gone.is_(False))).all()
        return Hosts(
            names=frozenset(row.name for row in rows),
            physical_networks=frozenset(
                name for row in rows if row.report.hypervisor_type in _CHASSIS for name in row.report.physical_networks
            ),
        )

    def find(self, network_id: str, address: str, hosts: Hosts) -> Found | None:
        """The port that has the address on the network, where `hosts` may speak for it. One statement.

        A link-local address stands for the MAC address that it was made from. None where there is no such port.
        """
        try:
            given = ipaddress.ip_address(address)
        except ValueError:
            return None
        mac_address = _mac_address(given)
        if mac_address is not None:
            who = port.c.mac_address == mac_address
        else:
            who = port.c.id.in_(select(port_address.c.port_id).where(port_address.c.ip_address == str(given)))
        statement = select(port.c.id, port.c.device_id).where(port.c.network_id == network_id, who, _spoken_for(hosts))
        rows = self._sql.execute(statement.limit(2)).all()
        return Found(port_id=rows[0].id, device_id=rows[0].device_id) if len(rows) == 1 else None

    def of_hosts(self, hosts: Hosts) -> tuple[MetadataPort, ...]:
        """The networks of the guests that `hosts` may speak for, each with its metadata port. One statement."""
        used = select(port.c.network_id).where(_spoken_for(hosts))
        statement = (
            select(
                port.c.id,
                port.c.network_id,
                port.c.mac_address,
                network.c.mtu,
                port_address.c.ip_address,
                subnet.c.cidr,
            )
            .join(network, network.c.id == port.c.network_id)
            .outerjoin(port_address, port_address.c.port_id == port.c.id)
            .outerjoin(subnet, subnet.c.id == port_address.c.subnet_id)
            .where(port.c.device_owner == METADATA, port.c.network_id.in_(used))
            .order_by(port.c.network_id, port.c.created_at, port.c.id, port_address.c.ip_address)
        )
        found: dict[str, MetadataPort] = {}
        addresses: dict[str, list[str]] = defaultdict(list)
        for row in self._sql.execute(statement):
            made = MetadataPort(
                network_id=row.network_id, port_id=row.id, mac_address=row.mac_address, mtu=row.mtu, addresses=()
            )
            first = found.setdefault(row.network_id, made)
            if first.port_id == row.id and row.ip_address is not None:
                addresses[row.network_id].append(f"{row.ip_address}/{row.cidr.partition('/')[2]}")
        return tuple(
            MetadataPort(
                network_id=one.network_id, port_id=one.port_id, mac_address=one.mac_address, mtu=one.mtu,
                addresses=tuple(addresses[id]),
            )
            for id, one in found.items()
        )  # fmt: skip

    def security_groups(self, port_ids: Collection[str]) -> tuple[str, ...]:
        """Names of the groups that ports are in, each once. One statement."""
        statement = (
            select(security_group.c.name)
            .join(port_security_group, port_security_group.c.security_group_id == security_group.c.id)
            .where(port_security_group.c.port_id.in_(sorted(port_ids)))
            .distinct()
            .order_by(security_group.c.name)
        )
        return tuple(self._sql.execute(statement).scalars())

    def floating_ips(self, port_ids: Collection[str]) -> tuple[str, ...]:
        """Addresses outside that stand for ports' own. One statement."""
        where = floating_ip.c.port_id.in_(sorted(port_ids))
        statement = select(floating_ip.c.floating_ip_address).where(where)
        return tuple(self._sql.execute(statement.order_by(floating_ip.c.created_at, floating_ip.c.id)).scalars())


def _spoken_for(hosts: Hosts) -> ColumnElement[bool]:
    """Ports of servers on these hosts; and of servers whose own hosts cannot answer them, on networks of the site that
    these hosts are connected to."""
    here = port.c.host.in_(sorted(hosts.names))
    reached = select(segment.c.network_id).where(segment.c.physical_network.is_not(None))
    if EVERY_PHYSICAL_NETWORK not in hosts.physical_networks:
        reached = reached.where(segment.c.physical_network.in_(sorted(hosts.physical_networks)))
    outside = and_(port.c.vif_type == _OUTSIDE, port.c.network_id.in_(reached))
    return and_(port.c.device_owner.startswith(COMPUTE_OWNER), port.c.host != "", or_(here, outside))


def _mac_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
    """The MAC address that a link-local IPv6 address was made from (modified EUI-64, RFC 4291); None for others."""
    if address.version == 4 or not address.is_link_local:
        return None
    interface = address.packed[8:]
    if address.packed[2:8] != bytes(6) or interface[3:5] != b"\xff\xfe":
        return ""  # of the guest's own choice: nobody's card is called so
    return ":".join(f"{octet:02x}" for octet in (interface[0] ^ 2, *interface[1:3], *interface[5:]))
