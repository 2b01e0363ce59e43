"""Counters that grow with each change of a subject, so that a reader asks only for what is new."""

from sqlalchemy import BigInteger, Column, Connection, String, Table, bindparam, select, update

from polyvisor.store.tables import metadata
from polyvisor.store.upsert import insert_missing

change = Table(
    "change",
    metadata,
    Column("subject", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

_read = select(change.c.value).where(change.c.subject == bindparam("of"))
_bump = (
    update(change).where(change.c.subject == bindparam("of")).values(value=change.c.value + 1).returning(change.c.value)
)


class Changes:
    """The counters of one transaction. All changes of one transaction share one number: they become true together."""

    def __init__(self, connection: Connection) -> None:
        self._sql = connection
        self._taken: dict[str, int] = {}

    def value(self, subject: str) -> int:
        """The number of the subject's newest change; 0 before the first."""
        return self._sql.execute(_read, {"of": subject}).scalar() or 0

    def next(self, subject: str) -> int:
        """The number for this transaction's changes of the subject.

        The counter's row stays locked until the commit, so numbers become visible in their order and a reader that has
        seen N misses nothing at or below N.
        """
        if subject not in self._taken:
            value = self._sql.execute(_bump, {"of": subject}).scalar()
            if value is None:
                # The first change ever: two that make it at once must not fail over it.
                insert_missing(self._sql, change, [{"subject": subject, "value": 0}])
                value = self._sql.execute(_bump, {"of": subject}).scalar_one()
            self._taken[subject] = value
        return self._taken[subject]

    def taken(self, subject: str) -> bool:
        """Whether this transaction has changed the subject."""
        return subject in self._taken

    def forget(self) -> None:
        """A savepoint was rolled back: numbers taken inside it are to be taken anew."""
        self._taken.clear()
