"""Tokens with which agents join the cloud, each good for one."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Column, String, Table, update

from polyvisor.model.agent import JoinToken
from polyvisor.store.records import Records
from polyvisor.store.tables import Json, Moment, metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

join_token = Table(
    "join_token",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("secret_hash", String(64), nullable=False),
    Column("agent_name", String(255), nullable=False),
    Column("places", Json(tuple[str, ...]), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("used_at", Moment),
    Column("used_by", String(36), nullable=False),
)
_rows = Records(join_token, JoinToken)


class JoinTokens:
    """The statements on join tokens."""

    def __init__(self, store: Store) -> None:
        self._sql = store.connection

    def add(self, token: JoinToken) -> None:
        """A new one."""
        _rows.add(self._sql, token)

    def find(self, id: str) -> JoinToken | None:
        """One by its id."""
        return _rows.get(self._sql, id)

    def list(self) -> list[JoinToken]:
        """Every token, the oldest first."""
        return _rows.list(self._sql, (), [join_token.c.created_at, join_token.c.id])

    def use(self, id: str, agent_id: str, now: datetime) -> bool:
        """Use a token up; False where another was quicker."""
        statement = update(join_token).where(join_token.c.id == id, join_token.c.used_at.is_(None))
        return self._sql.execute(statement.values(used_at=now, used_by=agent_id)).rowcount > 0

    def delete(self, id: str) -> bool:
        """Remove a token; False where there was none."""
        return _rows.delete(self._sql, id)
