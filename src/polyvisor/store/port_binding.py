"""Bindings of ports that are not active: the hosts for which ports are prepared, before a migration or after it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import Row, delete, insert, select

from polyvisor.model.errors import Conflict, NotFound
from polyvisor.model.port import Binding, Port
from polyvisor.store.port_tables import port_binding

if TYPE_CHECKING:
    from polyvisor.store.store import Store

_COLUMNS = Binding.__struct_fields__


class PortBindings:
    """The statements on them. The active binding is a part of its port; a port is handed in as it was read in the same
    transaction, which keeps others from changing its bindings meanwhile."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def of_port(self, port_id: str) -> list[Binding]:
        """Those of one port, by host. One statement."""
        statement = select(*(port_binding.c[name] for name in _COLUMNS)).where(port_binding.c.port_id == port_id)
        return [_of(row) for row in self._sql.execute(statement.order_by(port_binding.c.host))]

    def get(self, port_id: str, host: str) -> Binding:
        """The one for a host. Raises NotFound."""
        for binding in self.of_port(port_id):
            if binding.host == host:
                return binding
        raise NotFound(f"Binding for port {port_id} for host {host} could not be found.", kind="PortBindingNotFound")

    def create(self, port: Port, binding: Binding) -> None:
        """A new one. Raises Conflict where the port has a binding for this host, active or not."""
        known = {port.binding.host, *(each.host for each in self.of_port(port.id))}
        if binding.host in known:
            raise Conflict(
                f"Binding for port {port.id} on host {binding.host} already exists.", kind="PortBindingAlreadyExists"
            )
        self._sql.execute(insert(port_binding).values(port_id=port.id, **msgspec.structs.asdict(binding)))

    def put(self, port_id: str, binding: Binding) -> None:
        """Instead of the one for its host, if there is such a one."""
        self.forget([port_id], binding.host)
        self._sql.execute(insert(port_binding).values(port_id=port_id, **msgspec.structs.asdict(binding)))

    def activate(self, port: Port, host: str, now: datetime) -> Port:
        """Plug the port at a host for which it has a binding; what was active is so no longer.

        Raises NotFound without such a binding, and Conflict where it is the active one.
        """
        if port.binding.host == host:
            raise Conflict(
                f"Binding for port {port.id} on host {host} is already active.", kind="PortBindingAlreadyActive"
            )
        binding = self.get(port.id, host)
        self.forget([port.id], host)
        if port.binding.host:
            self.put(port.id, port.binding)
        self._store.port.change(port, {"binding": binding, "status": "DOWN"}, now)
        return self._store.port.get(port.id)

    def delete(self, port: Port, host: str) -> None:
        """Remove the one for a host. Raises NotFound, and Conflict for the active one."""
        if port.binding.host == host:
            raise Conflict(
                f"Binding for port {port.id} on host {host} is active: activate another one first, or take the port "
                "from its host by its binding:host_id.",
                kind="PortBindingActive",
            )
        self.get(port.id, host)
        self.forget([port.id], host)

    def forget(self, port_ids: Collection[str], host: str) -> None:
        """Remove those of ports for one host. One statement. With a port, its bindings go by themselves."""
        where = (port_binding.c.port_id.in_(sorted(port_ids)), port_binding.c.host == host)
        self._sql.execute(delete(port_binding).where(*where))


def _of(row: Row[tuple[object, ...]]) -> Binding:
    return Binding(**dict(zip(_COLUMNS, row, strict=True)))  # type: ignore[arg-type]
