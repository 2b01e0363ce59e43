"""Agents, and the places that each may serve."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Column, ForeignKey, String, Table, Text, bindparam, delete, select, update

from polyvisor.model.agent import Agent, AgentPlace
from polyvisor.model.errors import NotFound
from polyvisor.store.records import Records
from polyvisor.store.tables import Json, Moment, metadata
from polyvisor.store.upsert import insert_missing, insert_or_update

if TYPE_CHECKING:
    from polyvisor.store.store import Store

agent = Table(
    "agent",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("sessions", Json(tuple[str, ...]), nullable=False),
    Column("version", String(64), nullable=False),
    Column("address", String(255), nullable=False),
    Column("certificate_serial", String(64), nullable=False),
    Column("certificate_until", Moment, nullable=False),
    Column("former_serial", String(64), nullable=False),
    Column("former_until", Moment),
    Column("created_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Column("revoked_at", Moment),
)
agent_place = Table(
    "agent_place",
    metadata,
    Column("agent_id", String(36), ForeignKey("agent.id"), primary_key=True),
    Column("place", String(255), primary_key=True, index=True),
    Column("seen_at", Moment),
    Column("trouble", Text, nullable=False),
)
_rows = Records(agent, Agent)
_place_columns = [agent_place.c[name] for name in AgentPlace.__struct_fields__]
_many = _rows.select.where(agent.c.id.in_(bindparam("ids", expanding=True))).order_by(agent.c.id)
_many_held = _many.with_for_update(key_share=True)
_as_it_is = _rows.select.where(agent.c.id == bindparam("id"))
_seen = (
    update(agent)
    .where(agent.c.id == bindparam("of"))
    .values(
        sessions=bindparam("new_sessions", type_=agent.c.sessions.type),
        version=bindparam("new_version"),
        address=bindparam("new_address"),
        former_until=bindparam("new_former_until", type_=Moment),
        seen_at=bindparam("new_seen_at", type_=Moment),
    )
)
_offered = select(*_place_columns).where(agent_place.c.place.in_(bindparam("places", expanding=True)))
_places_of = select(*_place_columns).where(agent_place.c.agent_id.in_(bindparam("ids", expanding=True)))


class Agents:
    """The statements on agents."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def add(self, record: Agent) -> None:
        """An agent has joined. Raises IntegrityError where its name is taken."""
        _rows.add(self._sql, record)

    def find(self, id: str) -> Agent | None:
        """One agent by its id, as it is now: it is not kept so."""
        row = self._sql.execute(_as_it_is, {"id": id}).first()
        return None if row is None else _rows.of(row)

    def find_named(self, name: str) -> Agent | None:
        """One agent by its name."""
        return _rows.first(self._sql, agent.c.name == name)

    def replace(self, record: Agent) -> None:
        """An agent has joined again: all that is known of it is told anew."""
        fields = msgspec.structs.asdict(record)
        _rows.update(self._sql, fields.pop("id"), fields)

    def named(self, name: str) -> Agent:
        """One agent by its name or id. Raises NotFound."""
        found = _rows.first(self._sql, agent.c.name == name) or self.find(name)
        if found is None:
            raise NotFound(f"No agent named {name} was found: `polyvisor agents list` shows those there are.")
        return found

    def many(self, ids: Collection[str], *, lock: bool = True) -> dict[str, Agent]:
        """Those of `ids` that exist, by id; with `lock`, to be written in this transaction."""
        statement = _many_held if lock else _many
        return {row.id: _rows.of(row) for row in self._sql.execute(statement, {"ids": list(ids)})} if ids else {}

    def seen(self, records: Iterable[Agent]) -> None:
        """Note what the agents' processes told of themselves, all in one statement."""
        told = [
            {
                "of": one.id,
                "new_sessions": one.sessions,
                "new_version": one.version,
                "new_address": one.address,
                "new_former_until": one.former_until,
                "new_seen_at": one.seen_at,
            }
            for one in records
        ]
        if told:
            self._sql.execute(_seen, told)

    def change(self, id: str, **changes: Any) -> None:
        """Set fields of one agent."""
        _rows.update(self._sql, id, changes)

    def forget(self, id: str) -> None:
        """Remove an agent, with its rights."""
        self._sql.execute(delete(agent_place).where(agent_place.c.agent_id == id))
        _rows.delete(self._sql, id)

    # The places it may serve

    def places(self, ids: Collection[str]) -> list[AgentPlace]:
        """The places that the agents may serve. One statement."""
        if not ids:
            return []
        return [AgentPlace(**row._mapping) for row in self._sql.execute(_places_of, {"ids": list(ids)})]

    def places_of_all(self) -> list[AgentPlace]:
        """The places of every agent, by place."""
        statement = select(*_place_columns).order_by(agent_place.c.place, agent_place.c.agent_id)
        return [AgentPlace(**row._mapping) for row in self._sql.execute(statement)]

    def allow(self, agent_id: str, places: Sequence[str]) -> None:
        """Let the agent serve these places."""
        rows = [{"agent_id": agent_id, "place": place, "seen_at": None, "trouble": ""} for place in places]
        insert_missing(self._sql, agent_place, rows)

    def note_places(self, told: Sequence[AgentPlace]) -> None:
        """How the agents stand with their places, all in one statement."""
        rows = [{name: getattr(one, name) for name in AgentPlace.__struct_fields__} for one in told]
        insert_or_update(self._sql, agent_place, rows, ("seen_at", "trouble"))

    def offered(self, places: Collection[str]) -> list[AgentPlace]:
        """Which agents may serve these places, and how they stand with them. One statement."""
        if not places:
            return []
        found = self._sql.execute(_offered, {"places": sorted(places)})
        return [AgentPlace(**row._mapping) for row in found]

    def list(self) -> list[Agent]:
        """Every agent, by name."""
        return _rows.list(self._sql, (), [agent.c.name])
