"""Hosts as the Compute API lists them: in pages, by part of their name, with their servers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from polyvisor.model.errors import Invalid, NotFound
from polyvisor.model.host import Host
from polyvisor.store.host import host
from polyvisor.store.server import server

if TYPE_CHECKING:
    from polyvisor.store.store import Store

_COLUMNS = [host.c[name] for name in Host.__struct_fields__]
_live = select(*_COLUMNS).where(host.c.gone.is_(False))


class Hypervisors:
    """Statements that look at hosts by what the Compute API knows of them; changes are `store.host`'s."""

    def __init__(self, store: Store) -> None:
        self._sql = store.connection

    def get(self, hypervisor_id: int | str) -> Host:
        """One host by its number (int) or uuid (str). Raises NotFound."""
        column = host.c.id if isinstance(hypervisor_id, int) else host.c.uuid
        row = self._sql.execute(_live.where(column == hypervisor_id)).first()
        if row is None:
            raise NotFound(f"Hypervisor {hypervisor_id} could not be found.")
        return Host(**row._mapping)

    def page(
        self, *, pattern: str | None = None, marker: int | str | None = None, limit: int | None = None
    ) -> list[Host]:
        """Hosts by number, after the one whose number or uuid `marker` is; of those whose name has `pattern` in it.

        One statement (two with a marker). Raises Invalid for a marker that is not there.
        """
        statement = _live
        if pattern is not None:
            statement = statement.where(host.c.name.contains(pattern, autoescape=True))
        if marker is not None:
            try:
                statement = statement.where(host.c.id > self.get(marker).id)
            except NotFound:
                raise Invalid(
                    f"The marker {marker} was not found: give the id of the page before's last one."
                ) from None
        rows = self._sql.execute(statement.order_by(host.c.id).limit(limit))
        return [Host(**row._mapping) for row in rows]

    def servers(self, names: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
        """By host, the servers on it that are not deleted: (id, name) pairs in order of name. One statement."""
        found: dict[str, list[tuple[str, str]]] = {}
        here = select(server.c.host, server.c.id, server.c.name).where(
            server.c.host.in_(list(names)), server.c.deleted_at.is_(None)
        )
        for name, server_id, display_name in self._sql.execute(here.order_by(server.c.name, server.c.id)):
            found.setdefault(name, []).append((server_id, display_name))
        return found

    def workload(self, names: Iterable[str]) -> dict[str, int]:
        """By host, how many of its servers something is being done to. One statement."""
        busy = select(server.c.host, func.count()).where(
            server.c.host.in_(list(names)), server.c.deleted_at.is_(None), server.c.task_state.is_not(None)
        )
        return {row[0]: int(row[1]) for row in self._sql.execute(busy.group_by(server.c.host))}
