"""Projects in the store: a tree in each domain."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    bindparam,
    func,
    or_,
    select,
)

from polyvisor.model.errors import Conflict, NotFound
from polyvisor.model.project import Project, ProjectFilter
from polyvisor.store.identity_changes import changed
from polyvisor.store.records import Records
from polyvisor.store.tables import Json, Moment, metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

project = Table(
    "project",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("domain_id", String(64), ForeignKey("domain.id"), nullable=False),
    Column("parent_id", String(64), ForeignKey("project.id"), index=True),
    Column("description", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("tags", Json(tuple[str, ...]), nullable=False),
    Column("extra", Json(dict[str, Any]), nullable=False),
    Column("tokens_after", Moment),
    UniqueConstraint("domain_id", "name"),
)
_rows = Records(project, Project)

_below = select(project.c.id).where(project.c.id == bindparam("of")).cte("below", recursive=True)
_below = _below.union_all(select(project.c.id).where(project.c.parent_id == _below.c.id))
_subtree = _rows.select.where(project.c.id.in_(select(_below.c.id))).order_by(project.c.name, project.c.id)
_above = select(project.c.id, project.c.parent_id).where(project.c.id == bindparam("of")).cte("above", recursive=True)
_above = _above.union_all(select(project.c.id, project.c.parent_id).where(project.c.id == _above.c.parent_id))
_ancestors = _rows.select.where(project.c.id.in_(select(_above.c.id)))


class Projects:
    """The statements on projects."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def create(self, record: Project) -> None:
        """A new project. Raises Conflict where the name is taken in its domain."""
        self._check_name(record.domain_id, record.name)
        _rows.add(self._sql, record)
        changed(self._store)

    def find(self, project_id: str) -> Project | None:
        """A project, or None."""
        return _rows.get(self._sql, project_id)

    def get(self, project_id: str) -> Project:
        """A project. Raises NotFound."""
        record = self.find(project_id)
        if record is None:
            raise NotFound(f"Could not find project: {project_id}.")
        return record

    def named(self, domain_id: str, name: str) -> Project | None:
        """A project by its domain and name."""
        return _rows.first(self._sql, project.c.domain_id == domain_id, project.c.name == name)

    def list(self, by: ProjectFilter, *, limit: int | None = None, marker: str | None = None) -> list[Project]:
        """Projects, by name. One statement."""
        return _rows.list(self._sql, _where(by), [project.c.name, project.c.id], limit, marker)

    def below(self, project_id: str) -> Sequence[Project]:
        """All projects in the tree below one, by name."""
        found = [_rows.of(row) for row in self._sql.execute(_subtree, {"of": project_id})]
        return [record for record in found if record.id != project_id]

    def above(self, project_id: str) -> Sequence[Project]:
        """A project's parent, its parent's parent, and so on to the top."""
        found = {record.id: record for record in map(_rows.of, self._sql.execute(_ancestors, {"of": project_id}))}
        chain = []
        parent_id = found[project_id].parent_id if project_id in found else None
        while parent_id is not None:
            chain.append(found[parent_id])
            parent_id = found[parent_id].parent_id
        return chain

    def update(self, record: Project, changes: dict[str, Any], now: datetime) -> Project:
        """The project with other fields; disabling it voids its tokens. Raises Conflict."""
        if "name" in changes and changes["name"] != record.name:
            self._check_name(record.domain_id, changes["name"])
        if changes.get("enabled") is False and record.enabled:
            changes = {**changes, "tokens_after": now}
        _rows.update(self._sql, record.id, changes)
        changed(self._store)
        return self.get(record.id)

    def delete(self, record: Project) -> None:
        """Remove a project without projects below it, and the roles on it. Raises Conflict."""
        if self.below(record.id):
            raise Conflict(f"The project {record.name} has projects below it: delete those first.")
        self.remove(record.id)

    def remove(self, project_id: str) -> None:
        """Remove a project and what hangs on it."""
        self._store.assignment.remove_of(project_id=project_id)
        self._store.application_credential.remove_of(project_id=project_id)
        _rows.delete(self._sql, project_id)
        changed(self._store)

    def of_domain(self, domain_id: str) -> Sequence[str]:
        """The ids of a domain's projects, those below before those above."""
        records = self.list(ProjectFilter(domain_id=domain_id))
        parents = {record.id: record.parent_id for record in records}

        def depth(project_id: str | None) -> int:
            return 0 if project_id is None else 1 + depth(parents.get(project_id))

        return sorted(parents, key=depth, reverse=True)

    def _check_name(self, domain_id: str, name: str) -> None:
        if self.named(domain_id, name) is not None:
            raise Conflict(f"A project with the name {name} exists already in this domain.")


def _where(by: ProjectFilter) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if by.ids is not None:
        where.append(project.c.id.in_(by.ids))
    if by.domain_id is not None:
        where.append(project.c.domain_id == by.domain_id)
    if by.parent_id is not None:
        top = and_(project.c.parent_id.is_(None), project.c.domain_id == by.parent_id)
        where.append(or_(project.c.parent_id == by.parent_id, top))
    if by.name is not None:
        where.append(project.c.name == by.name)
    if by.enabled is not None:
        where.append(project.c.enabled == by.enabled)
    if by.tags:
        where.append(and_(*(_has(tag) for tag in by.tags)))
    if by.tags_any:
        where.append(or_(*(_has(tag) for tag in by.tags_any)))
    if by.not_tags:
        where.append(~and_(*(_has(tag) for tag in by.not_tags)))
    if by.not_tags_any:
        where.append(~or_(*(_has(tag) for tag in by.not_tags_any)))
    return where


def _has(tag: str) -> ColumnElement[bool]:
    # Tags are kept as a JSON list: a tag stands there between its quotes, and no tag holds a bare quote. SQLite's LIKE
    # takes small letters for capitals, so what is asked is whether the list is another one without the tag.
    text = project.c.tags.cast(Text)
    return func.replace(text, msgspec.json.encode(tag).decode(), "") != text
