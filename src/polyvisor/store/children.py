"""Records together with what belongs to them, in one statement: the children as a JSON list beside their parent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Boolean, Column, ColumnElement, Dialect, Table, Text, TypeDecorator, select, type_coerce
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from polyvisor.model.record import Record


class _JsonRow(FunctionElement[Any]):
    """A JSON list of a row's columns."""

    inherit_cache = True


class _JsonRows(FunctionElement[Any]):
    """A JSON list of all rows' values."""

    inherit_cache = True


@compiles(_JsonRow, "sqlite")
def _sqlite_row(element: Any, compiler: Any, **options: Any) -> str:
    return f"json_array({compiler.process(element.clauses, **options)})"


@compiles(_JsonRow, "postgresql")
def _postgresql_row(element: Any, compiler: Any, **options: Any) -> str:
    return f"json_build_array({compiler.process(element.clauses, **options)})"


@compiles(_JsonRows, "sqlite")
def _sqlite_rows(element: Any, compiler: Any, **options: Any) -> str:
    return f"json_group_array({compiler.process(element.clauses, **options)})"


@compiles(_JsonRows, "postgresql")
def _postgresql_rows(element: Any, compiler: Any, **options: Any) -> str:
    return f"CAST(coalesce(json_agg({compiler.process(element.clauses, **options)}), '[]') AS TEXT)"


class _Records(TypeDecorator[Any]):
    """From a JSON list of rows to records, in the order of their making."""

    impl = Text
    cache_ok = True

    def __init__(self, table: Table, kind: type[Record], order: tuple[str, ...]) -> None:
        super().__init__()
        self.table = table
        self.kind = kind
        self.order = order
        self._fields = [name for name in kind.__struct_fields__ if name in table.c]

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """A tuple of records out."""
        types = [self.table.c[name].type for name in self._fields]
        rows = msgspec.json.decode(value or "[]", type=list[list[Any]])
        found = [
            self.kind(
                **{name: _value(kind, part, dialect) for name, kind, part in zip(self._fields, types, row, strict=True)}
            )
            for row in rows
        ]
        return tuple(sorted(found, key=lambda record: tuple(getattr(record, name) for name in self.order)))


def _value(kind: Any, part: Any, dialect: Dialect) -> Any:
    if isinstance(kind, TypeDecorator):
        return kind.process_result_value(part, dialect)
    # SQLite has no booleans.
    return bool(part) if isinstance(kind, Boolean) and part is not None else part


def json_rows(*columns: ColumnElement[Any]) -> ColumnElement[Any]:
    """The rows of a subquery as the text of one JSON list of lists."""
    return _JsonRows(_JsonRow(*columns))


def children(
    parent: Column[Any], child: Column[Any], kind: type[Record], order: Sequence[str] = ("created_at", "id")
) -> ColumnElement[Any]:
    """The records of `child`'s table whose `child` is the row's `parent`, as a tuple in `order`.

    Each field of `kind` that is a column of that table is read; the others have their defaults.
    """
    table: Any = child.table
    rows = json_rows(*(table.c[name] for name in kind.__struct_fields__ if name in table.c))
    subquery = select(rows).where(child == parent).correlate(parent.table).scalar_subquery()
    return type_coerce(subquery, _Records(table, kind, tuple(order)))
