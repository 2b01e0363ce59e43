"""What a port is let go of when it is removed: the floating IPs that stand for it, forwarded ports, trunks."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import literal, select, union_all

from polyvisor.store.floating_ip import floating_ip
from polyvisor.store.port_forwarding import port_forwarding
from polyvisor.store.trunk import trunk, trunk_sub_port

if TYPE_CHECKING:
    from polyvisor.store.store import Store

_COLUMNS = {
    "floating": (floating_ip.c.port_id, port_forwarding.c.internal_port_id),
    "trunk": (trunk.c.port_id, trunk_sub_port.c.port_id),
}


def release(store: Store, port_ids: Collection[str], now: datetime) -> None:
    """These ports are about to be removed. One statement where nothing refers to them."""
    names = sorted(port_ids)
    parts = [select(literal(what)).where(column.in_(names)) for what, columns in _COLUMNS.items() for column in columns]
    found = set(store.connection.execute(union_all(*parts)).scalars())
    if "floating" in found:
        store.floating_ip.ports_gone(names, now)
    if "trunk" in found:
        store.trunk.ports_gone(names, now)
