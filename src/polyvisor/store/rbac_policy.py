"""RBAC policies: which project may see or use another's things."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from sqlalchemy import Column, ColumnElement, Index, String, Table, UniqueConstraint, delete, select

from polyvisor.model.errors import Conflict, Invalid, NotFound
from polyvisor.model.network_list import NetworkList
from polyvisor.model.rbac_policy import AS_EXTERNAL, AS_SHARED, EVERYBODY, RbacPolicy
from polyvisor.store.keyset import after, ordered
from polyvisor.store.records import Records
from polyvisor.store.tables import metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

rbac_policy = Table(
    "rbac_policy",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False, index=True),
    Column("object_type", String(32), nullable=False),
    Column("object_id", String(36), nullable=False),
    Column("action", String(32), nullable=False),
    Column("target_project", String(64), nullable=False),
    UniqueConstraint("object_id", "action", "target_project"),
    Index("ix_rbac_policy_target_project", "target_project"),
)
_records = Records(rbac_policy, RbacPolicy)


class RbacPolicies:
    """The statements on RBAC policies."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def get(self, id: str, *, viewer: str | None = None) -> RbacPolicy:
        """One policy of the viewer's project (None = any). Raises NotFound."""
        found = _records.get(self._sql, id)
        if found is None or viewer not in (None, found.project_id):
            raise NotFound(f"RBAC policy of type None with ID {id} not found.", kind="RbacPolicyNotFound")
        return found

    def list(self, asked: NetworkList) -> list[RbacPolicy]:
        """Those that a project made. One statement, two with a marker."""
        table = rbac_policy.c
        where = []
        if asked.viewer is not None:
            where.append(table.project_id == asked.viewer)
        where += [table[name].in_(values) for name, values in asked.filters]
        keys = [(table[name], way) for name, way in (*asked.sort, ("id", "asc"))]
        if asked.reverse:
            keys = [(column, "asc" if way == "desc" else "desc") for column, way in keys]
        if asked.marker is not None:
            at = self._sql.execute(select(*(column for column, _ in keys)).where(table.id == asked.marker)).first()
            if at is None:
                raise Invalid(f"The marker {asked.marker} was not found.")
            where.append(after(keys, at))
        rows = self._sql.execute(_records.select.where(*where).order_by(*ordered(keys)).limit(asked.limit))
        found = [_records.of(row) for row in rows]
        return found[::-1] if asked.reverse else found

    def create(self, record: RbacPolicy) -> None:
        """A new policy. Raises Conflict where there is such a one."""
        self._store.network_quota.check(record.project_id, rbac_policy=1)
        table = rbac_policy.c
        same = (table.object_id == record.object_id, table.action == record.action)
        if _records.first(self._sql, *same, table.target_project == record.target_project) is not None:
            raise Conflict("An RBAC policy already exists with those values.", kind="DuplicateRbacPolicy")
        self.insert(record)

    def insert(self, record: RbacPolicy) -> None:
        """A policy that follows from another request: it needs no room in a quota."""
        _records.add(self._sql, record)

    def open_to_all(self, object_type: str, object_id: str, project_id: str) -> None:
        """Everybody may use a thing from now on."""
        self.insert(
            RbacPolicy(
                id=str(uuid5(UUID(object_id), AS_SHARED)),
                project_id=project_id,
                object_type=object_type,
                object_id=object_id,
                action=AS_SHARED,
                target_project=EVERYBODY,
            )
        )

    def set_target(self, record: RbacPolicy, target_project: str) -> None:
        """The policy is for another project from now on."""
        _records.update(self._sql, record.id, {"target_project": target_project})

    def delete(self, id: str) -> None:
        """Remove a policy."""
        _records.delete(self._sql, id)

    def refuse_in_use(self, record: RbacPolicy, instead: str = "") -> None:
        """Raise Conflict where one who could not use the thing without a policy does so. At most three statements.

        `instead`: the project that an external network is to be open to from now on.
        """
        if record.object_type == "network" and record.action == AS_SHARED:
            self.refuse_used(record.object_id, record.action, record.target_project, record.project_id)
            return
        lost = self._lost(record.object_id, record.action, record.target_project, self._users(record))
        lost -= {record.project_id, instead}
        if lost:
            raise Conflict(
                f"RBAC policy on object {record.object_id} cannot be removed because other objects depend on it: "
                f"{', '.join(sorted(lost))} uses it.",
                kind="RbacPolicyInUse",
            )

    def _users(self, record: RbacPolicy) -> set[str]:
        """The projects that use a thing in the way that a policy allows."""
        id = record.object_id
        if record.action == AS_EXTERNAL:
            if record.target_project == EVERYBODY and self._store.network.get(id).is_default:
                # Automatic networks of any project may need it next.
                return {"every project"}
            return self._store.router.projects_outside(id)
        if record.object_type == "security_group":
            return self._store.network_port.projects_in_group(id)
        if record.object_type == "subnetpool":
            return {project for project, _ in self._store.subnet.cidrs_of_pool(id)}
        if record.object_type == "qos_policy":
            return self._store.qos_policy.users(id)
        if record.object_type == "address_group":
            return self._store.address_group.users(id)
        if record.object_type == "address_scope":
            return self._store.subnet_pool.projects_in_scope(id)
        return set()

    def _lost(self, object_id: str, action: str, target: str, users: set[str]) -> set[str]:
        """Those of `users` that no other policy with this action lets use the thing. At most one statement."""
        used = users - {""} if target == EVERYBODY else users & {target}
        if not used:
            return used
        others = self.targets(object_id, action) - {target}
        return set() if EVERYBODY in others else used - others

    def targets(self, object_id: str, action: str) -> set[str]:
        """Whom policies with an action open a thing to. One statement."""
        where = (rbac_policy.c.object_id == object_id, rbac_policy.c.action == action)
        return set(self._sql.execute(select(rbac_policy.c.target_project).where(*where)).scalars())

    def refuse_used(self, object_id: str, action: str, target: str, owner: str) -> None:
        """Raise Conflict where a network that is opened to `target` is used by one who could not use it without."""
        users = self._store.network_port.projects_on(object_id) - {owner}
        lost = self._lost(object_id, action, target, users)
        if lost:
            raise Conflict(
                f"Unable to reconfigure sharing settings for network {object_id}. Multiple tenants are using it: "
                f"delete the ports of {', '.join(sorted(lost))} first.",
                kind="InvalidSharedSetting" if target == EVERYBODY else "RbacPolicyInUse",
            )

    def forget(self, object_ids: Collection[str], *, action: str | None = None, target: str | None = None) -> None:
        """Remove the policies of things that are gone, or those of one action and target."""
        where: list[ColumnElement[bool]] = [rbac_policy.c.object_id.in_(sorted(object_ids))]
        if action is not None:
            where.append(rbac_policy.c.action == action)
        if target is not None:
            where.append(rbac_policy.c.target_project == target)
        self._sql.execute(delete(rbac_policy).where(*where))
