"""Every fault of the run: what is done to which part, how it is seen that another took over, and how it is mended."""

import random
import time

from ha.cloud import PROXY, Cloud
from ha.fault import (
    KILLED,
    PATIENCE_SECONDS,
    STOPPED,
    WAYS,
    Fault,
    FaultFailed,
    Scene,
    agent_name,
    harm,
    is_up,
    mend,
    until,
    went_down,
)
from ha.hypervisors import VCENTER, VSPHERE_PLACE, Hypervisors

OUTAGE_SECONDS = 6.0
"""How long a server stays away, so that requests meet its absence."""
CUT_SECONDS = 12.0
"""How long two parts stay apart: longer than a hold."""
RESTART_SECONDS = 2.0
"""How long systemd would rest before it starts a program again."""


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
        hypervisors = scene.hypervisors
        assert isinstance(hypervisors, Hypervisors)
        host = hypervisors.libvirts[self.part]
        if self.way == KILLED:
            host.kill()
        else:
            hypervisors.freeze_libvirtd(self.part)
        until(lambda: went_down(scene, self.part, begun), f"the host of {self.part} is not said to be down")
        took = went_down(scene, self.part, begun) - begun
        if self.way == KILLED:
            host.start()
        else:
            hypervisors.thaw_libvirtd(self.part)
        until(lambda: is_up(scene, self.part), f"the host of {self.part} does not come up again")
        return took


class ActiveAgentFault(Fault):
    """The active one of two agents goes; the figure is the time from its last beat to the standby's first one."""

    limit_seconds = 15.0

    def __init__(self, way: str, place: str = VSPHERE_PLACE) -> None:
        super().__init__(f"the active agent of {place}", way)
        self.place = place

    @property
    def title(self) -> str:
        return f"active agent {self.way}"

    def run(self, scene: Scene) -> float:
        agent_id, epoch, _ = scene.holds.holder(self.place)
        name = agent_name(scene, agent_id)
        harm(scene, name, self.way)
        until(lambda: scene.holds.takeover(self.place, epoch), f"nobody took over from {name}")
        taken = scene.holds.takeover(self.place, epoch)
        assert taken is not None
        if agent_name(scene, taken.agent_id) == name:
            raise FaultFailed(f"{name} was {self.way}, and has taken over from itself")
        mend(scene, name, self.way)
        return taken.seconds


class PartitionFault(Fault):
    """Two parts cannot reach each other for a while; the figure is the longest time without an answer of the API."""

    def __init__(self, part: str, other: str) -> None:
        super().__init__(part, f"cut off from {other}")
        self.other = other

    @property
    def title(self) -> str:
        return f"{self.part} {self.way}"

    def run(self, scene: Scene) -> float:
        begun = time.monotonic()
        scene.cloud.network.partition(self.part, self.other)
        time.sleep(CUT_SECONDS)
        until(lambda: scene.load.answered_after(begun) is not None, f"no answer while {self.title}")
        silence = scene.probe.longest_silence(begun)
        scene.cloud.network.heal(self.part, self.other)
        return silence


class ClockFault(Fault):
    """A part's wall clock jumps, and some seconds later back again; leases neither run out nor stand still.

    The figure is the longest time without an answer. The cloud must have been made with clocks.
    """

    def __init__(self, part: str, seconds: int) -> None:
        super().__init__(part, f"sent {abs(seconds)} s into the {'future' if seconds > 0 else 'past'}")
        self.seconds = seconds

    @property
    def title(self) -> str:
        return f"{self.part} {self.way}"

    def run(self, scene: Scene) -> float:
        begun = time.monotonic()
        scene.cloud.clocks[self.part].jump(self.seconds)
        time.sleep(OUTAGE_SECONDS)
        until(lambda: scene.load.answered_after(begun) is not None, f"no answer while {self.title}")
        scene.cloud.clocks[self.part].set_right()
        return scene.probe.longest_silence(begun)


class VcenterCutFault(Fault):
    """The active vSphere agent can reach the cloud, but its vCenter no more: the standby, which can, takes over."""

    def __init__(self) -> None:
        super().__init__(f"the active agent of {VSPHERE_PLACE}", "cut off from vCenter")

    @property
    def title(self) -> str:
        return f"active agent {self.way}"

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


def schedule(cloud: Cloud, seed: int) -> list[Fault]:
    """Every fault of `make ha` once, in an order that the seed decides."""
    hosts = [plan.name for plan in cloud.agents if plan.name == plan.place]
    faults: list[Fault] = [ServerFault(name, way) for name in cloud.servers for way in WAYS]
    faults += [DatabaseFault(way) for way in WAYS]
    faults += [HostFault(name, way) for name in hosts for way in WAYS]
    faults += [LibvirtFault(name, way) for name in hosts for way in (KILLED, STOPPED)]
    faults += [*(ActiveAgentFault(way) for way in WAYS), VcenterCutFault()]
    faults += [ProxyFault(PROXY, way) for way in (KILLED, STOPPED)]
    random.Random(seed).shuffle(faults)
    return faults
