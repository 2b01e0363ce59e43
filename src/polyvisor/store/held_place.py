"""Places, and who holds each of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Column, Index, String, Table, bindparam, delete, or_, select, update

from polyvisor.model.held_place import HeldPlace
from polyvisor.store.tables import Json, Moment, metadata
from polyvisor.store.upsert import insert_missing

if TYPE_CHECKING:
    from polyvisor.store.store import Store

place = Table(
    "place",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("driver", String(32), nullable=False),
    Column("holder", String(64), nullable=False),
    Column("agent_id", String(36), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("held_until", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Column("notes", Json(dict[str, str]), nullable=False),
    Index("ix_place_holder", "holder"),
)
_FIELDS = HeldPlace.__struct_fields__
_CHANGING = ("driver", "holder", "agent_id", "epoch", "held_until", "seen_at")
_all = select(*[place.c[name] for name in _FIELDS]).order_by(place.c.name)
_many = _all.where(place.c.name.in_(bindparam("names", expanding=True)))
_many_held = _many.with_for_update(key_share=True)
_many_kept = _many.with_for_update(read=True)
_concerned = _all.where(
    or_(
        place.c.name.in_(bindparam("names", expanding=True)),
        place.c.holder.in_(bindparam("holders", expanding=True)),
    )
).with_for_update(key_share=True)
_save = (
    update(place)
    .where(place.c.name == bindparam("of"))
    .values({name: bindparam(f"new_{name}", type_=place.c[name].type) for name in _CHANGING})
)


class HeldPlaces:
    """The statements on places."""

    def __init__(self, store: Store) -> None:
        self._sql = store.connection

    def find(self, name: str, *, lock: bool = False) -> HeldPlace | None:
        """One place; with `lock` nobody else changes it before this transaction ends."""
        row = self._sql.execute(_many_held if lock else _many, {"names": [name]}).first()
        return None if row is None else HeldPlace(**row._mapping)

    def many(self, names: Collection[str]) -> dict[str, HeldPlace]:
        """Those of `names` that exist, by name; nobody gives them to another before this transaction ends."""
        if not names:
            return {}
        found = self._sql.execute(_many_kept, {"names": sorted(names)})
        return {row.name: HeldPlace(**row._mapping) for row in found}

    def concerned(self, names: Collection[str], holders: Collection[str]) -> dict[str, HeldPlace]:
        """The places of these names, and those of these holders, by name, to be written in this transaction."""
        found = self._sql.execute(_concerned, {"names": sorted(names), "holders": sorted(holders)})
        return {row.name: HeldPlace(**row._mapping) for row in found}

    def list(self) -> list[HeldPlace]:
        """Every place, by name."""
        return [HeldPlace(**row._mapping) for row in self._sql.execute(_all)]

    def add(self, records: Sequence[HeldPlace]) -> None:
        """Places that are new; one that another process has made at this moment stays as that one made it."""
        insert_missing(self._sql, place, [{name: getattr(one, name) for name in _FIELDS} for one in records])

    def save(self, records: Sequence[HeldPlace]) -> None:
        """Write back who holds the places, all in one statement."""
        if records:
            rows = [{"of": one.name, **{f"new_{name}": getattr(one, name) for name in _CHANGING}} for one in records]
            self._sql.execute(_save, rows)

    def note(self, name: str, notes: dict[str, str]) -> None:
        """Keep what whoever serves the place must remember."""
        self._sql.execute(update(place).where(place.c.name == name).values(notes=notes))

    def let_go(self, holder_prefix: str, now: datetime) -> int:
        """End the holds of a process that is known to be dead; returns how many there were."""
        statement = update(place).where(
            place.c.holder.startswith(holder_prefix, autoescape=True), place.c.held_until > now
        )
        return self._sql.execute(statement.values(held_until=now)).rowcount

    def let_go_of_agent(self, agent_id: str, now: datetime) -> None:
        """End the holds of an agent, whichever of its processes has them."""
        statement = update(place).where(place.c.agent_id == agent_id, place.c.held_until > now)
        self._sql.execute(statement.values(held_until=now))

    def forget(self, name: str) -> None:
        """Remove a place that nobody serves any more."""
        self._sql.execute(delete(place).where(place.c.name == name))

    def holds(self) -> dict[str, tuple[str, datetime]]:
        """Who holds each place (or did last), and until when."""
        rows = self._sql.execute(select(place.c.name, place.c.holder, place.c.held_until))
        return {row.name: (row.holder, row.held_until) for row in rows}
