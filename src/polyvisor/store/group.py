"""Groups of users in the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, ColumnElement, ForeignKey, String, Table, Text, UniqueConstraint, delete, insert, select

from polyvisor.model.errors import Conflict, NotFound
from polyvisor.model.group import Group, GroupFilter
from polyvisor.store.identity_changes import changed
from polyvisor.store.records import Records
from polyvisor.store.tables import Json, metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

group = Table(
    "user_group",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("domain_id", String(64), ForeignKey("domain.id"), nullable=False),
    Column("description", Text, nullable=False),
    Column("extra", Json(dict[str, Any]), nullable=False),
    UniqueConstraint("domain_id", "name"),
)
group_member = Table(
    "user_group_member",
    metadata,
    Column("group_id", String(64), ForeignKey("user_group.id"), primary_key=True),
    Column("user_id", String(64), ForeignKey("user.id"), primary_key=True, index=True),
)
_rows = Records(group, Group)


class Groups:
    """The statements on groups."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def create(self, record: Group) -> None:
        """A new group. Raises Conflict where the name is taken in its domain."""
        self._check_name(record.domain_id, record.name)
        _rows.add(self._sql, record)

    def find(self, group_id: str) -> Group | None:
        """A group, or None."""
        return _rows.get(self._sql, group_id)

    def get(self, group_id: str) -> Group:
        """A group. Raises NotFound."""
        record = self.find(group_id)
        if record is None:
            raise NotFound(f"Could not find group: {group_id}.")
        return record

    def list(self, by: GroupFilter, *, limit: int | None = None, marker: str | None = None) -> list[Group]:
        """Groups, by name. One statement."""
        where: list[ColumnElement[bool]] = []
        if by.domain_id is not None:
            where.append(group.c.domain_id == by.domain_id)
        if by.name is not None:
            where.append(group.c.name == by.name)
        if by.user_id is not None:
            where.append(group.c.id.in_(select(group_member.c.group_id).where(group_member.c.user_id == by.user_id)))
        return _rows.list(self._sql, where, [group.c.name, group.c.id], limit, marker)

    def update(self, record: Group, changes: dict[str, Any]) -> Group:
        """The group with other fields. Raises Conflict where the name is taken."""
        if "name" in changes and changes["name"] != record.name:
            self._check_name(record.domain_id, changes["name"])
        _rows.update(self._sql, record.id, changes)
        return self.get(record.id)

    def remove(self, group_id: str) -> None:
        """Remove a group and what hangs on it."""
        self._store.assignment.remove_of(group_id=group_id)
        self._sql.execute(delete(group_member).where(group_member.c.group_id == group_id))
        _rows.delete(self._sql, group_id)
        changed(self._store)

    def has(self, group_id: str, user_id: str) -> bool:
        """Whether the user is a member."""
        found = (group_member.c.group_id == group_id) & (group_member.c.user_id == user_id)
        return self._sql.execute(select(group_member.c.user_id).where(found)).first() is not None

    def join(self, group_id: str, user_id: str) -> None:
        """Make the user a member; again is no error."""
        if not self.has(group_id, user_id):
            self._sql.execute(insert(group_member), {"group_id": group_id, "user_id": user_id})
            changed(self._store)

    def leave(self, group_id: str, user_id: str) -> None:
        """End a membership. Raises NotFound where there is none."""
        found = (group_member.c.group_id == group_id) & (group_member.c.user_id == user_id)
        if self._sql.execute(delete(group_member).where(found)).rowcount == 0:
            raise NotFound(f"User {user_id} is not in group {group_id}.")
        changed(self._store)

    def of_user(self, user_id: str) -> Sequence[str]:
        """The ids of a user's groups."""
        return (
            self._sql.execute(select(group_member.c.group_id).where(group_member.c.user_id == user_id)).scalars().all()
        )

    def of_domain(self, domain_id: str) -> Sequence[str]:
        """The ids of a domain's groups."""
        return self._sql.execute(select(group.c.id).where(group.c.domain_id == domain_id)).scalars().all()

    def _check_name(self, domain_id: str, name: str) -> None:
        if _rows.first(self._sql, group.c.domain_id == domain_id, group.c.name == name) is not None:
            raise Conflict(f"A group with the name {name} exists already in this domain.")
