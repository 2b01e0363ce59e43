"""Passwords that guests have posted: encrypted by their owners' keys, so that nobody here can read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Column, ForeignKey, String, Table, bindparam, delete, select

from polyvisor.model.metadata import LARGEST_PASSWORD_BYTES
from polyvisor.store.tables import metadata
from polyvisor.store.upsert import insert_missing

if TYPE_CHECKING:
    from polyvisor.store.store import Store

server_password = Table(
    "server_password",
    metadata,
    Column("server_id", String(36), ForeignKey("server.id", ondelete="CASCADE"), primary_key=True),
    Column("password", String(LARGEST_PASSWORD_BYTES), nullable=False),
)
_get = select(server_password.c.password).where(server_password.c.server_id == bindparam("id"))


class ServerPasswords:
    """The statements on posted passwords; they go with their servers."""

    def __init__(self, store: Store) -> None:
        self._sql = store.connection

    def get(self, server_id: str) -> str:
        """What the guest has posted; "" where it has posted nothing."""
        return str(self._sql.execute(_get, {"id": server_id}).scalar() or "")

    def set_once(self, server_id: str, password: str) -> bool:
        """Keep it; False where there is one already, which stays."""
        insert_missing(self._sql, server_password, [{"server_id": server_id, "password": password}])
        return self.get(server_id) == password

    def clear(self, server_id: str) -> None:
        """Forget it: the guest may post another."""
        self._sql.execute(delete(server_password).where(server_password.c.server_id == server_id))
