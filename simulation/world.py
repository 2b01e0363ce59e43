"""One history's cloud: servers, agents, hypervisors, network, database and users, as the seed has made them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from polyvisor.hypervisor.simulated import SimulatedSettings
from polyvisor.model.agent import Agent as JoinedAgent
from polyvisor.model.domain import Domain
from polyvisor.model.flavor import Flavor
from polyvisor.model.host import HypervisorType
from polyvisor.model.image import Image, ImageRef, ImageStatus, Visibility
from polyvisor.model.project import Project
from polyvisor.model.settings import ComputeSettings
from polyvisor.operate.definition import Operation as Definition
from polyvisor.operate.kinds import KINDS
from polyvisor.schedule.settings import ScheduleSettings
from polyvisor.store.signals import Signals
from polyvisor.store.store import Store
from simulation.api import PROJECT, Answer, Api
from simulation.database import Cluster, Disk
from simulation.estate import Hypervisor, MemoryStorage
from simulation.faults import Fault, Strikes
from simulation.hub import Hub, Process
from simulation.invariants import Watch
from simulation.link import SERIAL
from simulation.network import Network
from simulation.processes import Agent, Machine, Server, agent_id
from simulation.standins import START
from simulation.trace import Trace
from simulation.users import FLAVOR, IMAGES, Users, Wish

COMPUTE = ComputeSettings(
    reserved_memory_mib=0, answer_seconds=8.0, fence_after_seconds=12.0, evacuate_after_seconds=42.0,
    evacuate_most_down=1.0,
)  # fmt: skip
SCHEDULE = ScheduleSettings(vcpu_ratio=1.0)
SMALL = SimulatedSettings(hosts=1, vcpus=2, memory_mib=2048, disk_gib=4)
PAIR = SimulatedSettings(hosts=2, vcpus=2, memory_mib=2048, disk_gib=4, hypervisor_type=HypervisorType.VMWARE)
AGENTS: dict[str, tuple[str, ...]] = {"kvm1-a": ("kvm1",), "kvm2-a": ("kvm2",), "vc-a": ("vc",), "vc-b": ("vc",)}
"""Every agent there may be, and what it may serve; the vCenter's two are each other's standby."""


class Plan(msgspec.Struct, frozen=True):
    """What the seed has decided beforehand."""

    seed: str
    servers: int
    places: tuple[str, ...]
    wishes: tuple[Wish, ...]
    faults: tuple[Fault, ...]
    automatic: bool
    """Servers of silent hosts are evacuated by themselves, and their agents turn their guests off."""
    shared: bool
    """Both KVM hosts reach the disks of each other's guests."""
    linger: bool
    """Go on for a while after all is quiet, and look again."""


class NoSource:
    """The simulated hosts need no bytes of images."""

    def fetch(self, image: ImageRef, target: Path) -> None:
        """There is none."""
        raise OSError("Simulated images have no bytes.")

    def local(self, image: ImageRef) -> Path | None:
        """There is none."""
        return None


class World:
    """All of it. `say` writes the trace, `moment` is where kills strike."""

    def __init__(self, plan: Plan, disk: Disk, api: Api, kinds: Mapping[str, Definition[Any]] = KINDS) -> None:
        self.plan, self.api, self.kinds = plan, api, kinds
        self.compute, self.schedule, self.source = COMPUTE, SCHEDULE, NoSource()
        self.trace = Trace()
        self.hub = Hub(f"{plan.seed}:chance", self.trace)
        disk.reset()
        self.cluster = Cluster(self.hub, disk)
        self.network = Network(self.hub)
        self.places = plan.places
        self.storage = MemoryStorage() if plan.shared else None
        self.hypervisors = {
            place: Hypervisor(self.hub, place, PAIR, None)
            if place == "vc"
            else Hypervisor(self.hub, place, SMALL, self.storage)
            for place in plan.places
        }
        self.host_names = [name for there in self.hypervisors.values() for name in self.hosts_of(there)]
        self.servers = [Server(self, f"server-{number + 1}") for number in range(plan.servers)]
        self.agents = [Agent(self, name, places) for name, places in AGENTS.items() if places[0] in plan.places]
        self.images = frozenset(IMAGES)
        self.healed = False
        self.fences = True
        self.surprises: list[str] = []

    def begin(self) -> None:
        """Everything starts."""
        self.no_signals = Signals()
        self.watch = Watch(self)
        self.cluster.after_commit = self.watch.after_commit
        for there in self.hypervisors.values():
            there.effect, there.began, there.ended = self._effect, self.watch.began, self.watch.ended
        self.users = Users(self, self.plan.wishes)
        self.strikes = Strikes(self, self.plan.faults)
        for machine in (*self.servers, *self.agents):
            machine.start()
        if self.plan.automatic:
            self.hub.at(1.5, self.users.ask_for_automatic_evacuation)

    def say(self, who: str, what: str, *details: Any) -> None:
        """Write a line of the trace."""
        self.trace.add(self.hub.now, who, what, *details)

    def moment(self, process: Process, name: str) -> None:
        """A process is where a kill or a stop may strike."""
        self.strikes.moment(process, name)

    def _effect(self, effect: Any) -> None:
        self.say(effect.process, "has done %s %s at %s", effect.call, effect.subject[:8], effect.place)
        if not effect.operation_id:  # no step, but the fence: nobody asked for that
            self.hypervisors[effect.place].touched[effect.subject] = None
        self.watch.effect(effect)

    def start_again(self, machine: Machine) -> None:
        """What watches over the machine starts its program, unless it runs or the machine has no power."""
        off = isinstance(machine, Agent) and not any(self.hypervisors[place].on for place in machine.places)
        if not machine.process.alive and not off:
            machine.start()

    def heal(self) -> None:
        """Every fault is over."""
        self.healed = True
        self.say("faults", "all are over")
        self.network.cuts.clear()
        self.network.loss_rate = self.network.double_rate = self.network.late_rate = 0.0
        self.cluster.down = self.cluster.full = False
        self.cluster.clock_off_seconds = 0.0
        self.cluster.cut_off.clear()
        self.cluster.deaf.clear()
        for there in self.hypervisors.values():
            there.power_on()
            there.cut_off.clear()
            there.refuse_rate = there.lose_reply_rate = 0.0
            there.delay_seconds, there.full = 0.004, False
        for machine in (*self.servers, *self.agents):
            if machine.process.paused:
                machine.process.go_on()
            self.start_again(machine)

    def hosts_of(self, there: Hypervisor) -> list[str]:
        """The names of a place's hosts."""
        return [f"{there.place}-{number:04d}" for number in range(1, there.settings.hosts + 1)]

    def touched(self) -> set[str]:
        """Servers whose guests were changed behind our back."""
        return {id for there in self.hypervisors.values() for id in there.touched}

    def time(self) -> datetime:
        """The time by the servers that are at work: their own clocks, of which the slowest counts."""
        return min(
            (server.clock() for server in self.servers if server.process.alive and server.ready),
            default=datetime.fromtimestamp(START + self.hub.now, UTC),
        )

    def note_error_answer(self, answer: Answer, method: str, path: str) -> None:
        """A 5xx: foreseen while the database cannot be reached, a surprise otherwise."""
        self.say("users", "found %s %s answered with %s", method, path, answer.status)


def prepare(disk: Disk) -> None:
    """What every history finds in the database: a project, a flavor, images, and agents that have joined."""
    dawn = datetime.fromtimestamp(START - 86_400, UTC)
    with disk.begun().begin():
        store = Store(disk.connection, Signals())
        store.domain.create(Domain(id="default", name="Default"))
        store.project.create(Project(id=PROJECT, name="project", domain_id="default"))
        store.quota.set(PROJECT, {"instances": -1, "cores": -1, "ram": -1})
        store.flavor.create(Flavor(id=FLAVOR, name="small", vcpus=1, memory_mib=512, root_gib=1, created_at=dawn))
        for id in IMAGES:
            store.image.create(
                Image(
                    id=id, name="image", owner=PROJECT, status=ImageStatus.ACTIVE, visibility=Visibility.PUBLIC,
                    disk_format="raw", container_format="bare", size_bytes=1, virtual_size_bytes=1,
                    created_at=dawn, updated_at=dawn,
                )
            )  # fmt: skip
        for name, places in AGENTS.items():
            joined = JoinedAgent(
                id=agent_id(name), name=name, certificate_serial=SERIAL,
                certificate_until=datetime.fromtimestamp(START + 10**8, UTC), created_at=dawn, seen_at=dawn,
            )  # fmt: skip
            store.agent.add(joined)
            store.agent.allow(joined.id, places)
    disk.keep_as_empty()


def plan_of(seed: str, most_faults: int, seconds: float, kinds: tuple[str, ...] = ()) -> Plan:
    """What the seed decides beforehand. `seconds`: for how long wishes and faults come."""
    from simulation.faults import schedule

    chance = random.Random(f"{seed}:plan")
    places = chance.choice((("kvm1",), ("kvm1", "kvm2"), ("vc",), ("kvm1", "vc"), ("kvm1", "kvm2", "vc"), ("vc",)))
    wishes = [
        Wish(
            at=round(chance.uniform(2.0, seconds), 3),
            kind=chance.choices(tuple(WISHES), tuple(WISHES.values()))[0],
            which=chance.randrange(60),
            to=chance.randrange(60),
        )
        for _ in range(chance.randint(3, 12))
    ]
    wishes.append(Wish(at=2.0, kind="create", which=chance.randrange(60), to=chance.randrange(60)))
    return Plan(
        seed=seed,
        servers=chance.choice((1, 2, 2, 3)),
        places=places,
        wishes=tuple(sorted(wishes, key=lambda wish: wish.at)),
        faults=schedule(chance, most_faults, seconds, kinds),
        automatic=chance.random() < 0.4,
        shared=chance.random() < 0.5,
        linger=chance.random() < 0.2,
    )


WISHES = {
    "create": 10,
    "delete": 5,
    "start": 1,
    "stop": 2,
    "pause": 1,
    "unpause": 1,
    "suspend": 1,
    "resume": 1,
    "reboot": 1,
    "hard reboot": 1,
    "console log": 1,
    "image delete": 1,
    "disable": 1,
    "enable": 1,
    "drain": 2,
    "undrain": 1,
}
"""What people ask for, and how often one thing beside the other."""
