"""What goes wrong in a history, and when: a list that the seed makes, and that can be cut down line by line."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import msgspec

from polyvisor.hypervisor.simulated.estate import SimulatedGuest
from polyvisor.model.power import Power
from simulation.hub import Process

if TYPE_CHECKING:
    from simulation.processes import Machine
    from simulation.world import World

T = TypeVar("T")
OF_SERVERS = ("transaction", "commit")
"""Where a kill or a stop strikes a server: before a transaction, or between its commit and the reply."""
OF_AGENTS = ("call", "effect", "look")
"""Where it strikes an agent: before it changes something at a hypervisor, between the effect and its report, or before
it looks at something there."""
MOST_KINDS = 4
WAIT_FOR_MOMENT_SECONDS = 15.0
KNOWN_DOWN_SECONDS = 22.0
"""After so long everybody knows that a host is down."""
AN_HOUR_SECONDS = 3600.0


class Fault(msgspec.Struct, frozen=True):
    """One thing that goes wrong."""

    at: float
    kind: str
    which: int
    """Chooses whom it strikes: its number modulo how many there are."""
    other: int
    """Chooses the second one of a pair, the moment of a kill, and the like."""
    seconds: float
    """How long it lasts."""

    def __str__(self) -> str:
        return f"{self.at:7.3f}  {self.kind} (which={self.which}, other={self.other}) for {self.seconds:.1f} s"


def schedule(chance: random.Random, most: int, end: float, kinds: tuple[str, ...] = ()) -> tuple[Fault, ...]:
    """Up to `most` faults before the moment `end`; at least one in nine of ten histories.

    Each history has only a few kinds of them, so that what takes two of one kind together comes about, too.
    """
    names = kinds or tuple(chance.sample(tuple(KINDS), chance.randint(1, MOST_KINDS)))
    number = 0 if chance.random() < 0.1 else chance.randint(1, most)
    found = [
        Fault(
            at=round(chance.uniform(3.0, end), 3),
            kind=chance.choice(names),
            which=chance.randrange(60),
            other=chance.randrange(60),
            seconds=round(
                chance.choice((chance.uniform(0.2, 4.0), chance.uniform(4.0, 14.0), chance.uniform(12.0, 30.0))), 3
            ),
        )
        for _ in range(number)
    ]
    return tuple(sorted(found, key=lambda fault: fault.at))


LONG = {"host loses power": 3.0, "host falls silent": 3.0}
"""Kinds that last longer than others, and how much."""


def duration(fault: Fault) -> float:
    """How long it lasts, in seconds."""
    return fault.seconds * LONG.get(fault.kind, 1.0)


class Strikes:
    """Makes faults happen, counts them, and ends them."""

    def __init__(self, world: World, faults: tuple[Fault, ...]) -> None:
        self.world = world
        self.counts: dict[str, int] = {}
        self._armed: list[_Armed] = []
        for fault in faults:
            world.hub.at(fault.at, lambda fault=fault: self._strike(fault))  # type: ignore[misc]

    def _strike(self, fault: Fault) -> None:
        if KINDS[fault.kind](self, fault):
            self.counts[fault.kind] = self.counts.get(fault.kind, 0) + 1

    def for_a_while(
        self, fault: Fault, who: str, what: str, begin: Callable[[], None], end: Callable[[], None]
    ) -> bool:
        """Something that begins now and is over after the fault's seconds."""
        world = self.world
        seconds = duration(fault)
        world.say("faults", "%s: %s, for %.1f s", who, what, seconds)
        begin()

        def over() -> None:
            world.say("faults", "%s: over: %s", who, what)
            end()

        world.hub.after(seconds, over)
        return True

    # Moments

    def arm(self, machines: Sequence[Machine], moment: str, skip: int, act: Callable[[Machine, str], None]) -> None:
        """Have `act` called with the first of the machines that is at such a moment, after `skip` of them.

        Where none comes to it for a while, the first machine is struck wherever it is.
        """
        mine = _Armed(tuple(machines), moment, skip, act)
        self._armed.append(mine)

        def too_late() -> None:
            if mine in self._armed:
                self._armed.remove(mine)
                act(machines[0], "nothing in particular")

        self.world.hub.after(WAIT_FOR_MOMENT_SECONDS, too_late)

    def moment(self, process: Process, name: str) -> None:
        """A process is where a kill or a stop may strike."""
        for mine in list(self._armed):
            struck = next((each for each in mine.machines if each.process is process), None)
            if struck is None or mine.moment != name or mine not in self._armed:
                continue
            if mine.skip > 0:
                mine.skip -= 1
                continue
            self._armed.remove(mine)
            mine.act(struck, name)


class _Armed:
    """A kill or a stop that waits for its moment."""

    def __init__(
        self, machines: tuple[Machine, ...], moment: str, skip: int, act: Callable[[Machine, str], None]
    ) -> None:
        self.machines, self.moment, self.skip, self.act = machines, moment, skip, act


def _arm(strikes: Strikes, fault: Fault, act: Callable[[Machine, str], None]) -> bool:
    """Choose a server, or whichever agent of one place acts next."""
    world = strikes.world
    if fault.other % 5 < 2:
        server = _pick(world.servers, fault.which)
        strikes.arm([server], OF_SERVERS[fault.other // 5 % 2], fault.other // 10 % 4, act)
        return True
    place = _pick(world.places, fault.which)
    agents = [agent for agent in world.agents if place in agent.places]
    strikes.arm(agents, OF_AGENTS[fault.other // 5 % 3], fault.other // 15 % 4, act)
    return True


def _machines(world: World) -> list[Machine]:
    return [*world.servers, *world.agents]


def _kill(strikes: Strikes, fault: Fault) -> bool:
    """A server or an agent is killed as by kill -9, at a moment of its work; it is started again after a while."""
    world = strikes.world

    def act(machine: Machine, moment: str) -> None:
        process = machine.process
        if not process.alive or world.healed:
            return
        world.say("faults", "%s: killed at its %s, started again after %.1f s", machine.name, moment, fault.seconds)
        world.hub.after(fault.seconds, lambda: world.start_again(machine))
        process.kill()

    return _arm(strikes, fault, act)


def _stop(strikes: Strikes, fault: Fault) -> bool:
    """A server or an agent is stopped as by SIGSTOP, at a moment of its work; it goes on after a while."""
    world = strikes.world

    def act(machine: Machine, moment: str) -> None:
        process = machine.process
        if not process.alive or process.paused or world.healed:
            return
        world.say("faults", "%s: stopped at its %s for %.1f s", machine.name, moment, fault.seconds)

        def go_on() -> None:
            if process.paused:
                world.say("faults", "%s: goes on", machine.name)
                process.go_on()

        world.hub.after(fault.seconds, go_on)
        process.pause()
        if world.hub.current is not None and world.hub.current.process is process:
            world.hub.sleep(0.0)

    return _arm(strikes, fault, act)


def _cut_agent(strikes: Strikes, fault: Fault) -> bool:
    """Nothing passes between an agent and one server."""
    world, network = strikes.world, strikes.world.network
    agent, server = _pick(world.agents, fault.which).name, _pick(world.servers, fault.other).name
    return strikes.for_a_while(
        fault, agent, f"cut off from {server}", lambda: network.cut(agent, server), lambda: network.mend(agent, server)
    )


def _isolate_agent(strikes: Strikes, fault: Fault) -> bool:
    """Nothing passes between an agent and any server."""
    world, network = strikes.world, strikes.world.network
    agent = _pick(world.agents, fault.which).name

    def all_of(act: Callable[[str, str], None]) -> None:
        for server in world.servers:
            act(agent, server.name)

    return strikes.for_a_while(
        fault, agent, "cut off from every server", lambda: all_of(network.cut), lambda: all_of(network.mend)
    )


def _cut_database(strikes: Strikes, fault: Fault) -> bool:
    """A server does not reach the database."""
    world = strikes.world
    server = _pick(world.servers, fault.which).name
    cut_off = world.cluster.cut_off
    return strikes.for_a_while(
        fault, server, "cut off from the database", lambda: cut_off.add(server), lambda: cut_off.discard(server)
    )


def _cut_hypervisor(strikes: Strikes, fault: Fault) -> bool:
    """An agent does not reach a hypervisor."""
    world = strikes.world
    agent = _pick(world.agents, fault.which)
    there = world.hypervisors[_pick(agent.places, fault.other)]
    return strikes.for_a_while(
        fault, agent.name, f"cut off from {there.place}",
        lambda: there.cut_off.add(agent.name), lambda: there.cut_off.discard(agent.name),
    )  # fmt: skip


def _lossy(strikes: Strikes, fault: Fault) -> bool:
    """Messages are lost."""
    network = strikes.world.network
    rate = (0.05, 0.2, 0.5)[fault.other % 3]
    return strikes.for_a_while(
        fault, "network", f"loses {rate:.0%} of all messages",
        lambda: setattr(network, "loss_rate", rate), lambda: setattr(network, "loss_rate", 0.0),
    )  # fmt: skip


def _doubling(strikes: Strikes, fault: Fault) -> bool:
    """Messages come twice."""
    network = strikes.world.network
    return strikes.for_a_while(
        fault, "network", "doubles 40% of all messages",
        lambda: setattr(network, "double_rate", 0.4), lambda: setattr(network, "double_rate", 0.0),
    )  # fmt: skip


def _late(strikes: Strikes, fault: Fault) -> bool:
    """Messages come late, and so out of their order."""
    network = strikes.world.network
    return strikes.for_a_while(
        fault, "network", "delays 30% of all messages",
        lambda: setattr(network, "late_rate", 0.3), lambda: setattr(network, "late_rate", 0.0),
    )  # fmt: skip


def _failover(strikes: Strikes, fault: Fault) -> bool:
    """The database fails over: nobody reaches it for a while, and what was under way is lost."""
    cluster = strikes.world.cluster
    return strikes.for_a_while(
        fault, "database", "fails over", lambda: setattr(cluster, "down", True), lambda: setattr(cluster, "down", False)
    )


def _database_full(strikes: Strikes, fault: Fault) -> bool:
    """The database's disk is full."""
    cluster = strikes.world.cluster
    return strikes.for_a_while(
        fault, "database", "its disk is full",
        lambda: setattr(cluster, "full", True), lambda: setattr(cluster, "full", False),
    )  # fmt: skip


def _deaf(strikes: Strikes, fault: Fault) -> bool:
    """A server hears no notifications of the database."""
    world = strikes.world
    server = _pick(world.servers, fault.which).name
    deaf = world.cluster.deaf
    return strikes.for_a_while(
        fault, server, "hears no notifications", lambda: deaf.add(server), lambda: deaf.discard(server)
    )


def _mood(name: str, what: str, value: object, usual: object) -> Callable[[Strikes, Fault], bool]:
    def strike(strikes: Strikes, fault: Fault) -> bool:
        there = strikes.world.hypervisors[_pick(strikes.world.places, fault.which)]
        return strikes.for_a_while(
            fault, there.place, what, lambda: setattr(there, name, value), lambda: setattr(there, name, usual)
        )

    return strike


def _vanish(strikes: Strikes, fault: Fault) -> bool:
    """Somebody removes a guest at its hypervisor."""
    return _behind_our_back(strikes, fault, None)


def _meddle(strikes: Strikes, fault: Fault) -> bool:
    """Somebody changes a guest's power at its hypervisor."""
    return _behind_our_back(strikes, fault, (Power.OFF, Power.ON, Power.PAUSED)[fault.other % 3])


def _behind_our_back(strikes: Strikes, fault: Fault, power: Power | None) -> bool:
    world = strikes.world
    guests = [
        (there, guest)
        for there in world.hypervisors.values()
        for guest in there.estate.guests()
        if guest.server_id not in there.strangers
    ]
    if not guests:
        return False
    there, guest = guests[fault.which % len(guests)]
    world.say("faults", "%s: somebody makes guest %s %s", there.place, guest.server_id[:8], power or "vanish")
    there.touched[guest.server_id] = None
    if power is None:
        there.estate.remove(guest.server_id)
    else:
        there.estate.put(msgspec.structs.replace(guest, power=power, before=power, power_at=0.0))
    return True


def _unknown_guest(strikes: Strikes, fault: Fault) -> bool:
    """A guest with a server id of ours turns up that the database has never known: it must be left alone."""
    world = strikes.world
    there = world.hypervisors[_pick(world.places, fault.which)]
    id = f"99999999-9999-4999-8999-{fault.which:02d}{fault.other:010d}"
    host = _pick(world.hosts_of(there), fault.other)
    there.estate.put(SimulatedGuest(server_id=id, name="unknown", host=host, power=Power.OFF))
    there.strangers[id] = None
    world.say("faults", "%s: a guest turns up that nobody knows, %s", there.place, id)
    return True


def _power_cut(strikes: Strikes, fault: Fault) -> bool:
    """A KVM host loses its power, with its agent and its guests, and starts again later."""
    world = strikes.world
    agents = [agent for agent in world.agents if agent.places[0].startswith("kvm")]
    if not agents:
        return False
    agent = _pick(agents, fault.which)
    there = world.hypervisors[agent.places[0]]
    if not there.on:
        return False

    def begin() -> None:
        there.power_off()
        agent.process.kill()
        agent.promises.clear()
        if not world.plan.automatic:
            world.hub.after(KNOWN_DOWN_SECONDS, evacuate)

    def evacuate() -> None:
        if not there.on and not world.healed:
            world.say("operator", "has the servers of %s evacuated", there.place)
            world.users.evacuate(there.place)

    def end() -> None:
        there.power_on()
        world.start_again(agent)

    return strikes.for_a_while(fault, there.place, "loses its power", begin, end)


def _silent(strikes: Strikes, fault: Fault) -> bool:
    """A KVM host is cut off from every server for a long time, while its guests run on."""
    world = strikes.world
    agents = [agent for agent in world.agents if agent.places[0].startswith("kvm")]
    if not agents:
        return False
    return _isolate_agent(strikes, msgspec.structs.replace(fault, which=world.agents.index(_pick(agents, fault.which))))


def _clock_jump(strikes: Strikes, fault: Fault) -> bool:
    """The wall clock of a machine jumps by an hour, and is set right again later."""
    machine = _pick(_machines(strikes.world), fault.which)
    seconds = AN_HOUR_SECONDS if fault.other % 2 else -AN_HOUR_SECONDS

    def jump(by: float) -> None:
        machine.process.wall_offset_seconds += by

    return strikes.for_a_while(
        fault, machine.name, f"its clock jumps by {seconds:+.0f} s", lambda: jump(seconds), lambda: jump(-seconds)
    )


def _database_clock(strikes: Strikes, fault: Fault) -> bool:
    """The clock of the database's machine jumps by an hour, and is set right again later."""
    cluster = strikes.world.cluster
    seconds = AN_HOUR_SECONDS if fault.other % 2 else -AN_HOUR_SECONDS
    return strikes.for_a_while(
        fault, "database", f"its clock jumps by {seconds:+.0f} s",
        lambda: setattr(cluster, "clock_off_seconds", seconds), lambda: setattr(cluster, "clock_off_seconds", 0.0),
    )  # fmt: skip


def _pick(among: list[T] | tuple[T, ...], number: int) -> T:
    return among[number % len(among)]


KINDS: dict[str, Callable[[Strikes, Fault], bool]] = {
    "kill": _kill,
    "stop": _stop,
    "cut agent from server": _cut_agent,
    "cut agent from all servers": _isolate_agent,
    "cut server from database": _cut_database,
    "cut agent from hypervisor": _cut_hypervisor,
    "lose messages": _lossy,
    "double messages": _doubling,
    "delay messages": _late,
    "database failover": _failover,
    "database full": _database_full,
    "lose notifications": _deaf,
    "hypervisor refuses": _mood("refuse_rate", "refuses half of what it is asked", 0.5, 0.0),
    "hypervisor loses replies": _mood("lose_reply_rate", "loses half of its replies", 0.5, 0.0),
    "hypervisor slow": _mood("delay_seconds", "takes long for each call", 9.0, 0.004),
    "hypervisor full": _mood("full", "its disk is full", True, False),
    "guest vanishes": _vanish,
    "guest changed": _meddle,
    "unknown guest": _unknown_guest,
    "host loses power": _power_cut,
    "host falls silent": _silent,
    "clock jumps": _clock_jump,
    "database clock jumps": _database_clock,
}
"""Every kind of fault."""
