"""Columns of strings and sets that are quick to ask: each different value is looked at once, not each host."""

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]
V = TypeVar("V", bound=Hashable)

_MOST_REMEMBERED = 256


class Factor(Generic[V]):
    """One value per row, kept as a small number for each different value."""

    def __init__(self, capacity: int) -> None:
        self._codes = np.zeros(capacity, dtype=np.int32)
        # Code 0 is that of a row without a value: no condition holds for it.
        self._values: list[V | None] = [None]
        self._counts = [0]
        self._index: dict[V, int] = {}
        self._free: list[int] = []
        self._remembered: dict[Hashable, Mask] = {}

    def grow(self, capacity: int) -> None:
        """Make room for this many rows."""
        self._codes = np.concatenate([self._codes, np.zeros(capacity - len(self._codes), dtype=np.int32)])

    def set(self, row: int, value: V | None) -> None:
        """Give a row its value; None takes it away."""
        old = int(self._codes[row])
        new = 0 if value is None else self._code(value)
        if new == old:
            return
        self._codes[row] = new
        self._counts[new] += 1
        self._counts[old] -= 1
        if old and not self._counts[old]:
            self._drop(old)

    def equal(self, value: V, size: int) -> Mask:
        """Which of the first `size` rows have this value."""
        mask: Mask = self._codes[:size] == self._index.get(value, -1)
        return mask

    def where(self, question: Hashable, holds: Callable[[V], bool], size: int) -> Mask:
        """For which of the first `size` rows `holds` is true; it is asked once of each value for one `question`."""
        answers = self._remembered.get(question)
        if answers is None:
            given = (value is not None and holds(value) for value in self._values)
            answers = np.fromiter(given, dtype=np.bool_, count=len(self._values))
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[question] = answers
        return np.take(answers, self._codes[:size])

    def forget(self) -> None:
        """What was answered of the values no longer holds, because what they stand for has changed."""
        self._remembered.clear()

    def values(self) -> list[V]:
        """Every value that some row has."""
        return list(self._index)

    def _code(self, value: V) -> int:
        code = self._index.get(value)
        if code is not None:
            return code
        self.forget()
        if self._free:
            code = self._free.pop()
            self._values[code] = value
        else:
            code = len(self._values)
            self._values.append(value)
            self._counts.append(0)
        self._index[value] = code
        return code

    def _drop(self, code: int) -> None:
        value = self._values[code]
        assert value is not None  # noqa: S101 - code 0 alone has none, and is never dropped
        del self._index[value]
        self._values[code] = None
        self._free.append(code)


class Tags:
    """A set of strings per row, kept as one bit per row for each different string."""

    def __init__(self, capacity: int) -> None:
        self._bytes = _bytes_for(capacity)
        self._bits: dict[str, npt.NDArray[np.uint8]] = {}
        self._counts: dict[str, int] = {}

    def grow(self, capacity: int) -> None:
        """Make room for this many rows."""
        more = np.zeros(_bytes_for(capacity) - self._bytes, dtype=np.uint8)
        self._bytes += len(more)
        self._bits = {tag: np.concatenate([bits, more]) for tag, bits in self._bits.items()}

    def change(self, row: int, old: frozenset[str], new: frozenset[str]) -> None:
        """Replace a row's tags, of which `old` are those it has."""
        bit = 1 << (row & 7)
        for tag in old - new:
            self._bits[tag][row >> 3] &= 0xFF ^ bit
            self._counts[tag] -= 1
            if not self._counts[tag]:
                del self._bits[tag], self._counts[tag]
        for tag in new - old:
            if tag not in self._bits:
                self._bits[tag] = np.zeros(self._bytes, dtype=np.uint8)
            self._bits[tag][row >> 3] |= bit
            self._counts[tag] = self._counts.get(tag, 0) + 1

    def having(self, tag: str, size: int) -> Mask:
        """Which of the first `size` rows have this tag."""
        bits = self._bits.get(tag)
        if bits is None:
            return np.zeros(size, dtype=np.bool_)
        return np.unpackbits(bits, count=size, bitorder="little").view(np.bool_)

    def having_all(self, tags: Iterable[str], size: int) -> Mask:
        """Which of the first `size` rows have all of these tags."""
        mask = np.ones(size, dtype=np.bool_)
        for tag in tags:
            mask &= self.having(tag, size)
        return mask


def _bytes_for(rows: int) -> int:
    return (rows + 7) // 8
