"""Roles in the store, and which role implies which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, ColumnElement, ForeignKey, String, Table, Text, delete, insert, or_, select

from polyvisor.model.errors import Conflict, Forbidden, NotFound
from polyvisor.model.role import Implication, Role, with_implied
from polyvisor.store.identity_changes import changed
from polyvisor.store.records import Records
from polyvisor.store.tables import metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

role = Table(
    "role",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(255), nullable=False, index=True),
    Column("domain_id", String(64), ForeignKey("domain.id")),
    Column("description", Text),
)
implied_role = Table(
    "implied_role",
    metadata,
    Column("prior_id", String(64), ForeignKey("role.id"), primary_key=True),
    Column("implied_id", String(64), ForeignKey("role.id"), primary_key=True),
)
_rows = Records(role, Role)


class Roles:
    """The statements on roles."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def create(self, record: Role) -> None:
        """A new role. Raises Conflict where the name is taken in its domain, or in the cloud."""
        # First the counter, which one transaction has at a time: roles of no domain have no unique index.
        changed(self._store)
        self._check_name(record.domain_id, record.name)
        _rows.add(self._sql, record)

    def find(self, role_id: str) -> Role | None:
        """A role, or None."""
        return _rows.get(self._sql, role_id)

    def get(self, role_id: str) -> Role:
        """A role. Raises NotFound."""
        record = self.find(role_id)
        if record is None:
            raise NotFound(f"Could not find role: {role_id}.")
        return record

    def named(self, name: str, domain_id: str | None = None) -> Role | None:
        """A role by name, of the cloud or of a domain."""
        return _rows.first(self._sql, role.c.name == name, role.c.domain_id == domain_id)

    def list(
        self,
        *,
        name: str | None = None,
        domain_id: str | None = None,
        limit: int | None = None,
        marker: str | None = None,
    ) -> list[Role]:
        """The roles of the cloud, or those of a domain, by name. One statement."""
        where: list[ColumnElement[bool]] = [role.c.domain_id == domain_id]
        if name is not None:
            where.append(role.c.name == name)
        return _rows.list(self._sql, where, [role.c.name, role.c.id], limit, marker)

    def all(self) -> dict[str, Role]:
        """Every role by id. One statement."""
        return {record.id: record for record in _rows.list(self._sql, (), [role.c.name])}

    def update(self, record: Role, changes: dict[str, Any]) -> Role:
        """The role with other fields. Raises Conflict where the name is taken."""
        changed(self._store)
        if "name" in changes and changes["name"] != record.name:
            self._check_name(record.domain_id, changes["name"])
        _rows.update(self._sql, record.id, changes)
        return self.get(record.id)

    def remove(self, role_id: str) -> None:
        """Remove a role, its assignments and its implications."""
        self._store.assignment.remove_of(role_id=role_id)
        touching = or_(implied_role.c.prior_id == role_id, implied_role.c.implied_id == role_id)
        self._sql.execute(delete(implied_role).where(touching))
        _rows.delete(self._sql, role_id)
        changed(self._store)

    def of_domain(self, domain_id: str) -> Sequence[str]:
        """The ids of a domain's own roles."""
        return self._sql.execute(select(role.c.id).where(role.c.domain_id == domain_id)).scalars().all()

    def implications(self) -> Sequence[Implication]:
        """Every implication. One statement."""
        order = (implied_role.c.prior_id, implied_role.c.implied_id)
        rows = self._sql.execute(select(implied_role).order_by(*order))
        return [Implication(prior_id=row.prior_id, implied_id=row.implied_id) for row in rows]

    def implied(self) -> Mapping[str, Sequence[str]]:
        """What each role implies directly."""
        found = defaultdict(list)
        for implication in self.implications():
            found[implication.prior_id].append(implication.implied_id)
        return found

    def imply(self, prior: Role, implied: Role) -> None:
        """Let one role imply another; again is no error. Raises Forbidden for a circle."""
        known = self.implied()
        if implied.id in known.get(prior.id, ()):
            return
        if prior.id in with_implied([implied.id], known):
            raise Forbidden(f"The role {implied.name} implies {prior.name} already; this would close a circle.")
        self._sql.execute(insert(implied_role), {"prior_id": prior.id, "implied_id": implied.id})
        changed(self._store)

    def imply_no_more(self, prior_id: str, implied_id: str) -> None:
        """End an implication. Raises NotFound where there is none."""
        found = (implied_role.c.prior_id == prior_id) & (implied_role.c.implied_id == implied_id)
        if self._sql.execute(delete(implied_role).where(found)).rowcount == 0:
            raise NotFound(f"Role {prior_id} does not imply role {implied_id}.")
        changed(self._store)

    def _check_name(self, domain_id: str | None, name: str) -> None:
        if self.named(name, domain_id) is not None:
            raise Conflict(f"A role with the name {name} exists already.")
