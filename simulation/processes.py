"""The product's processes, wired as `polyvisor serve` and `polyvisor agent` wire them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyvisor.agent.agent import LONG_POLL_SECONDS
from polyvisor.agent.fence import Fence, Promise
from polyvisor.operate.controller import Controller
from polyvisor.operate.engine import Engine
from polyvisor.operate.station import Station
from polyvisor.operate.tools import ControlTools
from polyvisor.serve.clock import SteadyClock
from polyvisor.store.outage import MaybeCommitted
from simulation.api import Answer
from simulation.database import Lost, SimulatedDatabase
from simulation.desk import Desk
from simulation.estate import Connection
from simulation.hub import Process
from simulation.link import WatchedLink
from simulation.network import NoAnswer
from simulation.standins import START, new_uuid, wall_seconds

if TYPE_CHECKING:
    from simulation.world import World

START_PAUSE_SECONDS = 1.0
INVENTORY_SECONDS = 10.0
STEP_THREADS = 4


def agent_id(name: str) -> str:
    """The id under which an agent has joined."""
    return uuid.uuid5(uuid.NAMESPACE_DNS, name).hex


class Machine:
    """A program on a machine: it can be killed, and is started again by what watches over it."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.process = Process(world.hub, name)
        self.starts = 0

    def start(self) -> None:
        """A new process of the same name."""
        offset = self.process.wall_offset_seconds
        self.process = Process(self.world.hub, self.name)
        self.process.wall_offset_seconds = offset
        self.starts += 1
        self.world.say(self.name, "starts")
        self.process.spawn(self.main, "main")

    def main(self) -> None:
        """What the program does."""
        raise NotImplementedError

    def wall(self) -> datetime:
        """Its machine's clock."""
        return datetime.fromtimestamp(wall_seconds(self.process), UTC)


class Server(Machine):
    """`polyvisor serve`: the API, the engine's controller, and the desk that agents call."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.ready = False

    def main(self) -> None:
        """Begin; where the database does not answer, end and be started again."""
        self.ready = False
        world, process = self.world, self.process
        self.database = SimulatedDatabase(world.cluster, process, world.moment)
        tools = ControlTools(world.compute, world.schedule, world.hub.chance.getrandbits(32))
        self.engine = Engine(world.kinds, tools)
        while True:
            if world.cluster.clock_off_seconds:  # it would believe it: whoever runs a cloud sets the clock first
                world.hub.sleep(START_PAUSE_SECONDS)
                continue
            try:
                self.clock = self._clock()
                Controller(self.database, self.engine, self.clock, self.name).start()
                break
            except (Lost, MaybeCommitted):
                world.hub.sleep(START_PAUSE_SECONDS)
        self.clock.start()
        self.desk = Desk(self.database, self.engine, self.clock)
        self.api = world.api.of(self.database, self.clock)
        self.ready = True

    def _clock(self) -> SteadyClock:
        """The product's own, which follows the database's. Raises Lost where that does not answer."""
        world = self.world

        def reference() -> float:
            with self.database.read():
                return START + world.hub.now + world.cluster.clock_off_seconds

        return SteadyClock(reference, monotonic=lambda: 1_000.0 + world.hub.now)

    def answer(self, method: str, path: str, body: Any, version: str) -> Answer:
        """One request."""
        if not self.ready:
            raise NoAnswer("connection refused")
        return self.api.serve(method, path, body, version)


class Agent(Machine):
    """`polyvisor agent`: a station of the places that it offers to serve."""

    def __init__(self, world: World, name: str, places: tuple[str, ...]) -> None:
        super().__init__(world, name)
        self.id = agent_id(name)
        self.places = places
        self.station: Station | None = None
        self.promises: dict[str, Promise] = {}
        """What its fence has written to its disk."""

    def main(self) -> None:
        """Begin."""
        world, process = self.world, self.process
        session = str(new_uuid())
        link = WatchedLink(world, self, session)
        drivers: dict[str, Any] = {
            place: Connection(world.hypervisors[place], process, world.moment, self.epoch) for place in self.places
        }
        kinds = dict.fromkeys(self.places, "simulated")
        self.station = Station(
            link,
            drivers,
            kinds,
            world.kinds,
            lambda step: world.source,
            self.wall,
            self.steady,
            threads=STEP_THREADS,
            inventory_seconds=INVENTORY_SECONDS,
            look_seconds=LONG_POLL_SECONDS,
        )
        self.world.say(self.name, "is the process %s", session[:8])
        self.station.start()
        self.fence = KeptFence(self, drivers)
        self.fence.start()

    def steady(self) -> float:
        """Seconds of the clock that nobody sets."""
        return 1_000.0 + self.world.hub.now

    def epoch(self, place: str) -> int:
        """The hold's epoch as this process believes it, run out or not; -1 where it holds none."""
        held = None if self.station is None else self.station.holds.held().get(place)
        return -1 if held is None else held.epoch


class KeptFence(Fence):
    """The agent's fence, whose file is a field of the agent's: it is as lasting as the machine is up."""

    def __init__(self, agent: Agent, drivers: dict[str, Any]) -> None:
        if agent.station is None:
            raise RuntimeError("A fence needs a station.")
        self._agent = agent
        super().__init__(agent.station.holds, drivers, agent.steady, Path("fence.json"), "")

    def _read(self) -> dict[str, Promise]:
        return dict(self._agent.promises)

    def _write(self) -> None:
        self._agent.promises = dict(self._promises)
