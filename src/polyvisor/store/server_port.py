"""The ports of many servers at once, with what lists of servers show of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import select

from polyvisor.model.server import Server
from polyvisor.model.server_port import FloatingAddress, ShownGroup, ShownPort
from polyvisor.store.floating_ip import floating_ip
from polyvisor.store.network import network
from polyvisor.store.port_tables import port, port_security_group
from polyvisor.store.security_group import security_group

if TYPE_CHECKING:
    from polyvisor.store.store import Store

_PORTS = (
    select(
        port.c.id,
        port.c.mac_address,
        port.c.fixed_ips,
        port.c.status,
        port.c.network_id,
        network.c.name.label("network_name"),
    )
    .join(network, network.c.id == port.c.network_id)
    .order_by(port.c.id)
)
_FLOATING = select(floating_ip.c.port_id, floating_ip.c.fixed_ip_address, floating_ip.c.floating_ip_address).order_by(
    floating_ip.c.floating_ip_address
)
_GROUPS = (
    select(port_security_group.c.port_id, security_group.c.id, security_group.c.name)
    .join(security_group, security_group.c.id == port_security_group.c.security_group_id)
    .order_by(security_group.c.name, security_group.c.id)
)


class ServerPorts:
    """The statements on servers' ports."""

    def __init__(self, store: Store) -> None:
        self._sql = store.connection

    def shown(self, servers: Sequence[Server]) -> dict[str, list[ShownPort]]:
        """The ports of each server, in the order of its cards; those that are gone are left out.

        Three statements, however many servers there are; none where no server has a port.
        """
        ids = [one.port_id for each in servers for one in each.ports]
        if not ids:
            return {each.id: [] for each in servers}
        floating: dict[str, list[FloatingAddress]] = {}
        for port_id, fixed, outside in self._sql.execute(_FLOATING.where(floating_ip.c.port_id.in_(ids))):
            floating.setdefault(port_id, []).append(FloatingAddress(fixed_ip=fixed, address=outside))
        groups: dict[str, list[ShownGroup]] = {}
        for port_id, id, name in self._sql.execute(_GROUPS.where(port_security_group.c.port_id.in_(ids))):
            groups.setdefault(port_id, []).append(ShownGroup(id=id, name=name))
        found = {
            row.id: ShownPort(
                **row._mapping, floating=tuple(floating.get(row.id, ())), groups=tuple(groups.get(row.id, ()))
            )
            for row in self._sql.execute(_PORTS.where(port.c.id.in_(ids)))
        }
        return {each.id: [found[one.port_id] for one in each.ports if one.port_id in found] for each in servers}
