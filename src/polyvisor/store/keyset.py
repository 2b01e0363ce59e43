"""Pages by key: the condition "comes after that row" for any list of sort keys."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, UnaryExpression, and_, or_

Key = tuple[ColumnElement[Any], str]
"""A column (or expression) that is never NULL, and "asc" or "desc"."""


def after(keys: Sequence[Key], at: Sequence[Any]) -> ColumnElement[bool]:
    """True of the rows that come after the one whose keys are `at`, which end in something unique."""
    cases = []
    for depth, (column, way) in enumerate(keys):
        same = [earlier == value for (earlier, _), value in zip(keys[:depth], at, strict=False)]
        beyond = column > at[depth] if way == "asc" else column < at[depth]
        cases.append(and_(*same, beyond))
    return or_(*cases)


def ordered(keys: Sequence[Key]) -> list[UnaryExpression[Any]]:
    """What to ORDER BY."""
    return [column.asc() if way == "asc" else column.desc() for column, way in keys]
