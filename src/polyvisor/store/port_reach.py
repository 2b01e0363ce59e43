"""Ports that are bound to hosts which no backend of networks reaches: they say so, and no longer once one does."""

from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import select, update

from polyvisor.model.host import HypervisorType
from polyvisor.model.port import Port
from polyvisor.model.vif import BINDING_FAILED, VIF_TYPES
from polyvisor.store.host import host
from polyvisor.store.port_tables import port
from polyvisor.store.store import Store

PLUGGED = VIF_TYPES[HypervisorType.KVM]
"""What ports say that are plugged into a host's own switch, which the backend must reach."""
Bound = frozenset[tuple[str, str]]
"""Hosts, and what ports say that are bound to them."""


def bound(store: Store) -> Bound:
    """Of all ports. One statement."""
    where = (port.c.host != "", port.c.vif_type.in_((PLUGGED, BINDING_FAILED)))
    rows = store.connection.execute(select(port.c.host, port.c.vif_type).where(*where).distinct())
    return frozenset((row.host, row.vif_type) for row in rows)


def bound_of(ports: Iterable[Port]) -> Bound:
    """Of these ports."""
    said = ((each.binding.host, each.binding.vif_type) for each in ports)
    return frozenset((host, vif_type) for host, vif_type in said if host and vif_type in (PLUGGED, BINDING_FAILED))


def mark(store: Store, failed: Collection[str], mended: Collection[str], now: datetime) -> None:
    """Have ports bound to `failed` hosts say that it failed, and those at `mended` ones that they are plugged; a host
    that the cloud does not know is not mended. Four statements, and what it takes to touch the ports."""
    known = select(host.c.name).where(host.c.name.in_(sorted(mended)), host.c.gone.is_(False))
    for hosts, before, after in ((sorted(failed), PLUGGED, BINDING_FAILED), (known, BINDING_FAILED, PLUGGED)):
        where = (port.c.host.in_(hosts), port.c.vif_type == before)
        ids = list(store.connection.execute(select(port.c.id).where(*where).with_for_update()).scalars())
        if ids:
            values = {"vif_type": after, "updated_at": now, "revision_number": port.c.revision_number + 1}
            store.connection.execute(update(port).where(*where).values(**values))
            store.port.touched(ids)
