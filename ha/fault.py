"""What a fault is, the scene that it is made in, and what all faults are made with."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from ha.cloud import Cloud
from ha.database import Databases
from ha.holds import HoldsWatch
from ha.hypervisors import Beneath
from ha.load import Load
from ha.probe import Probe

KILLED, STOPPED, CUT_OFF = "killed", "stopped", "cut off"
WAYS = (KILLED, STOPPED, CUT_OFF)
PATIENCE_SECONDS = 180.0


class FaultFailed(Exception):
    """Nobody took over, or the part did not come back; the message says which."""


@dataclass(frozen=True)
class Scene:
    """All that faults are made in, and seen by."""

    cloud: Cloud
    databases: Databases
    hypervisors: Beneath
    holds: HoldsWatch
    load: Load
    probe: Probe


class Fault(ABC):
    """One fault of one part."""

    limit_seconds = 0.0
    """What its takeover must stay below; 0 = nothing is promised."""

    def __init__(self, part: str, way: str) -> None:
        self.part, self.way = part, way

    @property
    @abstractmethod
    def title(self) -> str:
        """What the table calls all faults of this sort."""

    @abstractmethod
    def run(self, scene: Scene) -> float:
        """Make it, wait until another has taken over, mend it; returns how many seconds the takeover took."""


def harm(scene: Scene, name: str, way: str) -> None:
    """Kill, stop or cut off one of the cloud's programs; `name` is its part of the network, too."""
    if way == KILLED:
        scene.cloud.programs[name].kill()
    elif way == STOPPED:
        scene.cloud.programs[name].pause()
    else:
        scene.cloud.network.isolate(name)


def mend(scene: Scene, name: str, way: str) -> None:
    """Take it back."""
    if way == KILLED:
        scene.cloud.start(name)
    elif way == STOPPED:
        scene.cloud.programs[name].resume()
    else:
        scene.cloud.network.heal(name)


def went_down(scene: Scene, place: str, since: float) -> float:
    """When all hosts of a place were down, in seconds since 1970; 0 = they are not, or have been since before."""
    states = scene.holds.states(place).values()
    if not states or any(state != "down" or moment < since for state, moment in states):
        return 0.0
    return max(moment for _, moment in states)


def is_up(scene: Scene, place: str) -> bool:
    """Whether all hosts of a place are up."""
    states = scene.holds.states(place).values()
    return bool(states) and all(state == "up" for state, _ in states)


def agent_name(scene: Scene, agent_id: str) -> str:
    """The name that an agent joined with."""
    engine = create_engine(scene.databases.url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            return str(connection.execute(text("SELECT name FROM agent WHERE id = :id"), {"id": agent_id}).scalar())
    finally:
        engine.dispose()


def until(true: Callable[[], object], complaint: str) -> None:
    """Wait for a condition. Raises FaultFailed."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        if time.monotonic() > deadline:
            raise FaultFailed(f"{complaint} ({PATIENCE_SECONDS:.0f} s)")
        time.sleep(0.1)
