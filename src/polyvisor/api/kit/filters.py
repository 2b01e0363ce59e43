"""Filters of lists with an operator before the value: `in:a,b`, `gte:2026-01-01`."""

import csv
from collections.abc import Sequence

from polyvisor.model.errors import Invalid

COMPARISONS = ("gt", "gte", "lt", "lte", "eq", "neq")


def comparison(text: str, name: str, operators: Sequence[str] = COMPARISONS, default: str = "eq") -> tuple[str, str]:
    """The operator and the value of `gt:5`; `default` where none stands before the value.

    Times hold colons of their own: what stands before the first one counts only where it is an operator's name. Raises
    Invalid for a known operator that is not among `operators`.
    """
    operator, colon, value = text.partition(":")
    if not colon or operator not in (*COMPARISONS, "in"):
        return default, text
    if operator not in operators:
        raise Invalid(f"'{name}' is invalid: the operator '{operator}' is not taken here, {', '.join(operators)} are.")
    return operator, value


def one_of(text: str, name: str) -> tuple[str, ...] | None:
    """The values of `in:a,"b,c"`; None where the text does not begin with "in:". Raises Invalid for broken quotes."""
    if not text.startswith("in:"):
        return None
    try:
        [values] = csv.reader([text[3:]], strict=True, skipinitialspace=True)
    except (csv.Error, ValueError):
        raise Invalid(f"'{name}' is invalid: values with commas stand in double quotes, each one closed.") from None
    return tuple(values)
