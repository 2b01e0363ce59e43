"""Flavors, and the projects that private ones are for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Float,
    ForeignKey,
    Integer,
    Row,
    String,
    Table,
    Text,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from polyvisor.model.errors import Conflict, Invalid, NotFound
from polyvisor.model.flavor import Flavor, default_flavors
from polyvisor.store.keyset import Key, after, ordered
from polyvisor.store.locking import one_at_a_time
from polyvisor.store.tables import Json, Moment, metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

flavor = Table(
    "flavor",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String(255), nullable=False, unique=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("root_gib", Integer, nullable=False),
    Column("ephemeral_gib", Integer, nullable=False),
    Column("swap_mib", Integer, nullable=False),
    Column("rxtx_factor", Float, nullable=False),
    Column("public", Boolean, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("description", Text),
    Column("extra_specs", Json(dict[str, str]), nullable=False),
    Column("created_at", Moment, nullable=False),
)

flavor_access = Table(
    "flavor_access",
    metadata,
    Column("flavor_number", Integer, ForeignKey("flavor.number", ondelete="CASCADE"), primary_key=True),
    Column("project_id", String(64), primary_key=True, index=True),
)

_FIELDS = Flavor.__struct_fields__
_COLUMNS = [flavor.c[name] for name in _FIELDS]
_get = select(*_COLUMNS).where(flavor.c.id == bindparam("of"))
_accessible = exists().where(
    flavor_access.c.flavor_number == flavor.c.number, flavor_access.c.project_id == bindparam("project")
)
_get_as = _get.where(or_(flavor.c.public, _accessible))
_specs_to_change = select(flavor.c.extra_specs).where(flavor.c.id == bindparam("of")).with_for_update()
_number = select(flavor.c.number).where(flavor.c.id == bindparam("of")).scalar_subquery()

SORT_KEYS: dict[str, ColumnElement[Any]] = {
    "created_at": flavor.c.created_at,
    "description": func.coalesce(flavor.c.description, ""),
    "disabled": flavor.c.disabled,
    "ephemeral_gb": flavor.c.ephemeral_gib,
    "flavorid": flavor.c.id,
    "id": flavor.c.number,
    "is_public": flavor.c.public,
    "memory_mb": flavor.c.memory_mib,
    "name": flavor.c.name,
    "root_gb": flavor.c.root_gib,
    "rxtx_factor": flavor.c.rxtx_factor,
    "swap": flavor.c.swap_mib,
    "vcpus": flavor.c.vcpus,
}
"""The Compute API's words for what a list can be sorted by."""


def _record(row: Row[Any]) -> Flavor:
    return Flavor(**dict(zip(_FIELDS, row, strict=True)))


class Flavors:
    """The statements on flavors."""

    def __init__(self, store: Store) -> None:
        self._sql = store.connection

    def get(self, flavor_id: str, *, project_id: str | None = None) -> Flavor:
        """One flavor; with `project_id`, only if that project may use it (None = any). Raises NotFound."""
        values = {"of": flavor_id}
        if project_id is None:
            row = self._sql.execute(_get, values).first()
        else:
            row = self._sql.execute(_get_as, {**values, "project": project_id}).first()
        if row is None:
            raise NotFound(f"Flavor {flavor_id} could not be found.")
        return _record(row)

    def list(
        self,
        *,
        project_id: str | None = None,
        public: bool | None = True,
        min_disk_gib: int = 0,
        min_memory_mib: int = 0,
        sort: Sequence[tuple[str, str]] = (),
        marker: str | None = None,
        limit: int | None = None,
    ) -> list[Flavor]:
        """Flavors in order, after `marker`: with `public` those for everybody and the private ones of `project_id`;
        with False the private ones; with None all. `sort` is (key of SORT_KEYS, "asc" or "desc") pairs.

        One statement (two with a marker). Raises Invalid for a marker that is not there.
        """
        keys: list[Key] = [(SORT_KEYS[key], way) for key, way in (*sort, ("flavorid", "asc"))]
        statement = select(*_COLUMNS).where(flavor.c.root_gib >= min_disk_gib, flavor.c.memory_mib >= min_memory_mib)
        if public is not None:
            statement = statement.where(or_(flavor.c.public, _accessible) if public else ~flavor.c.public)
        if marker is not None:
            at = self._sql.execute(select(*(column for column, _ in keys)).where(flavor.c.id == marker)).first()
            if at is None:
                raise Invalid(f"The marker {marker} was not found: give the id of the last flavor of the page before.")
            statement = statement.where(after(keys, at))
        statement = statement.order_by(*ordered(keys)).limit(limit)
        return [_record(row) for row in self._sql.execute(statement, {"project": project_id})]

    def create(self, record: Flavor) -> None:
        """Record a new flavor. Raises Conflict where its id or name is taken."""
        taken = select(flavor.c.id, flavor.c.name).where(or_(flavor.c.id == record.id, flavor.c.name == record.name))
        other = self._sql.execute(taken).first()
        if other is not None and other.name == record.name:
            raise Conflict(f"A flavor named {record.name} already exists: choose another name.")
        if other is not None:
            raise Conflict(f'A flavor with the id {record.id} already exists: choose another one, or "auto".')
        self._sql.execute(insert(flavor), {name: getattr(record, name) for name in _FIELDS})

    def describe(self, flavor_id: str, description: str | None) -> Flavor:
        """Replace the description. Raises NotFound."""
        self._sql.execute(update(flavor).where(flavor.c.id == flavor_id).values(description=description))
        return self.get(flavor_id)

    def add_extra_specs(self, flavor_id: str, more: Mapping[str, str]) -> None:
        """Set extra specs beside those that there are. Raises NotFound."""
        self._set_extra_specs(flavor_id, {**self._extra_specs(flavor_id), **more})

    def remove_extra_spec(self, flavor_id: str, key: str) -> None:
        """Remove one extra spec. Raises NotFound where there is none of that key."""
        specs = self._extra_specs(flavor_id)
        if specs.pop(key, None) is None:
            raise NotFound(f"Flavor {flavor_id} has no extra spec {key}.")
        self._set_extra_specs(flavor_id, specs)

    def _extra_specs(self, flavor_id: str) -> dict[str, str]:
        """As they are, and stay until the end of the transaction: two changes at once must not lose one."""
        specs = self._sql.execute(_specs_to_change, {"of": flavor_id}).scalar()
        if specs is None:
            raise NotFound(f"Flavor {flavor_id} could not be found.")
        return dict(specs)

    def _set_extra_specs(self, flavor_id: str, specs: dict[str, str]) -> None:
        self._sql.execute(update(flavor).where(flavor.c.id == flavor_id).values(extra_specs=specs))

    def delete(self, flavor_id: str) -> None:
        """Remove a flavor; servers keep the copies they were made with. Raises NotFound."""
        self._sql.execute(delete(flavor_access).where(flavor_access.c.flavor_number == _number), {"of": flavor_id})
        if not self._sql.execute(delete(flavor).where(flavor.c.id == flavor_id)).rowcount:
            raise NotFound(f"Flavor {flavor_id} could not be found.")

    def projects(self, flavor_id: str) -> Sequence[str]:
        """Ids of the projects that a private flavor is for."""
        statement = select(flavor_access.c.project_id).where(flavor_access.c.flavor_number == _number)
        return self._sql.execute(statement.order_by(flavor_access.c.project_id), {"of": flavor_id}).scalars().all()

    def allow(self, flavor_id: str, project_id: str) -> None:
        """Let a project use a private flavor. Raises Conflict where it may already."""
        if project_id in self.projects(flavor_id):
            raise Conflict(f"Project {project_id} has access to flavor {flavor_id} already.")
        self._sql.execute(insert(flavor_access).values(flavor_number=_number, project_id=project_id), {"of": flavor_id})

    def refuse(self, flavor_id: str, project_id: str) -> None:
        """Take a private flavor from a project. Raises NotFound where it had none."""
        pair = (flavor_access.c.flavor_number == _number, flavor_access.c.project_id == project_id)
        if not self._sql.execute(delete(flavor_access).where(*pair), {"of": flavor_id}).rowcount:
            raise NotFound(f"Project {project_id} has no access to flavor {flavor_id}.")

    def bootstrap(self, now: datetime) -> None:
        """Give a cloud that has no flavor at all the usual ones."""
        one_at_a_time(self._sql, "first_start")
        if self._sql.execute(select(flavor.c.number).limit(1)).first() is None:
            for record in default_flavors(now):
                self.create(record)
