"""Key pairs: one row each, named within their user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    Integer,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    delete,
    func,
    insert,
    select,
)

from polyvisor.model.errors import Conflict, Invalid, NotFound
from polyvisor.model.keypair import Keypair
from polyvisor.store.tables import Moment, metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

keypair = Table(
    "keypair",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("user_id", String(64), nullable=False),
    Column("name", String(255), nullable=False),
    Column("type", String(8), nullable=False),
    Column("public_key", Text, nullable=False),
    Column("fingerprint", String(255), nullable=False),
    Column("created_at", Moment, nullable=False),
    UniqueConstraint("user_id", "name"),
    sqlite_autoincrement=True,
)

_FIELDS = Keypair.__struct_fields__
_COLUMNS = [keypair.c[name] for name in _FIELDS]
_get = select(*_COLUMNS).where(keypair.c.user_id == bindparam("user"), keypair.c.name == bindparam("called"))


def _record(row: Row[Any]) -> Keypair:
    return Keypair(**dict(zip(_FIELDS, row, strict=True)))


class Keypairs:
    """The statements on key pairs."""

    def __init__(self, store: Store) -> None:
        self._sql = store.connection

    def get(self, user_id: str, name: str) -> Keypair:
        """One of a user's key pairs. Raises NotFound."""
        row = self._sql.execute(_get, {"user": user_id, "called": name}).first()
        if row is None:
            raise NotFound(f"The user {user_id} has no key pair named {name}.")
        return _record(row)

    def list(self, user_id: str, *, marker: str | None = None, limit: int | None = None) -> list[Keypair]:
        """A user's key pairs by name, after `marker` (a name). Raises Invalid for a marker that is not there."""
        statement = select(*_COLUMNS).where(keypair.c.user_id == user_id)
        if marker is not None:
            if self._sql.execute(_get, {"user": user_id, "called": marker}).first() is None:
                raise Invalid(f"The marker {marker} was not found: give the name of the page before's last key pair.")
            statement = statement.where(keypair.c.name > marker)
        return [_record(row) for row in self._sql.execute(statement.order_by(keypair.c.name).limit(limit))]

    def count(self, user_id: str) -> int:
        """How many key pairs a user has."""
        return self._sql.execute(select(func.count()).where(keypair.c.user_id == user_id)).scalar_one()

    def create(self, record: Keypair) -> Keypair:
        """Record a new key pair; returns it with its number. Raises Conflict where the user has one of that name."""
        if self._sql.execute(_get, {"user": record.user_id, "called": record.name}).first() is not None:
            raise Conflict(f"There is a key pair named '{record.name}' already: choose another name.")
        values = {name: getattr(record, name) for name in _FIELDS if name != "id"}
        number = self._sql.execute(insert(keypair).values(values).returning(keypair.c.id)).scalar_one()
        return Keypair(id=number, **values)

    def delete(self, user_id: str, name: str) -> None:
        """Remove a key pair; servers keep the key they were made with. Raises NotFound."""
        statement = delete(keypair).where(keypair.c.user_id == user_id, keypair.c.name == name)
        if not self._sql.execute(statement).rowcount:
            raise NotFound(f"The user {user_id} has no key pair named {name}.")
