"""What servers used over a span of time, deleted ones included."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Row, or_, select

from polyvisor.model.errors import Invalid
from polyvisor.model.flavor import Flavor
from polyvisor.model.tenant_usage import ServerUsage
from polyvisor.store.server import server

if TYPE_CHECKING:
    from polyvisor.store.store import Store

_COLUMNS = [
    server.c[name]
    for name in ("id", "name", "project_id", "flavor", "vm_state", "created_at", "launched_at", "deleted_at")
]


class TenantUsages:
    """The statements on what servers used."""

    def __init__(self, store: Store) -> None:
        self._sql = store.connection

    def servers(
        self,
        start: datetime,
        end: datetime,
        *,
        project_id: str | None = None,
        marker: str | None = None,
        limit: int | None = None,
    ) -> list[ServerUsage]:
        """Servers that ran at some moment between `start` and `end`, by project and id, after the server `marker`.

        One statement (two with a marker). Raises Invalid for a marker that is not there.
        """
        statement = select(*_COLUMNS).where(
            server.c.launched_at.is_not(None),
            server.c.launched_at < end,
            or_(server.c.deleted_at.is_(None), server.c.deleted_at > start),
        )
        if project_id is not None:
            statement = statement.where(server.c.project_id == project_id)
        if marker is not None:
            whose = self._sql.execute(select(server.c.project_id).where(server.c.id == marker)).scalar()
            if whose is None:
                raise Invalid(f"The marker {marker} was not found: give the id of the page before's last server.")
            later = (server.c.project_id == whose) & (server.c.id > marker)
            statement = statement.where(or_(server.c.project_id > whose, later))
        rows = self._sql.execute(statement.order_by(server.c.project_id, server.c.id).limit(limit))
        return [_usage(row) for row in rows]


def _usage(row: Row[tuple[object, ...]]) -> ServerUsage:
    flavor: Flavor = row.flavor
    return ServerUsage(
        server_id=row.id,
        name=row.name,
        project_id=row.project_id,
        flavor_name=flavor.name,
        vcpus=flavor.vcpus,
        memory_mib=flavor.memory_mib,
        disk_gib=flavor.root_gib + flavor.ephemeral_gib,
        state=row.vm_state,
        started_at=row.launched_at,
        ended_at=row.deleted_at,
    )


def by_project(usages: Sequence[ServerUsage]) -> dict[str, list[ServerUsage]]:
    """Usages of one project after the other."""
    found: dict[str, list[ServerUsage]] = {}
    for usage in usages:
        found.setdefault(usage.project_id, []).append(usage)
    return found
