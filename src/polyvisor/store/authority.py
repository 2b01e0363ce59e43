"""The cloud's own certificate authority, in the store so that every server signs with the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Column, String, Table, Text, select

from polyvisor.model.agent import Authority
from polyvisor.store.tables import Moment, metadata
from polyvisor.store.upsert import insert_missing

if TYPE_CHECKING:
    from polyvisor.store.store import Store

authority = Table(
    "authority",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("certificate", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
)
_AGENTS = "agents"
_get = select(authority.c.certificate, authority.c.key, authority.c.created_at).where(authority.c.name == _AGENTS)


class Authorities:
    """The statements on the authority."""

    def __init__(self, store: Store) -> None:
        self._sql = store.connection

    def find(self) -> Authority | None:
        """The authority for agents; None before the first start."""
        row = self._sql.execute(_get).first()
        return None if row is None else Authority(**row._mapping)

    def keep(self, made: Authority) -> Authority:
        """`made`, or the one that another server has kept first."""
        row = {"name": _AGENTS, "certificate": made.certificate, "key": made.key, "created_at": made.created_at}
        insert_missing(self._sql, authority, [row])
        return self.find() or made
