"""Who may have a place: the rules by which a beat takes, keeps or leaves it, as functions."""

import re
from datetime import datetime, timedelta

import msgspec

from polyvisor.model.agent import Agent, Party
from polyvisor.model.errors import Conflict, PolyvisorError, Unauthorized
from polyvisor.model.held_place import HeldPlace
from polyvisor.model.link import Hold, PlaceState, Role
from polyvisor.model.operation import CONTROL

HOLD_SECONDS = 10.0
"""How long a place stays with a process after its last beat, by the servers' clocks."""
HELD_SECONDS = 8.0
"""For how long its holder may act, by its own clock: while servers' clocks follow a database's that was set, they may
run a tenth too fast, and stand a second apart (`serve/clock.py`)."""
BEAT_SECONDS = 2.5
"""How often a process is to beat."""
KEPT_SESSIONS = 16
FORMER_CERTIFICATE = timedelta(minutes=10)
"""How long connections made with the certificate before may last, once the new one has been used."""
MOST_PLACES = 256
_RUN = re.compile(r"run(\d{1,12})-")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:-]{0,254}\Z")
_replace = msgspec.structs.replace


def refusal(agent: Agent | None, party: Party, now: datetime) -> PolyvisorError | None:
    """Why an agent's request is not taken; None where it is."""
    if agent is None:
        return Unauthorized("This cloud knows no such agent: let it join again, with a new token.")
    if agent.revoked_at is not None:
        return Unauthorized(f"The agent {agent.name} was revoked: let it join again, with a new token.")
    former = party.serial == agent.former_serial and agent.former_until is not None and now < agent.former_until
    if party.serial != agent.certificate_serial and not former:
        return Unauthorized(
            f"The certificate shown for the agent {agent.name} was replaced by a newer one, or was never its own: "
            "let it join again, with a new token."
        )
    if party.session in agent.sessions[1:] or (agent.sessions and _run(party.session) < _run(agent.sessions[0])):
        return Conflict(f"A newer process of the agent {agent.name} is at work: this one has to end.")
    return None


def _run(session: str) -> int:
    """Which of its agent's processes a session is of: "runNUMBER-…" says it; 0 where it does not say."""
    told = _RUN.match(session)
    return int(told[1]) if told else 0


def seen(agent: Agent, party: Party, now: datetime) -> Agent:
    """The agent once `party` was heard: `now` is noted only every other beat, which spares a write."""
    told = agent
    if not agent.sessions or agent.sessions[0] != party.session:
        told = _replace(told, sessions=(party.session, *agent.sessions)[:KEPT_SESSIONS])
    if (party.version and party.version != agent.version) or (party.address and party.address != agent.address):
        told = _replace(told, version=party.version or agent.version, address=party.address or agent.address)
    if party.serial == agent.certificate_serial and agent.former_until is not None:
        told = _replace(told, former_until=min(agent.former_until, now + FORMER_CERTIFICATE))
    if told is not agent or now - agent.seen_at > timedelta(seconds=2 * BEAT_SECONDS):
        told = _replace(told, seen_at=now)
    return told


def is_name(name: str) -> bool:
    """Whether an agent may call a place so."""
    return name != CONTROL and _NAME.match(name) is not None


def may_take(place: HeldPlace, party: Party, now: datetime) -> bool:
    """Whether the place is this party's, or nobody's.

    The one before may be a process of the same agent: that one is known to have ended, for an agent's processes lock
    its directory, and a session that came before is refused.
    """
    mine = place.holder == party.owner
    return mine or not place.is_held(now) or bool(party.agent_id and party.agent_id == place.agent_id)


def taken(place: HeldPlace, party: Party, driver: str, now: datetime) -> HeldPlace:
    """The place in the party's hands, from `now` on for HOLD_SECONDS."""
    return _replace(
        place,
        driver=driver or place.driver,
        holder=party.owner,
        agent_id=party.agent_id,
        epoch=place.epoch if place.holder == party.owner else place.epoch + 1,
        held_until=now + timedelta(seconds=HOLD_SECONDS),
        seen_at=now,
    )


def left(place: HeldPlace, now: datetime) -> HeldPlace:
    """The place once its holder has let go of it."""
    return _replace(place, held_until=min(place.held_until, now))


def active(place: HeldPlace, fence_seconds: float = 0.0) -> Hold:
    """What the holder is told; `fence_seconds` where its servers are evacuated automatically."""
    return Hold(
        place=place.name,
        role=Role.ACTIVE,
        epoch=place.epoch,
        lease_seconds=HELD_SECONDS,
        fence_seconds=fence_seconds,
        notes=place.notes,
    )


def standby(place: HeldPlace, now: datetime) -> Hold:
    """What everybody else is told."""
    remaining = max(0.0, (place.held_until - now).total_seconds())
    return Hold(place=place.name, role=Role.STANDBY, epoch=place.epoch, lease_seconds=remaining)


def refused(state: PlaceState) -> Hold:
    """What one is told who may not serve the place."""
    return Hold(place=state.name, role=Role.REFUSED)
