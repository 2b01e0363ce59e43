"""The small language of extra specs: an operator and what it compares with.

The operators and their meaning are Nova's (flavors, "extra specs"): `=` is "at least" among numbers, `==`, `!=`, `>=`
and `<=` compare numbers, `s==`, `s!=`, `s<`, `s<=`, `s>` and `s>=` compare strings, `<in>` looks for a substring,
`<all-in>` for several, `<or>` takes any of the words between; without an operator the whole must be equal.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from polyvisor.schedule.columns import Mask, Numbers

_NUMERIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
}
_TEXTUAL: Mapping[str, Callable[[str, str], bool]] = {
    "s==": operator.eq,
    "s!=": operator.ne,
    "s<": operator.lt,
    "s<=": operator.le,
    "s>": operator.gt,
    "s>=": operator.ge,
}
OPERATORS = frozenset({*_NUMERIC, *_TEXTUAL, "<in>", "<all-in>", "<or>"})


class Requirement:
    """One requirement, read once and asked of many values."""

    def __init__(self, text: str) -> None:
        """Raises ValueError, saying why, when an operator has nothing to compare with, or no number."""
        self.text = text
        words = text.split()
        self._operator = words[0] if words and words[0] in OPERATORS else ""
        self._operands = words[1:] if self._operator else [text.strip()]
        if not self._operands:
            raise ValueError(f"the operator {self._operator} has nothing to compare with")
        self._number = 0.0
        if self._operator in _NUMERIC:
            try:
                self._number = float(self._operands[0])
            except ValueError:
                message = f"the operator {self._operator} compares numbers, and {self._operands[0]!r} is none"
                raise ValueError(message) from None

    @property
    def has_operator(self) -> bool:
        """Whether it is more than a value to be equal to."""
        return bool(self._operator)

    def met_by(self, value: str) -> bool:
        """Whether this value will do."""
        match self._operator:
            case "":
                return value == self._operands[0]
            case "<or>":
                return value in self._operands[::2]
            case "<in>":
                return self._operands[0] in value
            case "<all-in>":
                return all(operand in value for operand in self._operands)
        if self._operator in _TEXTUAL:
            return _TEXTUAL[self._operator](value, self._operands[0])
        try:
            return bool(_NUMERIC[self._operator](float(value), self._number))
        except ValueError:
            return False

    def met_by_each(self, values: Numbers) -> Mask:
        """Which of these numbers will do: the same as `met_by` of each one's digits."""
        if self._operator in _NUMERIC:
            mask: Mask = _NUMERIC[self._operator](values, self._number)
            return mask
        different, where = np.unique(values, return_inverse=True)
        answers = np.fromiter((self.met_by(str(value)) for value in different.tolist()), np.bool_, len(different))
        return np.take(answers, where)
