"""From what is and what is to be: the operations (RFC 7047, section 5.2) that make the one from the other."""

import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Protocol

from polyvisor.model.record import Record
from polyvisor.network.backend import Subject
from polyvisor.network.ovn.row import (
    HOLDERS,
    KEY_MARK,
    NOTHING,
    OUR_MARKS,
    ROOTS,
    SHARED_HOLDERS,
    UNIT_MARK,
    Place,
    Ref,
    Row,
    Value,
)

Operation = dict[str, Any]
STRONG_REFERENCE = "ha_chassis_group"
"""The column by which a row keeps another from being deleted."""


class Present:
    """A row that is in the database."""

    __slots__ = ("columns", "marks", "table", "uuid")

    def __init__(self, table: str, id: uuid.UUID, columns: Mapping[str, Value], marks: Mapping[str, str]) -> None:
        self.table, self.uuid, self.columns, self.marks = table, id, columns, marks

    @property
    def ours(self) -> bool:
        """Whether it has our mark."""
        return UNIT_MARK in self.marks


class Copy(Protocol):
    """What the database holds, as far as it concerns us."""

    def of(self, subject: Subject) -> Iterable[Present]:
        """The rows that bear a subject's mark."""

    def by_key(self, table: str, key: str) -> Present | None:
        """The row of ours with that key."""

    def by_name(self, table: str, name: str) -> Present | None:
        """A row of that name, whoever made it."""

    def holders(self, held: uuid.UUID) -> Collection[tuple[Present, str]]:
        """Rows and their columns that hold a row."""


class Change(Record):
    """What is to be done."""

    operations: tuple[Operation, ...] = ()
    """Inserts first, so that what follows may speak of their rows."""
    failed: Mapping[Subject, str] = {}
    """Subjects that rest on something that is not there, and are left as they are."""


def difference(wanted: Iterable[Row], copy: Copy, subjects: Collection[Subject]) -> Change:
    """Make the rows of these subjects those that are wanted. Pure: the same arguments give the same operations."""
    rows = list(wanted)
    failed = _resting_on_nothing(rows, copy, subjects)
    rows = [row for row in rows if row.subject not in failed]
    work = _Work(rows, copy)
    for subject in sorted(set(subjects) - set(failed), key=str):
        for present in copy.of(subject):
            if present.uuid not in work.kept:
                work.remove(present)
    return Change(operations=tuple(work.operations()), failed=failed)


def _resting_on_nothing(rows: list[Row], copy: Copy, subjects: Collection[Subject]) -> dict[Subject, str]:
    """Subjects that refer to a row that neither is there nor will be, or that is about to go."""
    failed: dict[Subject, str] = {}
    while True:
        going = {str(each) for each in subjects if each not in failed}
        coming = {row.ref for row in rows if row.subject not in failed}
        found = {
            row.subject: f"{each.table} {each.key} is not there yet"
            for row in rows
            if row.subject not in failed
            for each in _needs(row)
            if each not in coming and not _stays(copy.by_key(each.table, each.key), going)
        }
        if not found:
            return failed
        failed.update(found)


def _needs(row: Row) -> Iterable[Ref]:
    for place in row.places:
        yield Ref(table=place.table, key=place.key)
    for value in row.columns.values():
        if isinstance(value, frozenset):
            yield from (each for each in value if isinstance(each, Ref))


def _stays(present: Present | None, going: Collection[str]) -> bool:
    return present is not None and present.marks[UNIT_MARK] not in going


class _Work:
    """The operations of one change, as they gather."""

    def __init__(self, rows: list[Row], copy: Copy) -> None:
        self._copy = copy
        self._names: dict[Ref, str] = {row.ref: f"row{number}" for number, row in enumerate(rows)}
        self.kept: set[uuid.UUID] = set()
        self._matched: dict[Ref, Present] = {}
        for row in rows:
            present = copy.by_key(row.table, row.key) or self._without_mark(row)
            if present is not None and present.uuid not in self.kept:
                self._matched[row.ref] = present
                self.kept.add(present.uuid)
        self._inserts: list[Operation] = []
        self._updates: list[Operation] = []
        self._deletes: list[Operation] = []
        # What each column of a holder gains and loses, gathered so that one row is changed by one operation.
        self._gains: dict[tuple[str, Any, str], list[Any]] = defaultdict(list)
        self._losses: dict[tuple[str, Any, str], list[Any]] = defaultdict(list)
        for row in rows:
            self._make(row)

    def _without_mark(self, row: Row) -> Present | None:
        name = row.columns.get("name")
        return self._copy.by_name(row.table, name) if name else None

    def _make(self, row: Row) -> None:
        present = self._matched.get(row.ref)
        marks = {UNIT_MARK: str(row.subject), KEY_MARK: row.key}
        if present is None:
            columns = {name: self._json(value) for name, value in row.whole().items()}
            columns["external_ids"] = _json_value(marks)
            self._inserts.append(
                {"op": "insert", "table": row.table, "uuid-name": self._names[row.ref], "row": columns}
            )
            for place in row.places:
                self._gains[self._column(place)].append(["named-uuid", self._names[row.ref]])
            return
        self._update(row, present, marks)
        self._move(row, present)

    def _update(self, row: Row, present: Present, marks: dict[str, str]) -> None:
        changed = {
            name: self._json(value)
            for name, value in row.whole().items()
            if self._resolved(value) != present.columns[name]
        }
        if changed:
            self._updates.append({"op": "update", "table": row.table, "where": _where(present.uuid), "row": changed})
        mine = {key: value for key, value in present.marks.items() if key.startswith(OUR_MARKS)}
        if mine != marks:
            mutations = [
                ["external_ids", "delete", _json_value(frozenset((*mine, *marks)))],
                ["external_ids", "insert", _json_value(marks)],
            ]
            where = _where(present.uuid)
            self._updates.append({"op": "mutate", "table": row.table, "where": where, "mutations": mutations})

    def _move(self, row: Row, present: Present) -> None:
        """Hold it where it belongs, and nowhere else."""
        is_in = {(holder.table, holder.uuid, column): holder for holder, column in self._copy.holders(present.uuid)}
        belongs = {self._column(place) for place in row.places}
        value = ["uuid", str(present.uuid)]
        for column in sorted(belongs - is_in.keys(), key=str):
            self._gains[column].append(value)
        for at in sorted(is_in.keys() - belongs, key=str):
            if is_in[at].ours or (at[0], at[2]) not in SHARED_HOLDERS:
                self._losses[at].append(value)

    def remove(self, present: Present) -> None:
        """It is wanted no longer."""
        if present.columns.get(STRONG_REFERENCE):
            # The database counts what a row refers to for as long as the row is not cleared away, which comes last.
            cleared = {STRONG_REFERENCE: _json_value(NOTHING)}
            where = _where(present.uuid)
            self._updates.append({"op": "update", "table": present.table, "where": where, "row": cleared})
        if present.table in ROOTS:
            self._deletes.append({"op": "delete", "table": present.table, "where": _where(present.uuid)})
            return
        for holder, column in self._copy.holders(present.uuid):
            if HOLDERS[holder.table, column] == present.table and (holder.table, column) not in SHARED_HOLDERS:
                self._losses[holder.table, holder.uuid, column].append(["uuid", str(present.uuid)])

    def operations(self) -> list[Operation]:
        """All of them, in an order in which they can be done."""
        mutations: dict[tuple[str, Any], list[Any]] = defaultdict(list)
        for (table, holder, column), values in self._losses.items():
            mutations[table, holder].append([column, "delete", ["set", values]])
        for (table, holder, column), values in self._gains.items():
            mutations[table, holder].append([column, "insert", ["set", values]])
        held = [
            {"op": "mutate", "table": table, "where": _where(holder), "mutations": changes}
            for (table, holder), changes in mutations.items()
        ]
        return [*self._inserts, *self._updates, *held, *self._deletes]

    def _column(self, place: Place) -> tuple[str, Any, str]:
        return place.table, self._at(Ref(table=place.table, key=place.key)), place.column

    def _at(self, ref: Ref) -> uuid.UUID | str:
        """A row's UUID, or its name in this change where it is new."""
        present = self._matched.get(ref)
        if present is None and ref not in self._names:
            present = self._copy.by_key(ref.table, ref.key)
        return present.uuid if present is not None else self._names[ref]

    def _resolved(self, value: Value) -> Value:
        if isinstance(value, frozenset) and any(isinstance(each, Ref) for each in value):
            return frozenset(self._at(each) for each in value)
        return value

    def _json(self, value: Value) -> Any:
        return _json_value(value, lambda ref: _json_atom(self._at(ref)))


def _where(row: uuid.UUID | str) -> list[Any]:
    return [["_uuid", "==", _json_atom(row)]]


def _json_value(value: Value, of_ref: Callable[[Ref], Any] | None = None) -> Any:
    if isinstance(value, Mapping):
        return ["map", [[key, each] for key, each in sorted(value.items())]]
    if isinstance(value, frozenset):
        return ["set", [of_ref(each) if isinstance(each, Ref) and of_ref else each for each in sorted(value, key=str)]]
    return value


def _json_atom(row: uuid.UUID | str) -> list[str]:
    return ["named-uuid", row] if isinstance(row, str) else ["uuid", str(row)]
