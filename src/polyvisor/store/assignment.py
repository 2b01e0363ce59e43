"""Role assignments in the store, and the roles that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, Column, ColumnElement, Row, String, Table, and_, delete, insert, or_, select

from polyvisor.model.assignment import Assignment, AssignmentFilter
from polyvisor.model.errors import NotFound
from polyvisor.store.group import group_member
from polyvisor.store.identity_changes import changed
from polyvisor.store.tables import metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

SYSTEM = "system"
# One row per assignment. Kinds and ids instead of foreign keys: an actor is a user or a group, a target one of three.
assignment = Table(
    "role_assignment",
    metadata,
    Column("actor_kind", String(8), primary_key=True),
    Column("actor_id", String(64), primary_key=True),
    Column("target_kind", String(8), primary_key=True),
    Column("target_id", String(64), primary_key=True),
    Column("role_id", String(64), primary_key=True),
    Column("inherited", Boolean, primary_key=True),
)
_c = assignment.c


class Assignments:
    """The statements on role assignments."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def grant(self, record: Assignment) -> None:
        """Assign a role; again is no error."""
        if not self.has(record):
            self._sql.execute(insert(assignment), _values(record))
            changed(self._store)

    def has(self, record: Assignment) -> bool:
        """Whether exactly this assignment exists."""
        return self._sql.execute(select(_c.role_id).where(_exactly(record))).first() is not None

    def revoke(self, record: Assignment) -> None:
        """Remove an assignment. Raises NotFound where there is none."""
        if self._sql.execute(delete(assignment).where(_exactly(record))).rowcount == 0:
            raise NotFound(f"Could not find role assignment with role: {record.role_id}.")
        changed(self._store)

    def list(self, by: AssignmentFilter) -> list[Assignment]:
        """Assignments. One statement."""
        order = (_c.actor_kind, _c.actor_id, _c.target_kind, _c.target_id, _c.role_id, _c.inherited)
        return [_record(row) for row in self._sql.execute(select(assignment).where(*_where(by)).order_by(*order))]

    def roles_on_project(self, user_id: str, project_id: str, above: tuple[str, ...], domain_id: str) -> set[str]:
        """Role ids of a user on a project: direct, by group, and inherited from the projects above and the domain."""
        here = and_(_c.target_kind == "project", _c.target_id == project_id, _c.inherited.is_(False))
        from_domain = and_(_c.target_kind == "domain", _c.target_id == domain_id, _c.inherited.is_(True))
        where = or_(here, from_domain)
        if above:
            from_above = and_(_c.target_kind == "project", _c.target_id.in_(above), _c.inherited.is_(True))
            where = or_(where, from_above)
        return self._roles(user_id, where)

    def roles_on_domain(self, user_id: str, domain_id: str) -> set[str]:
        """Role ids of a user on a domain itself."""
        where = and_(_c.target_kind == "domain", _c.target_id == domain_id, _c.inherited.is_(False))
        return self._roles(user_id, where)

    def roles_on_system(self, user_id: str) -> set[str]:
        """Role ids of a user on the whole system."""
        return self._roles(user_id, _c.target_kind == SYSTEM)

    def of_user(self, user_id: str) -> Sequence[Assignment]:
        """All assignments of a user and of its groups. One statement."""
        return [_record(row) for row in self._sql.execute(select(assignment).where(_by_actor(user_id)))]

    def remove_of(
        self,
        *,
        user_id: str | None = None,
        group_id: str | None = None,
        project_id: str | None = None,
        domain_id: str | None = None,
        role_id: str | None = None,
    ) -> None:
        """Remove all assignments of one thing that goes."""
        where: list[ColumnElement[bool]] = []
        for kind, actor_id in (("user", user_id), ("group", group_id)):
            if actor_id is not None:
                where.append(and_(_c.actor_kind == kind, _c.actor_id == actor_id))
        for kind, target_id in (("project", project_id), ("domain", domain_id)):
            if target_id is not None:
                where.append(and_(_c.target_kind == kind, _c.target_id == target_id))
        if role_id is not None:
            where.append(_c.role_id == role_id)
        self._sql.execute(delete(assignment).where(or_(*where)))
        changed(self._store)

    def _roles(self, user_id: str, where: ColumnElement[bool]) -> set[str]:
        return set(self._sql.execute(select(_c.role_id).where(_by_actor(user_id), where)).scalars())


def _by_actor(user_id: str) -> ColumnElement[bool]:
    groups = select(group_member.c.group_id).where(group_member.c.user_id == user_id)
    by_group = and_(_c.actor_kind == "group", _c.actor_id.in_(groups))
    return or_(and_(_c.actor_kind == "user", _c.actor_id == user_id), by_group)


def _values(record: Assignment) -> dict[str, str | bool]:
    actor_kind, actor_id = ("user", record.user_id) if record.user_id is not None else ("group", record.group_id)
    target_kind, target_id = SYSTEM, "all" if record.system else None
    if record.project_id is not None:
        target_kind, target_id = "project", record.project_id
    elif record.domain_id is not None:
        target_kind, target_id = "domain", record.domain_id
    if actor_id is None or target_id is None:
        raise ValueError("An assignment has one actor and one target.")
    return {
        "actor_kind": actor_kind,
        "actor_id": actor_id,
        "target_kind": target_kind,
        "target_id": target_id,
        "role_id": record.role_id,
        "inherited": record.inherited,
    }


def _exactly(record: Assignment) -> ColumnElement[bool]:
    return and_(*(_c[name] == value for name, value in _values(record).items()))


def _record(row: Row[Any]) -> Assignment:
    return Assignment(
        role_id=row.role_id,
        user_id=row.actor_id if row.actor_kind == "user" else None,
        group_id=row.actor_id if row.actor_kind == "group" else None,
        project_id=row.target_id if row.target_kind == "project" else None,
        domain_id=row.target_id if row.target_kind == "domain" else None,
        system=row.target_kind == SYSTEM,
        inherited=row.inherited,
    )


def _where(by: AssignmentFilter) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    actors: list[ColumnElement[bool]] = []
    if by.user_id is not None:
        actors.append(and_(_c.actor_kind == "user", _c.actor_id == by.user_id))
    if by.group_ids is not None:
        actors.append(and_(_c.actor_kind == "group", _c.actor_id.in_(by.group_ids)))
    targets: list[ColumnElement[bool]] = []
    if by.project_ids is not None:
        targets.append(and_(_c.target_kind == "project", _c.target_id.in_(by.project_ids)))
    if by.domain_ids is not None:
        targets.append(and_(_c.target_kind == "domain", _c.target_id.in_(by.domain_ids)))
    where.extend(or_(*some) for some in (actors, targets) if some)
    if by.system is not None:
        where.append((_c.target_kind == SYSTEM) if by.system else (_c.target_kind != SYSTEM))
    if by.role_id is not None:
        where.append(_c.role_id == by.role_id)
    if by.inherited is not None:
        where.append(_c.inherited == by.inherited)
    return where
