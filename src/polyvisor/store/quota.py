"""Quotas: the limits that differ from the defaults, and what projects use of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Column, Connection, String, Table, bindparam, delete, insert, select, text

from polyvisor.model.errors import OverQuota
from polyvisor.model.quota import COUNTED, DEFAULTS, UNLIMITED, Usage
from polyvisor.store.tables import metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

DEFAULT_CLASS = "default"
"""Whose limits hold for every project that has none of its own; no project has this id."""

quota = Table(
    "quota",
    metadata,
    Column("project_id", String(64), primary_key=True),
    Column("resource", String(64), primary_key=True),
    Column("hard_limit", BigInteger, nullable=False),
)

_limits = select(quota.c.project_id, quota.c.resource, quota.c.hard_limit).where(
    quota.c.project_id.in_(bindparam("of", expanding=True))
)
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtext(:project))")


class Quotas:
    """The statements on quotas. What was read once stays as it was for the transaction: check first, then create."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection
        self._seen: dict[str, tuple[dict[str, int], Usage]] = {}

    def limits(self, project_id: str) -> dict[str, int]:
        """Every limit of a project: its own, else the default class's, else DEFAULTS. One statement."""
        own: dict[str, int] = {}
        shared: dict[str, int] = {}
        for whose, resource, limit in self._sql.execute(_limits, {"of": [project_id, DEFAULT_CLASS]}):
            (own if whose == project_id else shared)[resource] = limit
        return {**DEFAULTS, **shared, **own}

    def defaults(self) -> dict[str, int]:
        """The limits of a project that has none of its own."""
        return self.limits(DEFAULT_CLASS)

    def usage(self, project_id: str) -> Usage:
        """What the project's servers use. One statement."""
        instances, cores, ram = self._store.server.usage(project_id)
        return Usage(instances=instances, cores=cores, ram=ram)

    def set(self, project_id: str, limits: Mapping[str, int]) -> None:
        """Give a project (or DEFAULT_CLASS) limits of its own; -1 = as much as there is."""
        named = quota.c.resource.in_(list(limits))
        self._sql.execute(delete(quota).where(quota.c.project_id == project_id, named))
        rows = [
            {"project_id": project_id, "resource": resource, "hard_limit": limit} for resource, limit in limits.items()
        ]
        if rows:
            self._sql.execute(insert(quota), rows)
        self._seen.clear()

    def reset(self, project_id: str) -> None:
        """The defaults hold for the project again."""
        self._sql.execute(delete(quota).where(quota.c.project_id == project_id))
        self._seen.clear()

    def check(self, project_id: str, *, instances: int, cores: int, ram: int) -> None:
        """Raise OverQuota unless the project may have this much more; `ram` in MiB. At most two statements."""
        limits, usage = self._state(project_id)
        asked = {"instances": instances, "cores": cores, "ram": ram}
        over = [name for name in COUNTED if _exceeds(limits[name], usage.of(name) + asked[name]) and asked[name] > 0]
        if over:
            told = "; ".join(
                f"{asked[name]} more {name} asked for, {usage.of(name)} of {limits[name]} in use" for name in over
            )
            raise OverQuota(
                f"Quota exceeded for {', '.join(over)}: {told}. "
                f"Delete servers that are not needed, choose a smaller flavor, or ask an administrator for more."
            )

    def most_servers(self, project_id: str, most: int, *, cores: int, ram: int) -> int:
        """How many servers, at most `most`, of `cores` vCPUs and `ram` MiB each the project may still have."""
        limits, usage = self._state(project_id)
        each = {"instances": 1, "cores": cores, "ram": ram}
        room = [
            max(0, limits[name] - usage.of(name)) // each[name]
            for name in COUNTED
            if limits[name] != UNLIMITED and each[name] > 0
        ]
        return min(most, *room) if room else most

    def check_items(self, project_id: str, *, metadata_items: int) -> None:
        """Raise OverQuota where one server would have more metadata items than the project allows."""
        if metadata_items == 0:
            return
        limit = self._state(project_id)[0]["metadata_items"]
        if _exceeds(limit, metadata_items):
            raise OverQuota(f"Quota exceeded for metadata_items: {metadata_items} were given, and {limit} are allowed.")

    def check_keypairs(self, project_id: str, held: int) -> None:
        """Raise OverQuota where a user who has `held` key pairs may not have one more."""
        limit = self.limits(project_id)["key_pairs"]
        if _exceeds(limit, held + 1):
            raise OverQuota(f"Quota exceeded for key_pairs: you have {held}, and {limit} are allowed. Delete one.")

    def _state(self, project_id: str) -> tuple[dict[str, int], Usage]:
        found = self._seen.get(project_id)
        if found is None:
            _one_at_a_time(self._sql, project_id)
            limits = self.limits(project_id)
            bounded = any(limits[name] != UNLIMITED for name in COUNTED)
            found = self._seen[project_id] = limits, self.usage(project_id) if bounded else Usage()
        return found


def _one_at_a_time(connection: Connection, project_id: str) -> None:
    # SQLite has one writer anyway; in PostgreSQL two requests of a project could both see room for the last server.
    if connection.dialect.name == "postgresql":
        connection.execute(_ONE_AT_A_TIME, {"project": project_id})


def _exceeds(limit: int, amount: int) -> bool:
    return limit != UNLIMITED and amount > limit
