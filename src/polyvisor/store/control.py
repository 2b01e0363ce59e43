"""Control processes: each says from time to time that it lives."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Column, Integer, String, Table, bindparam, delete, insert, select, update

from polyvisor.model.control import Control
from polyvisor.store.tables import Json, Moment, metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

control = Table(
    "control",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("started_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Column("agent_urls", Json(tuple[str, ...]), nullable=False, server_default="[]"),
    sqlite_autoincrement=True,
)

_COLUMNS = [control.c[name] for name in Control.__struct_fields__]
_all = select(*_COLUMNS).order_by(control.c.name)
_beat = update(control).where(control.c.name == bindparam("called")).values(seen_at=bindparam("at"))


class Controls:
    """The statements on control processes."""

    def __init__(self, store: Store) -> None:
        self._sql = store.connection

    def start(self, name: str, *, uuid: str, now: datetime, agent_urls: tuple[str, ...] = ()) -> None:
        """The process `name` begins; it keeps the uuid it had before."""
        told = {"started_at": now, "seen_at": now, "agent_urls": agent_urls}
        again = update(control).where(control.c.name == name).values(**told)
        if not self._sql.execute(again).rowcount:
            self._sql.execute(insert(control).values(uuid=uuid, name=name, **told))

    def serve_agents(self, name: str, urls: tuple[str, ...]) -> None:
        """The process `name` serves agents at these addresses from now on; at none of them, when it stops."""
        self._sql.execute(update(control).where(control.c.name == name).values(agent_urls=urls))

    def beat(self, name: str, now: datetime) -> None:
        """The process `name` lives; to be said at least every 20 seconds or so."""
        self._sql.execute(_beat, {"called": name, "at": now})

    def list(self) -> list[Control]:
        """Every control process there has been, by name."""
        return [Control(**row._mapping) for row in self._sql.execute(_all)]

    def delete(self, uuid: str) -> None:
        """Forget a process that is gone for good."""
        self._sql.execute(delete(control).where(control.c.uuid == uuid))
