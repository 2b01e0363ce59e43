"""Quotas of the Networking API: the limits that differ from the defaults, and what projects have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Column, String, Table, bindparam, delete, func, insert, literal, select, union_all

from polyvisor.model.errors import Conflict
from polyvisor.model.network_quota import DEFAULTS
from polyvisor.model.quota import UNLIMITED
from polyvisor.store.floating_ip import floating_ip
from polyvisor.store.locking import one_at_a_time
from polyvisor.store.network import network
from polyvisor.store.port_tables import port
from polyvisor.store.rbac_policy import rbac_policy
from polyvisor.store.router import router
from polyvisor.store.security_group import security_group, security_group_rule
from polyvisor.store.subnet import subnet
from polyvisor.store.subnet_pool import subnet_pool
from polyvisor.store.tables import metadata
from polyvisor.store.trunk import trunk

if TYPE_CHECKING:
    from polyvisor.store.store import Store

network_quota = Table(
    "network_quota",
    metadata,
    Column("project_id", String(64), primary_key=True),
    Column("resource", String(64), primary_key=True),
    Column("hard_limit", BigInteger, nullable=False),
)

COUNTED: dict[str, Table] = {
    "floatingip": floating_ip,
    "network": network,
    "port": port,
    "rbac_policy": rbac_policy,
    "router": router,
    "security_group": security_group,
    "security_group_rule": security_group_rule,
    "subnet": subnet,
    "subnetpool": subnet_pool,
    "trunk": trunk,
}
"""The tables whose rows count against a project, by the resource's name."""

_limits = select(network_quota.c.resource, network_quota.c.hard_limit).where(
    network_quota.c.project_id == bindparam("of")
)


class NetworkQuotas:
    """The statements on quotas of networks."""

    def __init__(self, store: Store) -> None:
        self._sql = store.connection

    def limits(self, project_id: str) -> dict[str, int]:
        """Every limit of a project; -1 = as much as there is. One statement."""
        own = {row.resource: row.hard_limit for row in self._sql.execute(_limits, {"of": project_id})}
        return {**DEFAULTS, **own}

    def used(self, project_id: str) -> dict[str, int]:
        """How much of each resource a project has. One statement."""
        parts = [
            select(literal(name).label("resource"), func.count().label("used"))
            .select_from(table)
            .where(table.c.project_id == project_id)
            for name, table in COUNTED.items()
        ]
        found = {row.resource: row.used for row in self._sql.execute(union_all(*parts))}
        return {name: int(found.get(name, 0)) for name in DEFAULTS}

    def of_projects(self) -> dict[str, dict[str, int]]:
        """The limits of every project that has some of its own. One statement."""
        found: dict[str, dict[str, int]] = {}
        statement = select(network_quota).order_by(network_quota.c.project_id, network_quota.c.resource)
        for project_id, resource, limit in self._sql.execute(statement):
            found.setdefault(project_id, dict(DEFAULTS))[resource] = limit
        return found

    def set(self, project_id: str, limits: Mapping[str, int]) -> None:
        """Give a project limits of its own."""
        named = network_quota.c.resource.in_(list(limits))
        self._sql.execute(delete(network_quota).where(network_quota.c.project_id == project_id, named))
        rows = [{"project_id": project_id, "resource": name, "hard_limit": limit} for name, limit in limits.items()]
        if rows:
            self._sql.execute(insert(network_quota), rows)

    def reset(self, project_id: str) -> bool:
        """The defaults hold for the project again; False where they did before."""
        return self._sql.execute(delete(network_quota).where(network_quota.c.project_id == project_id)).rowcount > 0

    def check(self, project_id: str, **more: int) -> None:
        """Raise Conflict (OverQuota) unless the project may have this much more: `port=3`. At most three statements."""
        # Two requests of a project at once could both see room for the last one.
        one_at_a_time(self._sql, f"network quota of {project_id}")
        limits = self.limits(project_id)
        bounded = {name: asked for name, asked in more.items() if limits[name] != UNLIMITED and asked > 0}
        for name, asked in bounded.items():
            counted = select(func.count()).select_from(COUNTED[name])
            used = self._sql.execute(counted.where(COUNTED[name].c.project_id == project_id)).scalar_one()
            if used + asked > limits[name]:
                raise Conflict(
                    f"Quota exceeded for resources: ['{name}']. {asked} more were asked for, {used} of {limits[name]} "
                    "are in use: delete what is not needed, or ask an administrator for more.",
                    kind="OverQuota",
                )
