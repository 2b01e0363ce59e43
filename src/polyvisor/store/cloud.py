"""What the cloud knows of itself: its id, which marks the guests that it made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Column, String, Table, Text, select

from polyvisor.store.tables import metadata
from polyvisor.store.upsert import insert_missing

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
        return self.keep("id", new_id)

    def find(self, name: str) -> str | None:
        """One fact; None where it is not known yet."""
        value: str | None = self._sql.execute(select(cloud.c.value).where(cloud.c.name == name)).scalar()
        return value

    def keep(self, name: str, value: str) -> str:
        """The fact `name`: as it is known already, else as `value`, for every server from now on."""
        found = self.find(name)
        if found is None:
            insert_missing(self._sql, cloud, [{"name": name, "value": value}])
            found = self.find(name)
        return value if found is None else found
