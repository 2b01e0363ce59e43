"""What the cloud knows of itself: its id, which marks the guests that it made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Column, String, Table, Text, insert, select

from polyvisor.store.tables import metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

cloud = Table(
    "cloud",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)


class Clouds:
    """The statements on the cloud's own facts."""

    def __init__(self, store: Store) -> None:
        self._sql = store.connection

    def id(self, new_id: str) -> str:
        """The cloud's id; at the very first start it becomes `new_id`."""
        found = self._sql.execute(select(cloud.c.value).where(cloud.c.name == "id")).scalar()
        if found is None:
            self._sql.execute(insert(cloud), {"name": "id", "value": new_id})
            found = new_id
        return found
