"""Domains in the store."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, Column, ColumnElement, String, Table, Text

from polyvisor.model.domain import Domain, DomainFilter
from polyvisor.model.errors import Conflict, Forbidden, NotFound
from polyvisor.store.identity_changes import changed
from polyvisor.store.records import Records
from polyvisor.store.tables import Json, Moment, metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

domain = Table(
    "domain",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("description", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("extra", Json(dict[str, Any]), nullable=False),
    Column("tokens_after", Moment),
)
_rows = Records(domain, Domain)


class Domains:
    """The statements on domains."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def create(self, record: Domain) -> None:
        """A new domain. Raises Conflict where the name is taken."""
        self._check_name(record.name)
        _rows.add(self._sql, record)
        changed(self._store)

    def find(self, domain_id: str) -> Domain | None:
        """A domain, or None."""
        return _rows.get(self._sql, domain_id)

    def get(self, domain_id: str) -> Domain:
        """A domain. Raises NotFound."""
        record = self.find(domain_id)
        if record is None:
            raise NotFound(f"Could not find domain: {domain_id}.")
        return record

    def named(self, name: str) -> Domain | None:
        """A domain by name."""
        return _rows.first(self._sql, domain.c.name == name)

    def list(self, by: DomainFilter, *, limit: int | None = None, marker: str | None = None) -> list[Domain]:
        """Domains, by name. One statement."""
        where: list[ColumnElement[bool]] = []
        if by.ids is not None:
            where.append(domain.c.id.in_(by.ids))
        if by.name is not None:
            where.append(domain.c.name == by.name)
        if by.enabled is not None:
            where.append(domain.c.enabled == by.enabled)
        return _rows.list(self._sql, where, [domain.c.name, domain.c.id], limit, marker)

    def update(self, record: Domain, changes: dict[str, Any], now: datetime) -> Domain:
        """The domain with other fields; disabling it voids its tokens. Raises Conflict where the name is taken."""
        if "name" in changes and changes["name"] != record.name:
            self._check_name(changes["name"])
        if changes.get("enabled") is False and record.enabled:
            changes = {**changes, "tokens_after": now}
        _rows.update(self._sql, record.id, changes)
        changed(self._store)
        return self.get(record.id)

    def delete(self, record: Domain) -> None:
        """Remove a disabled domain with all that is in it. Raises Forbidden while it is enabled."""
        if record.enabled:
            raise Forbidden(f"The domain {record.name} is enabled: disable it before you delete it.")
        for project in self._store.project.of_domain(record.id):
            self._store.project.remove(project)
        for user_id in self._store.user.of_domain(record.id):
            self._store.user.remove(user_id)
        for group_id in self._store.group.of_domain(record.id):
            self._store.group.remove(group_id)
        for role in self._store.role.of_domain(record.id):
            self._store.role.remove(role)
        self._store.assignment.remove_of(domain_id=record.id)
        _rows.delete(self._sql, record.id)
        changed(self._store)

    def _check_name(self, name: str) -> None:
        if self.named(name) is not None:
            raise Conflict(f"A domain with the name {name} exists already.")
