"""What network backends have to look at again: written in the same transaction as the records that changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Column, Index, String, Table, and_, bindparam, delete, func, or_, select

from polyvisor.model.network_intent import Intent, Unit
from polyvisor.store.tables import Word, metadata
from polyvisor.store.upsert import insert_or_update

if TYPE_CHECKING:
    from polyvisor.store.store import Store

SUBJECT = "network"
"""What is woken when there is something new, and the counter that numbers it."""

network_intent = Table(
    "network_intent",
    metadata,
    Column("unit", Word(Unit), primary_key=True),
    Column("id", String(36), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Index("ix_network_intent_revision", "revision"),
)
_due = (
    select(network_intent.c.unit, network_intent.c.id, network_intent.c.revision)
    .order_by(network_intent.c.revision, network_intent.c.unit, network_intent.c.id)
    .limit(bindparam("most"))
)


class NetworkIntents:
    """The statements on intents."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def touch(self, unit: Unit, ids: Iterable[str]) -> None:
        """Records of one kind were changed or removed: the backend is told once this is committed. Two statements."""
        names = sorted(set(ids))
        if not names:
            return
        revision = self._store.change.next(SUBJECT)
        rows = [{"unit": unit, "id": name, "revision": revision} for name in names]
        insert_or_update(self._sql, network_intent, rows, ("revision",))
        self._store.wake(SUBJECT)

    def due(self, most: int) -> list[Intent]:
        """What was touched and not struck off yet, oldest first. One statement."""
        return [Intent(**row._mapping) for row in self._sql.execute(_due, {"most": most})]

    def waiting(self, pairs: Collection[tuple[Unit, str]]) -> bool:
        """Whether any of these is still to be brought about. One statement."""
        if not pairs:
            return False
        one_of = or_(*(and_(network_intent.c.unit == unit, network_intent.c.id == id) for unit, id in sorted(pairs)))
        return bool(self._sql.execute(select(func.count()).select_from(network_intent).where(one_of)).scalar())

    def strike_off(self, done: Sequence[Intent]) -> None:
        """These were brought about; one that was touched again in the meantime stays."""
        if not done:
            return
        statement = delete(network_intent).where(
            network_intent.c.unit == bindparam("of_unit", type_=Word(Unit)),
            network_intent.c.id == bindparam("of_id"),
            network_intent.c.revision == bindparam("of_revision"),
        )
        rows = [{"of_unit": one.unit, "of_id": one.id, "of_revision": one.revision} for one in done]
        self._sql.execute(statement, rows)
