"""The comparisons that filters of lists name by a word."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement

COMPARE: Mapping[str, Callable[[ColumnElement[Any], Any], ColumnElement[bool]]] = {
    "gt": lambda column, value: column > value,
    "gte": lambda column, value: column >= value,
    "lt": lambda column, value: column < value,
    "lte": lambda column, value: column <= value,
    "eq": lambda column, value: column == value,
    "neq": lambda column, value: column != value,
}
"""By the words of OpenStack's `created_at=gte:…`."""
