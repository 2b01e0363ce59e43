"""The MAC addresses of ports: no two ports of a network have the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select

from polyvisor.model.errors import Conflict, Unavailable
from polyvisor.model.mac import made_for
from polyvisor.model.port import PortWanted
from polyvisor.store.port_tables import port

_ATTEMPTS = 16
_MANY = 500


class Macs:
    """The statements on them."""

    def __init__(self, connection: Connection) -> None:
        self._sql = connection

    def choose(self, wanted: Sequence[tuple[str, PortWanted]], prefix: str) -> dict[str, str]:
        """The MAC address of each new port by its id: the one that is asked for, else one that begins with `prefix`.

        Raises Conflict and Unavailable.
        """
        chosen: dict[str, str] = {}
        by_network: dict[str, list[tuple[str, PortWanted]]] = {}
        for id, each in wanted:
            by_network.setdefault(each.network_id, []).append((id, each))
        for network_id, group in by_network.items():
            given = [each.mac_address for _, each in group if each.mac_address is not None]
            self.refuse_taken(network_id, given)
            taken = set(given)
            left = {id for id, each in group if each.mac_address is None}
            chosen |= {id: each.mac_address for id, each in group if each.mac_address is not None}
            for attempt in range(_ATTEMPTS):
                tried = {id: made_for(id, prefix, attempt) for id in sorted(left)}
                taken |= self._held(network_id, tried.values())
                for id, mac in tried.items():
                    if mac not in taken:
                        taken.add(mac)
                        chosen[id] = mac
                        left.remove(id)
                if not left:
                    break
            if left:
                raise Unavailable(
                    f"Unable to generate unique MAC addresses on network {network_id}: nearly all that begin with "
                    f"{prefix} are taken.",
                    kind="MacAddressGenerationFailure",
                )
        return chosen

    def _held(self, network_id: str, macs: Iterable[str]) -> set[str]:
        names, found = sorted(set(macs)), set()
        for at in range(0, len(names), _MANY):
            where = (port.c.network_id == network_id, port.c.mac_address.in_(names[at : at + _MANY]))
            found |= set(self._sql.execute(select(port.c.mac_address).where(*where)).scalars())
        return found

    def refuse_taken(self, network_id: str, macs: Sequence[str]) -> None:
        """Raise Conflict where a port of the network has one of these, or one is named twice."""
        held = self._held(network_id, macs)
        twice = {mac for mac in macs if macs.count(mac) > 1}
        for mac in sorted(held | twice):
            raise Conflict(
                f"Unable to complete operation for network {network_id}. The mac address {mac} is in use.",
                kind="MacAddressInUse",
            )
