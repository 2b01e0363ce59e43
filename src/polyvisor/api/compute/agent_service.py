"""Agents as services: one for each place that an agent may serve, active or standby there, up or down."""

import hashlib
import uuid
from datetime import timedelta
from typing import Any

from polyvisor.api.compute.availability_zone import INTERNAL
from polyvisor.api.kit import Call
from polyvisor.api.kit.times import plain_micros
from polyvisor.model.agent import Agent, AgentPlace
from polyvisor.model.held_place import HeldPlace

ACTIVE, STANDBY = "polyvisor-agent-active", "polyvisor-agent-standby"
UP_FOR = timedelta(seconds=15)
"""An agent beats every 2.5 seconds, and every other beat is noted."""
_FIRST_NUMBER = 1 << 30
"""Below 2.53 ids are numbers: the agents' begin here."""


def agent_services(call: Call) -> list[dict[str, Any]]:
    """All of them. Three statements, one where there are no agents."""
    agents = {agent.id: agent for agent in call.store.agent.list()}
    if not agents:
        return []
    held = {place.name: place for place in call.store.place.list()}
    offers = [offer for offer in call.store.agent.places_of_all() if offer.agent_id in agents]
    many = {agent for agent in agents if sum(offer.agent_id == agent for offer in offers) > 1}
    return [_service(call, agents[offer.agent_id], offer, held.get(offer.place), many) for offer in offers]


def _service(call: Call, agent: Agent, offer: AgentPlace, place: HeldPlace | None, many: set[str]) -> dict[str, Any]:
    active = place is not None and place.agent_id == agent.id and place.is_held(call.now)
    shown: dict[str, Any] = {
        "id": _id(call, offer),
        "binary": ACTIVE if active else STANDBY,
        "host": f"{agent.name}/{offer.place}" if agent.id in many else agent.name,
        "zone": INTERNAL,
        "status": "disabled" if agent.revoked_at is not None else "enabled",
        "state": "up" if _is_up(call, agent, offer) else "down",
        "updated_at": plain_micros(offer.seen_at or agent.seen_at),
        "disabled_reason": "The agent was revoked." if agent.revoked_at is not None else offer.trouble or None,
    }
    if call.version >= (2, 11):
        shown["forced_down"] = False
    return shown


def _is_up(call: Call, agent: Agent, offer: AgentPlace) -> bool:
    """Whether it beats, and could serve the place."""
    seen = offer.seen_at is not None and call.now - offer.seen_at < UP_FOR
    return seen and not offer.trouble and agent.revoked_at is None


def _id(call: Call, offer: AgentPlace) -> int | str:
    named = f"{offer.agent_id}:{offer.place}"
    if call.version >= (2, 53):
        return str(uuid.uuid5(uuid.NAMESPACE_OID, named))
    digest = hashlib.sha256(named.encode()).digest()
    return _FIRST_NUMBER + int.from_bytes(digest[:4], "big") % _FIRST_NUMBER
