"""One transaction of the gate: many workers' beats and exchanges at once, in a fixed number of statements."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from polyvisor.model.agent import Agent, AgentPlace, Party
from polyvisor.model.errors import PolyvisorError
from polyvisor.model.held_place import HeldPlace
from polyvisor.model.link import Beat, Exchange, Held, Hold, Lease, PlaceState
from polyvisor.model.operation import OperationState
from polyvisor.operate import holding
from polyvisor.operate.engine import LEASE_SECONDS, Ask, Engine
from polyvisor.store.store import Store

log = logging.getLogger(__name__)

Asked = tuple[Party, Exchange | Beat]
Answer = list[Lease] | Held | PolyvisorError
_HEALTHY_FOR = timedelta(seconds=3 * holding.BEAT_SECONDS)
_NOTED_EVERY = timedelta(seconds=2 * holding.BEAT_SECONDS)
_MOST_TROUBLE = 1000
_MOST_PROGRESS_OF = 255
_MOST_LEASES = 1024
"""So many steps are handed out in one transaction, in equal shares. Who can take more asks again: others wait less."""
_Beats = list[tuple[int, Party, Beat]]


class Round:
    """What is asked in one transaction, and what is answered. Agents are locked first, then places, then operations."""

    def __init__(self, store: Store, engine: Engine, now: datetime, asked: Sequence[Asked]) -> None:
        self._store, self._engine, self._now = store, engine, now
        self._asked = asked
        self._answers: list[Answer | None] = [None] * len(asked)
        self._places: dict[str, HeldPlace] = {}
        self._before: dict[str, HeldPlace] = {}
        self._fenced: frozenset[str] = frozenset()
        """Places whose servers are started elsewhere when they fall silent."""
        self._lost: set[str] = set()
        """Places that have changed hands, or were let go."""

    def run(self) -> list[Answer]:
        """Answer everybody, in their order."""
        self._admit()
        left = [(index, *self._asked[index]) for index, answer in enumerate(self._answers) if answer is None]
        beats = [(index, party, asked) for index, party, asked in left if isinstance(asked, Beat)]
        exchanges = [(index, party, asked) for index, party, asked in left if isinstance(asked, Exchange)]
        names = {state.name for _, _, beat in beats for state in beat.places}
        names |= {name for _, _, exchange in exchanges for name in exchange.places}
        self._read_places(names, {party.owner for _, party, _ in beats})
        if beats:
            holds = self._hold(beats)
            stopped = self._prolong(beats)
            for index, _, _ in beats:
                self._answers[index] = Held(holds=tuple(holds[index]), stopped=stopped[index])
        if exchanges:
            self._exchange(exchanges)
        return [answer if answer is not None else [] for answer in self._answers]

    def _admit(self) -> None:
        agents = self._store.agent.many({party.agent_id for party, _ in self._asked if party.agent_id})
        before = dict(agents)
        for index, (party, _) in enumerate(self._asked):
            if not party.agent_id:
                continue
            agent: Agent | None = agents.get(party.agent_id)
            why = holding.refusal(agent, party, self._now)
            if why is not None or agent is None:
                self._answers[index] = why
            else:
                agents[agent.id] = holding.seen(agent, party, self._now)
        self._store.agent.seen(agent for id, agent in agents.items() if agent is not before[id])

    def _read_places(self, names: set[str], holders: set[str]) -> None:
        if names or holders:
            self._places = self._store.place.concerned(names, holders)
            self._before = dict(self._places)

    # Holds

    def _hold(self, beats: _Beats) -> dict[int, list[Hold]]:
        rights = self._rights(beats)
        self._fenced = self._store.hypervisor.automatic_places()
        yielding = self._yielding(beats)
        holds: dict[int, list[Hold]] = {}
        had: dict[str, list[str]] = {}
        for place in self._places.values():
            had.setdefault(place.holder, []).append(place.name)
        for index, party, beat in beats:
            offered = {state.name: state for state in beat.places}
            for name in had.get(party.owner, ()):
                if beat.leaving or name not in offered:
                    self._let_go(self._places[name], party)
            holds[index] = [self._one(party, beat, state, rights, yielding) for state in offered.values()]
        self._store.place.save([place for name, place in self._places.items() if place is not self._before.get(name)])
        if self._lost:
            self._store.operation.lose_leases(sorted(self._lost), self._now)
        return holds

    def _one(
        self,
        party: Party,
        beat: Beat,
        state: PlaceState,
        rights: set[tuple[str, str]],
        yielding: set[tuple[str, str]],
    ) -> Hold:
        place = self._places.get(state.name)
        if place is None or (party.agent_id and (party.agent_id, state.name) not in rights):
            return holding.refused(state)
        if beat.leaving or (party.agent_id, state.name) in yielding or not holding.may_take(place, party, self._now):
            return holding.standby(place, self._now)
        fresh = holding.taken(place, party, state.driver, self._now)
        if fresh.epoch != place.epoch:
            self._lost.add(place.name)
            log.info("place %s goes from %s to %s", place.name, place.holder or "nobody", party.owner)
        self._places[place.name] = fresh
        fenced = fresh.name in self._fenced
        return holding.active(fresh, self._engine.tools.compute.fence_after_seconds if fenced else 0.0)

    def _let_go(self, place: HeldPlace, party: Party) -> None:
        if place.holder == party.owner and place.is_held(self._now):
            self._places[place.name] = holding.left(place, self._now)
            self._lost.add(place.name)

    def _rights(self, beats: _Beats) -> set[tuple[str, str]]:
        """The (agent, place) pairs that may be; names that nobody has spoken for yet are given to who brings them."""
        told = {
            (party.agent_id, state.name): state
            for _, party, beat in beats
            for state in beat.places
            if not party.agent_id or holding.is_name(state.name)
        }
        known = {
            (one.agent_id, one.place): one for one in self._store.agent.places({agent for agent, _ in told if agent})
        }
        rights = {key for key in told if not key[0] or key in known}
        rights |= self._brought(told.keys() - rights, [agent for agent, _ in known])
        self._make({name for _, name in rights} - self._places.keys(), told)
        self._note({key: told[key] for key in rights if key[0]}, known)
        return rights

    def _brought(self, asking: set[tuple[str, str]], served: list[str]) -> set[tuple[str, str]]:
        if not asking:
            return set()
        names = {name for _, name in asking}
        used = {one.place for one in self._store.agent.offered(names)} | self._store.host.places()
        used |= {name for name, place in self._places.items() if place.epoch > 0}
        found: set[tuple[str, str]] = set()
        for agent, name in sorted(asking):
            if name not in used and served.count(agent) < holding.MOST_PLACES:
                used.add(name)
                served.append(agent)
                found.add((agent, name))
        for agent, name in sorted(asking - found):
            log.warning("the agent %s offers the place %s, which is not its own: it is refused", agent, name)
        return found

    def _make(self, names: set[str], told: dict[tuple[str, str], PlaceState]) -> None:
        """Record places that are new, held by nobody, and lock them."""
        if not names:
            return
        drivers = {name: state.driver for (_, name), state in told.items()}
        nobody = [
            HeldPlace(name=name, driver=drivers[name], held_until=self._now, seen_at=self._now)
            for name in sorted(names)
        ]
        self._store.place.add(nobody)
        made = self._store.place.concerned(names, ())
        self._places |= made
        self._before |= made

    def _note(self, told: dict[tuple[str, str], PlaceState], known: dict[tuple[str, str], AgentPlace]) -> None:
        """How the agents stand with their places; what is unchanged is noted every other beat."""
        notes = []
        for (agent, name), state in sorted(told.items()):
            trouble = state.trouble[:_MOST_TROUBLE]
            before = known.get((agent, name))
            fresh = before is not None and before.seen_at is not None and self._now - before.seen_at < _NOTED_EVERY
            if before is None or not fresh or before.trouble != trouble:
                notes.append(AgentPlace(agent_id=agent, place=name, seen_at=self._now, trouble=trouble))
        self._store.agent.note_places(notes)

    def _yielding(self, beats: _Beats) -> set[tuple[str, str]]:
        """Those who are in trouble with a place while another agent, that is not, stands ready for it."""
        troubled = {(party.agent_id, state.name) for _, party, beat in beats for state in beat.places if state.trouble}
        if not troubled:
            return set()
        ready: dict[str, set[str]] = {}
        for one in self._store.agent.offered({name for _, name in troubled}):
            if not one.trouble and one.seen_at is not None and self._now - one.seen_at < _HEALTHY_FOR:
                ready.setdefault(one.place, set()).add(one.agent_id)
        return {(agent, name) for agent, name in troubled if ready.get(name, set()) - {agent}}

    # Steps

    def _prolong(self, beats: _Beats) -> dict[int, tuple[str, ...]]:
        """Prolong the leases of running steps, and say which of them have to stop."""
        rows = self._store.operation.leased({id for _, _, beat in beats for id in beat.running})
        stopped: dict[int, tuple[str, ...]] = {}
        renewed: list[str] = []
        progress: dict[str, tuple[float, str]] = {}
        for index, party, beat in beats:
            mine = {id for id in beat.running if id in rows and rows[id].lease_owner == party.owner}
            renewed += mine
            progress |= {
                id: (min(1.0, max(0.0, fraction)), what[:_MOST_PROGRESS_OF])
                for id, (fraction, what) in beat.progress.items()
                if id in mine
            }
            stopped[index] = tuple(sorted(id for id in beat.running if id not in mine or rows[id].cancelled))
        self._store.operation.renew(sorted(renewed), self._now + timedelta(seconds=LEASE_SECONDS))
        self._store.operation.note_progress(progress)
        return stopped

    def _exchange(self, exchanges: list[tuple[int, Party, Exchange]]) -> None:
        share = max(1, _MOST_LEASES // max(1, sum(asked.most > 0 for _, _, asked in exchanges)))
        asks = [
            Ask(owner=party.owner, places=self._held(party, asked), reports=asked.reports, most=min(asked.most, share))
            for _, party, asked in exchanges
        ]
        again = self._handed_over_again(asks, [asked for _, _, asked in exchanges])
        # Who brings nothing and can take nothing moves nothing on.
        idle = not any(ask.reports or (ask.most and ask.places) for ask in asks)
        leases = [[] for _ in asks] if idle else self._engine.turn_for(self._store, self._now, asks)
        for (index, _, _), first, more in zip(exchanges, again, leases, strict=True):
            self._answers[index] = [*first, *more]

    def _held(self, party: Party, asked: Exchange) -> tuple[str, ...]:
        found = (self._places.get(name) for name in dict.fromkeys(asked.places))
        return tuple(one.name for one in found if one and one.holder == party.owner and one.is_held(self._now))

    def _handed_over_again(self, asks: list[Ask], exchanges: list[Exchange]) -> list[list[Lease]]:
        """The leases whose hand-over was lost on the way."""
        again: list[list[Lease]] = [[] for _ in asks]
        which = {ask.owner: index for index, ask in enumerate(asks) if exchanges[index].recover and ask.places}
        if not which:
            return again
        places = {place for index in which.values() for place in asks[index].places}
        for row in self._store.operation.owned(which.keys(), places):
            index = which[row.lease_owner]
            ended = {report.operation_id for report in asks[index].reports}
            if row.id not in exchanges[index].running and row.id not in ended:
                again[index].append(Lease(operation=row, undo=row.state is OperationState.UNWINDING))
        ids = sorted(lease.operation.id for leases in again for lease in leases)
        self._store.operation.renew(ids, self._now + timedelta(seconds=LEASE_SECONDS))
        return again
