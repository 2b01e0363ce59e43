"""Port forwarding in the store: ports of floating IPs that are handed on to ports inside."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Column, ForeignKey, String, Table, and_, or_

from polyvisor.model.errors import Conflict, Invalid, NotFound
from polyvisor.model.forwarding import check_ranges, colliding
from polyvisor.model.port import FixedIp, Port
from polyvisor.model.router import FloatingIp, PortForwarding
from polyvisor.store.network_standard import StandardNoun, standard_columns
from polyvisor.store.tables import metadata

port_forwarding = Table(
    "port_forwarding",
    metadata,
    *standard_columns(),
    Column("floating_ip_id", String(36), ForeignKey("floating_ip.id"), nullable=False, index=True),
    Column("protocol", String(8), nullable=False),
    Column("external_port", String(11), nullable=False),
    Column("internal_port", String(11), nullable=False),
    Column("internal_port_id", String(36), ForeignKey("port.id"), nullable=False, index=True),
    Column("internal_ip_address", String(64), nullable=False),
)


class PortForwardings(StandardNoun[PortForwarding]):
    """The statements on port forwarding. What backends are told of is the floating IP's router."""

    table = port_forwarding
    kind = PortForwarding
    title = "Port forwarding"
    missing = "PortForwardingNotFound"

    def create(self, address: FloatingIp, wanted: PortForwarding, viewer: str | None, now: datetime) -> PortForwarding:
        """Hand ports of a floating IP on. Without an `internal_ip_address` ("") the port's first IPv4 address is meant.

        `address` was read in the same transaction. Raises NotFound, Invalid and Conflict in Neutron's words.
        """
        record, router_id = self._placed(address, wanted, viewer)
        self._add([record])
        self._store.floating_ip.at_router(address, router_id, now)
        return record

    def update(
        self, address: FloatingIp, record: PortForwarding, changes: dict[str, Any], viewer: str | None, now: datetime
    ) -> PortForwarding:
        """Hand them on otherwise. Raises as `create` does."""
        wanted, router_id = self._placed(address, msgspec.structs.replace(record, **changes), viewer)
        placed = {name: getattr(wanted, name) for name in (*changes, "internal_ip_address")}
        changed = self.change(record, placed, now)
        self._store.floating_ip.at_router(address, router_id, now)
        return changed

    def delete(self, address: FloatingIp, record: PortForwarding, now: datetime) -> None:
        """Hand them on no longer; with the last one, the floating IP leaves its router."""
        self._remove([record.id])
        left = [each for each in address.port_forwardings if each.id != record.id]
        self._store.floating_ip.at_router(address, address.router_id if left else None, now)

    def _placed(self, address: FloatingIp, wanted: PortForwarding, viewer: str | None) -> tuple[PortForwarding, str]:
        """What is wanted with its inner address, and the router that does it."""
        check_ranges(wanted)
        if address.port_id is not None:
            raise Conflict(
                f"Floating IP {address.id} stands for port {address.port_id} as a whole: disassociate it first.",
                kind="FipInUseByPortForwarding",
            )
        port = self._store.port.get(wanted.internal_port_id, viewer=viewer)
        fixed = _inner_address(port, wanted.internal_ip_address)
        wanted = msgspec.structs.replace(wanted, internal_ip_address=fixed.ip_address)
        self._store.floating_ip.refuse_standing_for(port.id, fixed.ip_address)
        try:
            router_id = self._store.router.between(port, fixed, address.floating_network_id)
        except NotFound as error:
            raise Invalid(f"Bad port_forwarding request: {error.sentence}") from None
        others = [each for each in address.port_forwardings if each.id != wanted.id]
        if others and address.router_id not in (None, router_id):
            raise Invalid(
                f"Bad port_forwarding request: The Floating IP {address.id} had been set on router "
                f"{address.router_id}, the internal Neutron port {port.id} can not reach it."
            )
        self._refuse_collisions(wanted)
        return wanted, router_id

    def _refuse_collisions(self, wanted: PortForwarding) -> None:
        """No two forwardings have a port in common, neither outside nor inside."""
        columns = port_forwarding.c
        outside = columns.floating_ip_id == wanted.floating_ip_id
        within = and_(
            columns.internal_port_id == wanted.internal_port_id,
            columns.internal_ip_address == wanted.internal_ip_address,
        )
        where = (columns.protocol == wanted.protocol, columns.id != wanted.id, or_(outside, within))
        for row in self._sql.execute(self._select(None).where(*where)):
            collision = colliding(wanted, self._of(row))
            if collision is not None:
                raise Invalid(f"Bad port_forwarding request: {collision}")

    # What ports and routers call

    def ports_gone(self, port_ids: Collection[str], now: datetime) -> None:
        """These ports are about to be removed: nothing is handed on to them. One statement where nothing is."""
        statement = self._select(None).where(port_forwarding.c.internal_port_id.in_(sorted(port_ids)))
        self._drop([self._of(row) for row in self._sql.execute(statement)], now)

    def readdressed(self, record: Port, now: datetime) -> None:
        """A port has other addresses: nothing is handed on to those that are gone."""
        left = sorted(each.ip_address for each in record.fixed_ips)
        statement = self._select(None).where(
            port_forwarding.c.internal_port_id == record.id, port_forwarding.c.internal_ip_address.not_in(left)
        )
        self._drop([self._of(row) for row in self._sql.execute(statement)], now)

    def _drop(self, records: Iterable[PortForwarding], now: datetime) -> None:
        for record in records:
            self.delete(self._store.floating_ip.get(record.floating_ip_id), record, now)


def _inner_address(port: Port, asked: str) -> FixedIp:
    known = [each for each in port.fixed_ips if ":" not in each.ip_address]
    if not known:
        raise Invalid(
            f"Bad port_forwarding request: Requested internal port {port.id} must allocate an IPv4 address at least."
        )
    if not asked:
        return known[0]
    for each in known:
        if each.ip_address == asked:
            return each
    raise Invalid(
        f"Bad port_forwarding request: Requested internal IP address {asked} is not suitable for internal neutron port "
        f"{port.id}, as its fixed_ips are {', '.join(each.ip_address for each in known)}."
    )
