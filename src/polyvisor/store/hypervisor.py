"""Hosts as the Compute API lists them: in pages, by part of their name, with their servers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Text, func, select, type_coerce

from polyvisor.model.aggregate import AUTOMATIC, EVACUATE_DISKS_KEY, EVACUATE_KEY, REBUILD
from polyvisor.model.errors import Invalid, NotFound
from polyvisor.model.host import Host, HostState
from polyvisor.store.agent import agent_place
from polyvisor.store.aggregate import aggregate, aggregate_host
from polyvisor.store.host import host
from polyvisor.store.server import server

if TYPE_CHECKING:
    from polyvisor.store.store import Store

_COLUMNS = [host.c[name] for name in Host.__struct_fields__]
_live = select(*_COLUMNS).where(host.c.gone.is_(False))

_several = select(agent_place.c.place).group_by(agent_place.c.place).having(func.count() > 1)
_shared = select(host.c.name).where(host.c.place.in_(_several))
_automatic = (
    select(aggregate_host.c.host, aggregate.c.metadata, aggregate.c.created_at, aggregate.c.updated_at)
    .join(aggregate, aggregate.c.id == aggregate_host.c.aggregate_id)
    .where(
        type_coerce(aggregate.c.metadata, Text).contains(EVACUATE_KEY, autoescape=True),
        aggregate_host.c.host.not_in(_shared),
    )
)
_places_up = select(host.c.place).where(host.c.gone.is_(False), host.c.state == HostState.UP).distinct()


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

    def places_up(self) -> frozenset[str]:
        """The places that some host of theirs counts as up. One statement."""
        return frozenset(self._sql.execute(_places_up).scalars())

    def automatic(self) -> dict[str, tuple[datetime, bool]]:
        """The hosts that aggregates let be evacuated automatically: by host, since when that may be so, and whether
        servers on local disks may be made anew. One statement.

        Hosts that several agents may serve are left out: one that is cut off cannot know whether another has its place.
        """
        found: dict[str, tuple[datetime, bool]] = {}
        manual = set()
        for name, metadata, created_at, updated_at in self._sql.execute(_automatic):
            if metadata.get(EVACUATE_KEY) != AUTOMATIC:
                manual.add(name)
                continue
            since, rebuild = found.get(name, (created_at, True))
            rebuild = rebuild and metadata.get(EVACUATE_DISKS_KEY) == REBUILD
            found[name] = (max(since, updated_at or created_at), rebuild)
        return {name: told for name, told in found.items() if name not in manual}

    def automatic_places(self) -> frozenset[str]:
        """The places of those hosts. Two statements, the second only where there are any."""
        names = self.automatic()
        if not names:
            return frozenset()
        statement = select(host.c.place).where(host.c.name.in_(sorted(names)), host.c.gone.is_(False))
        return frozenset(self._sql.execute(statement.distinct()).scalars())

    def workload(self, names: Iterable[str]) -> dict[str, int]:
        """By host, how many of its servers something is being done to. One statement."""
        busy = select(server.c.host, func.count()).where(
            server.c.host.in_(list(names)), server.c.deleted_at.is_(None), server.c.task_state.is_not(None)
        )
        return {row[0]: int(row[1]) for row in self._sql.execute(busy.group_by(server.c.host))}
