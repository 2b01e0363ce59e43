"""Runs one history from its plan to its end, or to the first invariant that it breaks."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import create_engine

from polyvisor.model.operation import OperationState
from polyvisor.operate import host_drain
from polyvisor.operate.definition import Operation as Definition
from polyvisor.operate.kinds import KINDS
from polyvisor.operate.link import LinkDown
from polyvisor.operate.retry import retry
from polyvisor.store.outage import MaybeCommitted
from polyvisor.store.store import Store
from simulation import standins
from simulation.api import Api
from simulation.database import Disk, Lost
from simulation.faults import duration
from simulation.hub import Killed, OutOfTime
from simulation.invariants import Violated
from simulation.network import NoAnswer
from simulation.trace import Trace
from simulation.users import end_drain
from simulation.world import COMPUTE, Plan, World, prepare

MOST_EVENTS = 100_000
LOOK_SECONDS = 4.0
PATIENCE_SECONDS = 2400.0
"""Within so much virtual time after the last fault everything has to be as it should."""
LINGER_SECONDS = 60.0
DRAIN_SECONDS = 45.0
"""How long after the last fault drains may still move servers."""
_FINAL = ("surprise", "journal", "strangers", "elsewhere")
"""What does not get better by waiting."""
_FORESEEN = (Lost, MaybeCommitted, NoAnswer, LinkDown, Killed)


class Outcome(msgspec.Struct, frozen=True):
    """How a history went."""

    plan: Plan
    violation: Violated | None
    trace: Trace
    events: int
    checked: int
    """How often an invariant was looked at."""
    faults: dict[str, int]
    seconds: float
    """Virtual ones."""
    granted: int
    """Requests that were answered with success."""


class Room:
    """What histories share in one process: the database's memory and the API's routes."""

    def __init__(self) -> None:
        self.disk = Disk()
        prepare(self.disk)
        self.api = Api(_OneEngine(), COMPUTE)  # type: ignore[arg-type]

    def run(self, plan: Plan, kinds: Mapping[str, Definition[Any]] = KINDS) -> Outcome:
        """One history. The stand-ins must be installed."""
        world = World(plan, self.disk, self.api, kinds)
        standins.use(world.hub)
        ears = _Ears(world)
        root = logging.getLogger("polyvisor")
        before, root.propagate = (root.level, root.propagate), False
        root.setLevel(logging.WARNING)
        root.addHandler(ears)
        try:
            return _run(world)
        finally:
            root.removeHandler(ears)
            root.setLevel(before[0])
            root.propagate = before[1]
            for machine in (*world.servers, *world.agents):
                machine.process.alive = False
                machine.process._end_tasks()
            world.users.process.alive = False
            world.users.process._end_tasks()
            standins.use(None)


def _run(world: World) -> Outcome:
    hub, plan = world.hub, world.plan
    world.begin()
    watch = world.watch
    wrong: list[Violated] = []
    try:
        troubled = max([2.0, *(fault.at + duration(fault) for fault in plan.faults)])
        asked = max(wish.at for wish in plan.wishes)
        hub.run(max(troubled, asked) + 1.0, lambda: watch.violation is not None, MOST_EVENTS)
        if watch.violation is None:
            world.heal()
            deadline = hub.now + PATIENCE_SECONDS
            lingered = not plan.linger
            while watch.violation is None:
                hub.run(hub.now + LOOK_SECONDS, lambda: watch.violation is not None, MOST_EVENTS)
                if hub.now > deadline - PATIENCE_SECONDS + DRAIN_SECONDS:
                    _end_drains(world)
                wrong = [] if watch.violation else _look(world)
                final = any(each.invariant in _FINAL for each in wrong)
                if watch.violation or (wrong and (hub.now > deadline or final)):
                    break
                if wrong:
                    continue
                if lingered:
                    break
                hub.run(hub.now + LINGER_SECONDS, lambda: watch.violation is not None, MOST_EVENTS)
                lingered = True
                deadline = hub.now + LINGER_SECONDS
    except OutOfTime as error:
        wrong = [Violated("ends", str(error))]
    wrong.sort(key=lambda each: each.invariant not in _FINAL)
    violation = watch.violation or (wrong[0] if wrong else None)
    if wrong and not watch.violation:
        for each in wrong:
            world.say("invariants", "VIOLATED %s", each)
    return Outcome(
        plan=plan, violation=violation, trace=world.trace, events=hub.events, checked=watch.checked,
        faults=dict(world.strikes.counts), seconds=hub.now, granted=world.users.granted,
    )  # fmt: skip


def _end_drains(world: World) -> None:
    """The operator gives up drains: servers for which there is no room elsewhere would be waited for for ever."""
    with world.cluster.disk.begun().begin():
        store = Store(world.cluster.disk.connection, world.no_signals)
        drained = {host_drain.target(name): name for name in world.host_names}
        for row in store.operation.under_way(("host.drain",)):
            if not row.cancelled:
                end_drain(store, drained[row.target_id], world.time())
                world.say("operator", "stops the drain %s", row.id[:8])


def _look(world: World) -> list[Violated]:
    """What is wrong now, once nothing is under way; the operator takes stuck operations up again."""
    if world.watch.unfinished():
        with world.cluster.disk.begun().begin():
            store = Store(world.cluster.disk.connection, world.no_signals)
            for row in store.operation.list(states=(OperationState.STUCK,), limit=100):
                retry(store, row.id, world.time())
                world.say("operator", "retries %s", row.id[:8])
    return world.watch.in_the_end()


class _OneEngine:
    """What the API wants of a database when it is built."""

    def __init__(self) -> None:
        self.engine = create_engine("sqlite://")  # the API counts statements on it; here nobody asks how many


class _Ears(logging.Handler):
    """Puts the product's warnings into the trace, and notices the errors that nobody has foreseen."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.WARNING)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        """One line of the product's log."""
        world = self._world
        current = world.hub.current
        who = current.process.name if current is not None else "?"
        error = record.exc_info[1] if record.exc_info else None
        world.say(who, "logs: %s%s", record.getMessage(), f" ({error!r})" if error is not None else "")
        if error is not None and not isinstance(error, _FORESEEN):
            world.surprises.append(f"{who} logs: {record.getMessage()} ({error!r})")
