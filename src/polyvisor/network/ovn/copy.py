"""Our copy of the northbound database: the columns that we keep, by uuid, key, name, subject and holder."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from polyvisor.model.network_intent import Unit
from polyvisor.network.backend import Subject
from polyvisor.network.ovn.difference import Present
from polyvisor.network.ovn.row import HOLDERS, KEY_MARK, MANAGED, NOTHING, UNIT_MARK, Value

PORTS = "Logical_Switch_Port"
HELD_COLUMNS: dict[str, tuple[str, ...]] = {
    table: tuple(column for of, column in HOLDERS if of == table) for table in {table for table, _ in HOLDERS}
}


def columns_of(table: str) -> list[str]:
    """The columns that are read of a table."""
    up = ["up"] if table == PORTS else []
    return [*MANAGED[table], *HELD_COLUMNS.get(table, ()), *up, "external_ids"]


class DatabaseCopy:
    """Told of each row that is new, changed or gone; asked by the difference."""

    def __init__(self) -> None:
        self._rows: dict[uuid.UUID, Present] = {}
        self._subjects: dict[str, set[uuid.UUID]] = defaultdict(set)
        self._keys: dict[tuple[str, str], uuid.UUID] = {}
        self._names: dict[tuple[str, str], uuid.UUID] = {}
        self._holders: dict[uuid.UUID, set[tuple[uuid.UUID, str]]] = defaultdict(set)
        self._up: dict[str, bool] = {}
        self.news: dict[str, bool] = {}
        """Ports that came up or went down and whose status was not asked for yet, by their ids."""

    def clear(self) -> None:
        """Everything is told anew."""
        for index in (self._rows, self._subjects, self._keys, self._names, self._holders, self._up, self.news):
            index.clear()

    def put(self, table: str, id: uuid.UUID, columns: Mapping[str, Value] | None) -> None:
        """A row is so from now on, or has gone; `columns` are those of `columns_of`, references in them UUIDs."""
        before = self._drop(id)
        self._hold(id, HELD_COLUMNS.get(table, ()), before.columns if before else {}, columns or {})
        if columns is None:
            if before is not None and table == PORTS:
                self._up.pop(before.columns["name"], None)
            return
        present = Present(table, id, columns, columns["external_ids"])
        self._rows[id] = present
        mark = present.marks.get(UNIT_MARK)
        if mark is not None:
            self._subjects[mark].add(id)
            self._keys[table, present.marks.get(KEY_MARK, "")] = id
        if columns.get("name"):
            self._names[table, columns["name"]] = id
        if table == PORTS and mark is not None and columns["type"] != "localnet":
            self._note(columns["name"], up=True in columns["up"] and False not in columns["enabled"])

    def of(self, subject: Subject) -> Iterable[Present]:
        """The rows that bear a subject's mark."""
        return [self._rows[id] for id in sorted(self._subjects.get(str(subject), ()))]

    def by_key(self, table: str, key: str) -> Present | None:
        """The row of ours with that key."""
        return self._rows.get(self._keys.get((table, key), uuid.UUID(int=0)))

    def by_name(self, table: str, name: str) -> Present | None:
        """A row of that name, whoever made it."""
        return self._rows.get(self._names.get((table, name), uuid.UUID(int=0)))

    def holders(self, held: uuid.UUID) -> Collection[tuple[Present, str]]:
        """Rows and their columns that hold a row."""
        return [(self._rows[id], column) for id, column in sorted(self._holders.get(held, ()))]

    def subjects(self) -> frozenset[Subject]:
        """All that rows were made for."""
        found = set()
        for mark in self._subjects:
            unit, _, id = mark.partition(":")
            if unit in Unit.__members__.values():
                found.add(Subject(unit=Unit(unit), id=id))
        return frozenset(found)

    def tell_again(self, subjects: Iterable[Subject]) -> None:
        """Ports among these are news, whether or not they changed."""
        self.news |= {each.id: self._up[each.id] for each in subjects if each.unit is Unit.PORT and each.id in self._up}

    def _drop(self, id: uuid.UUID) -> Present | None:
        present = self._rows.pop(id, None)
        if present is None:
            return None
        mark = present.marks.get(UNIT_MARK)
        if mark is not None:
            self._subjects[mark].discard(id)
            if not self._subjects[mark]:
                del self._subjects[mark]
            _forget(self._keys, (present.table, present.marks.get(KEY_MARK, "")), id)
        _forget(self._names, (present.table, present.columns.get("name", "")), id)
        return present

    def _hold(
        self, id: uuid.UUID, names: Iterable[str], before: Mapping[str, Value], after: Mapping[str, Value]
    ) -> None:
        """Only what changed: a group may hold every port there is."""
        for column in names:
            was, held = before.get(column, NOTHING), after.get(column, NOTHING)
            for each in held - was:
                self._holders[each].add((id, column))
            for each in was - held:
                self._holders[each].discard((id, column))
                if not self._holders[each]:
                    del self._holders[each]

    def _note(self, port_id: str, *, up: bool) -> None:
        if self._up.get(port_id) != up:
            self._up[port_id] = up
            self.news[port_id] = up


def _forget(index: dict[tuple[str, str], uuid.UUID], at: tuple[str, str], id: uuid.UUID) -> None:
    if index.get(at) == id:
        del index[at]
