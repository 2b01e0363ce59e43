"""Regions in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, ColumnElement, ForeignKey, String, Table, Text

from polyvisor.model.errors import Conflict, Forbidden, NotFound
from polyvisor.model.region import Region
from polyvisor.store.identity_changes import changed
from polyvisor.store.records import Records
from polyvisor.store.tables import metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

region = Table(
    "region",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("name", String(255)),
    Column("description", Text, nullable=False),
    Column("parent_id", String(255), ForeignKey("region.id")),
)
_rows = Records(region, Region)


class Regions:
    """The statements on regions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def create(self, record: Region) -> None:
        """A new region. Raises Conflict where the id is taken."""
        if self.find(record.id) is not None:
            raise Conflict(f"A region with the id {record.id} exists already.")
        _rows.add(self._sql, record)
        changed(self._store)

    def find(self, region_id: str) -> Region | None:
        """A region, or None."""
        return _rows.get(self._sql, region_id)

    def get(self, region_id: str) -> Region:
        """A region. Raises NotFound."""
        record = self.find(region_id)
        if record is None:
            raise NotFound(f"Could not find region: {region_id}.")
        return record

    def list(
        self, *, parent_id: str | None = None, limit: int | None = None, marker: str | None = None
    ) -> list[Region]:
        """Regions, by id; with `parent_id` those directly below one. One statement."""
        where: list[ColumnElement[bool]] = [] if parent_id is None else [region.c.parent_id == parent_id]
        return _rows.list(self._sql, where, [region.c.id], limit, marker)

    def update(self, record: Region, changes: dict[str, Any]) -> Region:
        """The region with other fields."""
        _rows.update(self._sql, record.id, changes)
        changed(self._store)
        return self.get(record.id)

    def remove(self, record: Region) -> None:
        """Remove a region. Raises Forbidden where another region or an endpoint is in it."""
        if self.list(parent_id=record.id) or self._store.catalog.endpoints(region_id=record.id):
            raise Forbidden(f"The region {record.id} holds regions or endpoints: delete those first.")
        _rows.delete(self._sql, record.id)
        changed(self._store)
