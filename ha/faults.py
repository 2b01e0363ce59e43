"""Every fault of the run: what is done to which part, how it is seen that another took over, and how it is mended."""

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from ha.cloud import PROXY, Cloud
from ha.database import Databases
from ha.holds import HoldsWatch
from ha.hypervisors import VCENTER, VSPHERE_PLACE, Hypervisors
from ha.load import Load
from ha.probe import Probe

KILLED, STOPPED, CUT_OFF = "killed", "stopped", "cut off"
WAYS = (KILLED, STOPPED, CUT_OFF)
PATIENCE_SECONDS = 120.0
OUTAGE_SECONDS = 8.0
"""How long a server stays away, so that requests meet its absence."""
RESTART_SECONDS = 2.0
"""How long systemd would rest before it starts a program again."""


class FaultFailed(Exception):
    """Nobody took over, or the part did not come back; the message says which."""


@dataclass(frozen=True)
class Scene:
    """All that faults are made in, and seen by."""

    cloud: Cloud
    databases: Databases
    hypervisors: Hypervisors
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


class ServerFault(Fault):
    """One of the servers goes; the figure is the longest time for which the API gave no answer."""

    @property
    def title(self) -> str:
        return f"server {self.way}"

    def run(self, scene: Scene) -> float:
        begun = time.monotonic()
        harm(scene, self.part, self.way)
        time.sleep(OUTAGE_SECONDS)
        until(lambda: scene.load.answered_after(begun) is not None, f"no answer while {self.part} was {self.way}")
        silence = scene.probe.longest_silence(begun)
        mend(scene, self.part, self.way)
        return silence


class ProxyFault(Fault):
    """The only HAProxy goes, and is back as soon as systemd starts it (a second one, by keepalived, is not played)."""

    @property
    def title(self) -> str:
        return f"HAProxy {self.way}, then back"

    def run(self, scene: Scene) -> float:
        begun = time.monotonic()
        harm(scene, self.part, self.way)
        time.sleep(RESTART_SECONDS)
        mend(scene, self.part, self.way)
        mended = time.monotonic()
        until(lambda: scene.probe.answered_after(mended), f"no answer after {self.part} was {self.way}")
        return scene.probe.longest_silence(begun)


class DatabaseFault(Fault):
    """The primary goes, the keeper promotes the standby; the figure is the time until a request was answered again."""

    def __init__(self, way: str) -> None:
        super().__init__("the primary database", way)

    @property
    def title(self) -> str:
        return f"primary database {self.way}"

    def run(self, scene: Scene) -> float:
        databases, network = scene.databases, scene.cloud.network
        part, count = databases.primary_part, databases.fail_overs + 1
        begun = time.monotonic()
        if self.way == KILLED:
            databases.primary.kill()
        elif self.way == STOPPED:
            databases.primary.freeze()
        else:
            network.isolate(part)
        databases.wait_for_fail_over(count, PATIENCE_SECONDS)
        promoted = time.monotonic()
        until(lambda: scene.load.answered_after(promoted) is not None, "no answer after the standby was promoted")
        took = promoted - begun + (scene.load.answered_after(promoted) or 0.0)
        network.heal(part)
        databases.rebuild()
        return took


class HostFault(Fault):
    """A KVM host's agent falls silent; the figure is the time from its last beat until the host is down."""

    limit_seconds = 30.0

    @property
    def title(self) -> str:
        return f"KVM agent {self.way}, until its host is down"

    def run(self, scene: Scene) -> float:
        harm(scene, self.part, self.way)
        begun = time.time()
        until(lambda: went_down(scene, self.part, begun - 5), f"the host of {self.part} is not said to be down")
        _, _, last_beat = scene.holds.holder(self.part)
        took = went_down(scene, self.part, begun - 5) - last_beat
        mend(scene, self.part, self.way)
        until(lambda: is_up(scene, self.part), f"the host of {self.part} does not come up again")
        return took


class LibvirtFault(Fault):
    """A libvirtd goes, and its agent says so; the figure is the time until the host is down."""

    @property
    def title(self) -> str:
        return f"libvirtd {self.way}, until its host is down"

    def run(self, scene: Scene) -> float:
        begun = time.time()
        host = scene.hypervisors.libvirts[self.part]
        if self.way == KILLED:
            host.kill()
        else:
            scene.hypervisors.freeze_libvirtd(self.part)
        until(lambda: went_down(scene, self.part, begun), f"the host of {self.part} is not said to be down")
        took = went_down(scene, self.part, begun) - begun
        if self.way == KILLED:
            host.start()
        else:
            scene.hypervisors.thaw_libvirtd(self.part)
        until(lambda: is_up(scene, self.part), f"the host of {self.part} does not come up again")
        return took


class ActiveAgentFault(Fault):
    """The active vSphere agent goes; the figure is the time from its last beat to the standby's first one."""

    limit_seconds = 15.0

    def __init__(self, way: str) -> None:
        super().__init__("the active vSphere agent", way)

    @property
    def title(self) -> str:
        return f"active vSphere agent {self.way}"

    def run(self, scene: Scene) -> float:
        agent_id, epoch, _ = scene.holds.holder(VSPHERE_PLACE)
        name = agent_name(scene, agent_id)
        harm(scene, name, self.way)
        until(lambda: scene.holds.takeover(VSPHERE_PLACE, epoch), f"nobody took over from {name}")
        taken = scene.holds.takeover(VSPHERE_PLACE, epoch)
        assert taken is not None
        if agent_name(scene, taken.agent_id) == name:
            raise FaultFailed(f"{name} was {self.way}, and has taken over from itself")
        mend(scene, name, self.way)
        return taken.seconds


class VcenterCutFault(Fault):
    """The active vSphere agent can reach the cloud, but its vCenter no more: the standby, which can, takes over."""

    def __init__(self) -> None:
        super().__init__("the active vSphere agent", "cut off from vCenter")

    @property
    def title(self) -> str:
        return f"active vSphere agent {self.way}"

    def run(self, scene: Scene) -> float:
        agent_id, epoch, _ = scene.holds.holder(VSPHERE_PLACE)
        name = agent_name(scene, agent_id)
        begun = time.time()
        scene.cloud.network.partition(name, VCENTER)
        until(lambda: scene.holds.takeover(VSPHERE_PLACE, epoch), f"nobody took over from {name}")
        taken = scene.holds.takeover(VSPHERE_PLACE, epoch)
        assert taken is not None
        scene.cloud.network.heal(name, VCENTER)
        return taken.taken_at - begun


def schedule(cloud: Cloud, hypervisors: Hypervisors, seed: int) -> list[Fault]:
    """Every fault once, in an order that the seed decides."""
    faults: list[Fault] = [ServerFault(name, way) for name in cloud.servers for way in WAYS]
    faults += [DatabaseFault(way) for way in WAYS]
    faults += [HostFault(name, way) for name in hypervisors.libvirts for way in WAYS]
    faults += [LibvirtFault(name, way) for name in hypervisors.libvirts for way in (KILLED, STOPPED)]
    if hypervisors.vcenter is not None:
        faults += [*(ActiveAgentFault(way) for way in WAYS), VcenterCutFault()]
    if PROXY in cloud.programs:
        faults += [ProxyFault(PROXY, way) for way in (KILLED, STOPPED)]
    random.Random(seed).shuffle(faults)
    return faults


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
