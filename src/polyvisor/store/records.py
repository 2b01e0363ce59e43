"""Tables whose rows are records, column by field: the statements that all such nouns share."""

from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import Column, ColumnElement, Connection, Table, bindparam, delete, insert, select, tuple_, update

from polyvisor.model.errors import Invalid
from polyvisor.model.record import Record
from polyvisor.store.locking import to_change

R = TypeVar("R", bound=Record)


class Records(Generic[R]):
    """The statements of one table, built once. Every field of `kind` is a column of the same name; the key is `id`."""

    def __init__(self, table: Table, kind: type[R]) -> None:
        self.table = table
        self._kind = kind
        self._fields = kind.__struct_fields__
        self._columns = [table.c[name] for name in self._fields]
        self.select = select(*self._columns)
        """A statement on all rows, to be narrowed."""
        self._get = self.select.where(table.c.id == bindparam("id"))
        self._insert = insert(table)
        self._delete = delete(table).where(table.c.id == bindparam("id"))

    def of(self, row: Sequence[Any]) -> R:
        """The record of a row that begins with this table's columns."""
        return self._kind(**dict(zip(self._fields, row, strict=False)))

    def add(self, sql: Connection, record: R, **more: Any) -> None:
        """Insert a record; `more` are columns that are no fields."""
        sql.execute(self._insert, {**msgspec.structs.asdict(record), **more})

    def get(self, sql: Connection, key: str) -> R | None:
        """The record whose id is `key`; in a transaction that may write it stays as it is until that ends."""
        row = sql.execute(to_change(sql, self._get), {"id": key}).first()
        return None if row is None else self.of(row)

    def first(self, sql: Connection, *where: ColumnElement[bool]) -> R | None:
        """A record that meets the conditions."""
        row = sql.execute(self.select.where(*where).limit(1)).first()
        return None if row is None else self.of(row)

    def list(
        self,
        sql: Connection,
        where: Iterable[ColumnElement[bool]],
        order: Sequence[Column[Any]],
        limit: int | None = None,
        marker: str | None = None,
    ) -> list[R]:
        """The records that meet the conditions, those after the record with the id `marker`.

        Raises Invalid where there is no such record.
        """
        statement = self.select.where(*where).order_by(*order).limit(limit)
        if marker is not None:
            last = sql.execute(select(*order).where(self.table.c.id == marker)).first()
            if last is None:
                raise Invalid(f"The marker {marker} is not the id of an item of this list.")
            statement = statement.where(tuple_(*order) > tuple_(*last))
        return [self.of(row) for row in sql.execute(statement)]

    def update(self, sql: Connection, key: str, changes: dict[str, Any]) -> bool:
        """Set columns; False where there is no such record."""
        if not changes:
            return True
        return sql.execute(update(self.table).where(self.table.c.id == key).values(**changes)).rowcount > 0

    def delete(self, sql: Connection, key: str) -> bool:
        """Remove a record; False where there was none."""
        return sql.execute(self._delete, {"id": key}).rowcount > 0
