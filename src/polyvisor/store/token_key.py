"""The keys that seal tokens, in the store so that every process has the same."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Column, String, Table

from polyvisor.model.token_key import TokenKey
from polyvisor.store.identity_changes import changed
from polyvisor.store.records import Records
from polyvisor.store.tables import Moment, metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

token_key = Table(
    "token_key",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("secret", String(64), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("primary_at", Moment),
    Column("retired_at", Moment),
)
_rows = Records(token_key, TokenKey)


class TokenKeys:
    """The statements on token keys."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def list(self) -> list[TokenKey]:
        """Every key: the primary first, then the staged one, then those retired, the last first."""
        found = _rows.list(self._sql, (), [token_key.c.created_at, token_key.c.id])
        found.reverse()
        return sorted(found, key=lambda key: ("primary", "staged", "secondary").index(key.state))

    def add(self, key: TokenKey) -> None:
        """A new key."""
        _rows.add(self._sql, key)
        changed(self._store)

    def set_primary(self, key_id: str, now: datetime) -> None:
        """Seal with this key from now on."""
        _rows.update(self._sql, key_id, {"primary_at": now})
        changed(self._store)

    def retire(self, key_id: str, now: datetime) -> None:
        """Seal no more with this key; what it has sealed stays valid."""
        _rows.update(self._sql, key_id, {"retired_at": now})
        changed(self._store)

    def remove(self, key_id: str) -> None:
        """Remove a key: what it has sealed is void."""
        _rows.delete(self._sql, key_id)
        changed(self._store)
