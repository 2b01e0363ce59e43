"""Places (hypervisor connections), the agents that serve them, and the servers of the cloud."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from prometheus_client.core import Metric as Family

from polyvisor.model.agent import Agent, AgentPlace
from polyvisor.model.control import Control
from polyvisor.model.held_place import HeldPlace
from polyvisor.model.host import Host, HostState
from polyvisor.observe.metric import Metric, family

HELD = Metric(
    name="polyvisor_place_held",
    kind="gauge",
    help="1 while a process holds the place and may run its steps, else 0.",
    labels=("place", "driver", "holder"),
)
HOLD_SECONDS = Metric(
    name="polyvisor_place_hold_seconds",
    kind="gauge",
    help="For how long the place is still held; below 0, since when it is not.",
    labels=("place",),
)
EPOCH = Metric(
    name="polyvisor_place_epoch",
    kind="gauge",
    help="The hold's number: it grows each time that the place goes to another process.",
    labels=("place",),
)
REACHABLE = Metric(
    name="polyvisor_place_reachable",
    kind="gauge",
    help="1 when the hypervisor behind the place (a vCenter, a libvirtd) answers the process that holds it, else 0.",
    labels=("place", "driver"),
)
LAG = Metric(
    name="polyvisor_place_seen_seconds",
    kind="gauge",
    help="Since when the process that holds the place has said nothing.",
    labels=("place",),
)
AGENTS = Metric(
    name="polyvisor_place_agents",
    kind="gauge",
    help="Agents that have joined to serve the place: more than one where there should be a standby.",
    labels=("place",),
)
STANDBYS = Metric(
    name="polyvisor_place_standbys",
    kind="gauge",
    help="Agents that could take the place over at this moment: alive, without trouble, and not its holder.",
    labels=("place",),
)
TROUBLED = Metric(
    name="polyvisor_place_standbys_troubled",
    kind="gauge",
    help="Agents that are alive and not the place's holder, and say that they could not serve it.",
    labels=("place",),
)
AGENT_SEEN = Metric(
    name="polyvisor_agent_seen_seconds",
    kind="gauge",
    help="Since when the agent has said nothing. A revoked one is not shown.",
    labels=("agent",),
)
SERVER_SEEN = Metric(
    name="polyvisor_server_seen_seconds",
    kind="gauge",
    help="Since when the server's control loop has said nothing.",
    labels=("server",),
)
METRICS = (HELD, HOLD_SECONDS, EPOCH, REACHABLE, LAG, AGENTS, STANDBYS, TROUBLED, AGENT_SEEN, SERVER_SEEN)

SILENT = timedelta(seconds=30)
"""An agent that has said nothing for so long is no standby."""
OWN = "up"
"""Stands for the holder where `polyvisor up` serves a place itself."""


def families(
    places: Sequence[HeldPlace],
    agents: Sequence[Agent],
    offers: Sequence[AgentPlace],
    servers: Sequence[Control],
    hosts: Sequence[Host],
    now: datetime,
) -> Iterator[Family]:
    """The metrics of one reading."""
    names = {agent.id: agent.name for agent in agents}
    holders = {place.name: names.get(place.agent_id, OWN) if place.held_until > now else "" for place in places}
    yield family(HELD, (((p.name, p.driver, holders[p.name]), float(p.held_until > now)) for p in places))
    yield family(HOLD_SECONDS, (((p.name,), (p.held_until - now).total_seconds()) for p in places))
    yield family(EPOCH, (((p.name,), p.epoch) for p in places))
    yield family(LAG, (((p.name,), max(0.0, (now - p.seen_at).total_seconds())) for p in places))
    reachable = _reachable(places, offers, hosts, now)
    yield family(REACHABLE, (((p.name, p.driver), float(reachable[p.name])) for p in places))
    yield from _standbys(places, {agent.id: agent for agent in agents if agent.revoked_at is None}, offers, now)
    kept = [agent for agent in agents if agent.revoked_at is None]
    yield family(AGENT_SEEN, (((a.name,), max(0.0, (now - a.seen_at).total_seconds())) for a in kept))
    yield family(SERVER_SEEN, (((s.name,), max(0.0, (now - s.seen_at).total_seconds())) for s in servers))


def _reachable(
    places: Sequence[HeldPlace], offers: Sequence[AgentPlace], hosts: Sequence[Host], now: datetime
) -> dict[str, bool]:
    """A place whose holder tells of trouble, that nobody holds, or all of whose hosts are down, is not."""
    trouble = {(offer.place, offer.agent_id): bool(offer.trouble) for offer in offers}
    known = Counter(host.place for host in hosts if not host.forced_down)
    down = Counter(host.place for host in hosts if host.state is HostState.DOWN and not host.forced_down)
    return {
        place.name: place.held_until > now
        and not trouble.get((place.name, place.agent_id), False)
        and not (known[place.name] and known[place.name] == down[place.name])
        for place in places
    }


def _standbys(
    places: Sequence[HeldPlace], agents: dict[str, Agent], offers: Sequence[AgentPlace], now: datetime
) -> Iterator[Family]:
    holder = {place.name: place.agent_id for place in places if place.held_until > now}
    joined: Counter[str] = Counter()
    ready: Counter[str] = Counter()
    troubled: Counter[str] = Counter()
    for offer in offers:
        if offer.agent_id not in agents:
            continue
        joined[offer.place] += 1
        alive = offer.seen_at is not None and now - offer.seen_at < SILENT
        if alive and holder.get(offer.place) != offer.agent_id:
            (troubled if offer.trouble else ready)[offer.place] += 1
    named = sorted(joined)
    for metric, counted in ((AGENTS, joined), (STANDBYS, ready), (TROUBLED, troubled)):
        yield family(metric, (((name,), counted[name]) for name in named))
