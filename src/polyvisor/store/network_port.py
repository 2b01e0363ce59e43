"""The ports on a network or a subnet: who has some, and what becomes of them when it comes or goes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, select, update

from polyvisor.model.errors import Conflict
from polyvisor.model.ip import is_automatic
from polyvisor.model.port import FixedIp
from polyvisor.model.subnet import Subnet
from polyvisor.store.address import Addresses
from polyvisor.store.network import GOES_ALONG
from polyvisor.store.port_tables import port, port_address, port_security_group

if TYPE_CHECKING:
    from polyvisor.store.store import Store

_OF_ROUTER = "network:router"
_NAMED = 3
_readdress = (
    update(port)
    .where(port.c.id == bindparam("of"))
    .values(
        fixed_ips=bindparam("fixed", type_=port.c.fixed_ips.type),
        updated_at=bindparam("now", type_=port.c.updated_at.type),
        revision_number=port.c.revision_number + 1,
    )
)


class NetworkPorts:
    """The statements on them. The caller has got the network in the same transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def on_network(self, network_id: str, owners: Collection[str]) -> list[str]:
        """The ids of a network's ports that belong to one of these owners. One statement."""
        where = (port.c.network_id == network_id, port.c.device_owner.in_(sorted(owners)))
        return list(self._sql.execute(select(port.c.id).where(*where).order_by(port.c.id)).scalars())

    def projects_on(self, network_id: str) -> set[str]:
        """The projects that have ports on a network. One statement."""
        return set(
            self._sql.execute(select(port.c.project_id).where(port.c.network_id == network_id).distinct()).scalars()
        )

    def projects_in_group(self, security_group_id: str) -> set[str]:
        """The projects that have ports in a security group. One statement."""
        joined = select(port.c.project_id).join(port_security_group, port_security_group.c.port_id == port.c.id)
        where = port_security_group.c.security_group_id == security_group_id
        return set(self._sql.execute(joined.where(where).distinct()).scalars())

    def clear_network(self, network_id: str, now: datetime) -> None:
        """Remove the ports that go with their network. Raises Conflict where there are others."""
        where = (port.c.network_id == network_id, port.c.device_owner.not_in(GOES_ALONG))
        held = list(self._sql.execute(select(port.c.id).where(*where).order_by(port.c.id).limit(_NAMED + 1)).scalars())
        if held:
            more = " and others" if len(held) > _NAMED else ""
            raise Conflict(
                f"Unable to complete operation on network {network_id}. There are one or more ports still in use on "
                f"the network, id for these ports is: {','.join(held[:_NAMED])}{more}.",
                kind="NetworkInUse",
            )
        self._store.port.delete(self.on_network(network_id, GOES_ALONG), now)

    def clear_subnet(self, subnet: Subnet, now: datetime) -> None:
        """Take a subnet's addresses from its ports. Raises Conflict where one is not of those that go with it."""
        having = select(port_address.c.port_id).where(port_address.c.subnet_id == subnet.id)
        ports = self._store.port.every(port.c.id.in_(having))
        for record in ports.values():
            made_itself = is_automatic(subnet) and not record.device_owner.startswith(_OF_ROUTER)
            if not made_itself and record.device_owner not in GOES_ALONG:
                raise Conflict(
                    f"Unable to complete operation on subnet {subnet.id}: One or more ports have an IP allocation "
                    f"from this subnet, such as port {record.id}.",
                    kind="SubnetInUse",
                )
        self._sql.execute(delete(port_address).where(port_address.c.subnet_id == subnet.id))
        self._set(
            {
                id: tuple(each for each in record.fixed_ips if each.subnet_id != subnet.id)
                for id, record in ports.items()
            },
            now,
        )

    def add_automatic(self, subnet: Subnet, now: datetime) -> None:
        """A subnet has come whose addresses ports make themselves: the ports of its network have one each from now on.

        Five statements, however many ports there are.
        """
        addresses = Addresses(self._store, [subnet])
        made: dict[str, tuple[FixedIp, ...]] = {}
        whole: dict[str, tuple[FixedIp, ...]] = {}
        for id, record in self._store.port.every(port.c.network_id == subnet.network_id).items():
            more = addresses.claim(
                subnet.network_id, None, mac_address=record.mac_address, device_owner=record.device_owner
            )
            if more:
                made[id], whole[id] = more, (*record.fixed_ips, *more)
        addresses.record(made)
        self._set(whole, now)

    def _set(self, fixed: Mapping[str, tuple[FixedIp, ...]], now: datetime) -> None:
        rows = [{"of": id, "fixed": each, "now": now} for id, each in fixed.items()]
        if rows:
            self._sql.execute(_readdress, rows)
        self._store.port.touched(fixed)
