"""A cloud without threads: the engine, one simulated host with room for exactly one server, and chosen faults."""

import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from polyvisor.hypervisor.driver import Driver
from polyvisor.hypervisor.simulated import SimulatedDriver, SimulatedSettings
from polyvisor.model.flavor import Flavor
from polyvisor.model.image import ImageRef
from polyvisor.model.link import Inventory, Lease, Report
from polyvisor.model.network_list import everything
from polyvisor.model.operation import UNFINISHED, Operation, OperationState
from polyvisor.model.order import ServerCreate, ServerInterface, ServerTarget
from polyvisor.model.place import PlaceRequest
from polyvisor.model.port import Port
from polyvisor.model.server import Server, ServerPort, TaskState
from polyvisor.model.settings import ComputeSettings
from polyvisor.operate import inventory
from polyvisor.operate.engine import LEASE_SECONDS, Engine
from polyvisor.operate.kinds import KINDS
from polyvisor.operate.step_run import StepRun, run_step
from polyvisor.operate.tools import ControlTools
from polyvisor.schedule.settings import ScheduleSettings
from tests.databases import sqlite_url, with_tables
from tests.operate.networks import VLAN, put_network, put_port

FLAVOR = Flavor(id="1", name="m1", vcpus=1, memory_mib=512, root_gib=1, created_at=datetime(2026, 1, 1, tzinfo=UTC))
IMAGE = ImageRef(
    id="11111111-2222-4333-8444-555555555555", disk_format="raw", container_format="bare", size_bytes=1,
    virtual_size_bytes=1, sha512="",
)  # fmt: skip
ROOM_FOR_ONE = SimulatedSettings(hosts=1, vcpus=1, memory_mib=512, disk_gib=1)
NO_RESERVE = ComputeSettings(reserved_memory_mib=0)
EXACT = ScheduleSettings(vcpu_ratio=1.0)


class Killed(BaseException):
    """The process is gone: nothing after this moment happens."""


class Cloud:
    """Moves by hand: `turn()` is one transaction of the engine, `work()` runs what is leased. So does the clock."""

    def __init__(
        self,
        directory: Path,
        settings: SimulatedSettings = ROOM_FOR_ONE,
        compute: ComputeSettings = NO_RESERVE,
        schedule: ScheduleSettings = EXACT,
        seed: int = 1,
        place: str = "sim",
        database_url: str = "",
        networked: bool = False,
    ) -> None:
        """`database_url`: where it keeps its records; a file of its own by default. `networked`: each server has a
        port that was made for it; the first has the one that was there before as well."""
        self.directory, self.seed, self.place = directory, seed, place
        self.compute, self.schedule = compute, schedule
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.database = with_tables(database_url or sqlite_url(directory))
        self.simulated = SimulatedDriver(
            place, settings, directory / "simulated.db", clock=lambda: self.now.timestamp(), sleep=lambda seconds: None
        )
        self.driver: Driver = self.simulated
        self.ids = random.Random(seed)
        self.kinds = dict(KINDS)
        self.restart()
        self.take_inventory()
        self.networked = networked
        if networked:
            self._put_networks()

    def _put_networks(self) -> None:
        with self.database.write() as store:
            self.network = put_network(store, 1, project_id="p", now=self.now)
            self.given = put_port(
                store, self.new_id(), put_network(store, 2, project_id="p", now=self.now, segment=VLAN), self.now
            ).id

    def restart(self) -> None:
        """A new process: all that the old one had in memory is gone."""
        self.engine = Engine(self.kinds, ControlTools(self.compute, self.schedule, self.seed))
        self.owner = f"up:{self.new_id()}"
        with self.database.write() as store:
            store.operation.release_leases("up:")

    def close(self) -> None:
        """End."""
        self.simulated.close()
        self.database.close()

    def new_id(self) -> str:
        """A uuid from the seed."""
        return str(uuid.UUID(int=self.ids.getrandbits(128), version=4))

    # Asking

    def take_inventory(self) -> None:
        """What the observer does."""
        self.now += timedelta(seconds=1)
        found = Inventory(
            place=self.place, since=self.now, hosts=tuple(self.driver.hosts()), guests=tuple(self.driver.guests())
        )
        self.now += timedelta(seconds=1)
        with self.database.write() as store:
            inventory.take(store, self.engine.tools, found, self.now)

    def ask_for_server(self, name: str = "one") -> str:
        """What the API does; returns the server's id."""
        self.now += timedelta(seconds=1)
        id = self.new_id()
        server = Server(
            id=id, name=name, project_id="p", user_id="u", hostname=name, flavor=FLAVOR, image=IMAGE,
            reservation_id="r", task_state=TaskState.SCHEDULING, created_at=self.now, updated_at=self.now,
            ports=self._put_ports(id) if self.networked else (),
        )  # fmt: skip
        request = PlaceRequest(server_id=id, project_id="p", vcpus=1, memory_mib=512, disk_gib=1, image=IMAGE)
        order = ServerCreate(server=server, request=request, project_name="project", admin_password="once")
        with self.database.write() as store:
            store.server.create([server])
        self.begin("server.create", id, order)
        return id

    def _put_ports(self, server_id: str) -> tuple[ServerPort, ...]:
        owner = {"device_id": server_id, "device_owner": "compute:nova"}
        with self.database.write() as store:
            made = put_port(store, self.new_id(), self.network, self.now, **owner)
            ports = (ServerPort(port_id=made.id, made=True, tag="first"),)
            given = store.port.get(self.given)
            if given.device_id:
                return ports
            store.port.change(given, owner, self.now)
            return (*ports, ServerPort(port_id=given.id))

    def ask_to_attach(self, server_id: str, *, made: bool = True) -> str:
        """What the API does, with a new port, or with one that was there before; returns the port's id."""
        owner = {"device_id": server_id, "device_owner": "compute:nova"}
        with self.database.write() as store:
            port = put_port(store, self.new_id(), self.network, self.now, **owner)
            server = store.server.get(server_id)
            store.server.change(server_id, ports=(*server.ports, ServerPort(port_id=port.id, made=made)))
        self.begin("server.attach_interface", server_id, ServerInterface(server_id=server_id, port_id=port.id))
        return port.id

    def ask_to_detach(self, server_id: str, port_id: str) -> str:
        """What the API does; returns the operation's id."""
        return self.begin("server.detach_interface", server_id, ServerInterface(server_id=server_id, port_id=port_id))

    def ask_for_end(self, server_id: str) -> str:
        """What the API does; returns the operation's id."""
        with self.database.write() as store:
            store.operation.cancel(server_id, self.now)
        return self.begin("server.delete", server_id, ServerTarget(server_id=server_id))

    def begin(self, kind: str, target: str, args: Any) -> str:
        """Record an operation."""
        id = self.new_id()
        with self.database.write() as store:
            store.operation.begin(
                id=id, kind=kind, target_id=target, project_id="p", user_id="u", request_id="req",
                args=msgspec.to_builtins(args), now=self.now,
            )  # fmt: skip
        return id

    # Moving on

    def turn(self, reports: tuple[Report, ...] = (), most: int = 8) -> list[Lease]:
        """One transaction of the engine."""
        with self.database.write() as store:
            return self.engine.turn(store, self.now, owner=self.owner, places=[self.place], reports=reports, most=most)

    def work(self, leases: list[Lease]) -> tuple[Report, ...]:
        """Run leased steps, as a worker's threads do."""
        source: Any = object()
        return tuple(run_step(StepRun(lease), self.kinds, self.driver, source, self.now) for lease in leases)

    def settle(self, most_turns: int = 500) -> None:
        """Go on until nothing is unfinished; time passes as it has to."""
        reports: tuple[Report, ...] = ()
        for _ in range(most_turns):
            reports = self.work(self.turn(reports))
            if not reports:
                if not self.unfinished():
                    return
                self.now += timedelta(seconds=1)
        raise AssertionError(f"still unfinished after {most_turns} turns: {self.unfinished()}")

    def wait_out_leases(self) -> None:
        """Whoever held a lease is dead."""
        self.now += timedelta(seconds=LEASE_SECONDS + 1)

    # Looking

    def unfinished(self) -> list[Operation]:
        """Operations that have not ended."""
        with self.database.read() as store:
            return store.operation.list(states=UNFINISHED, limit=1000)

    def operations(self, *states: OperationState) -> list[Operation]:
        """Operations, the newest first."""
        with self.database.read() as store:
            return store.operation.list(states=states, limit=1000)

    def server(self, id: str) -> Server:
        """A server, deleted or not."""
        with self.database.read() as store:
            return store.server.get(id, deleted=True)

    def ports(self, server_id: str) -> list[Port]:
        """The server's, in the order of its cards."""
        with self.database.read() as store:
            server = store.server.get(server_id, deleted=True)
            found = store.port.of_ids([port.port_id for port in server.ports])
        return [found[port.port_id] for port in server.ports]

    def cards(self, server_id: str) -> list[str]:
        """The ports that its guest has a card for, in order."""
        [guest] = [each for each in self.simulated.estate.guests() if each.server_id == server_id]
        return [nic.port_id for nic in guest.nics]

    def everything(self) -> dict[str, Any]:
        """All that may be left over: guests, claims, and what hosts think they have given away."""
        with self.database.read() as store:
            claims = sorted((claim.server_id, claim.host) for claim in store.host.claims())
            used = [
                (host.name, host.used_vcpus, host.used_memory_mib, host.used_disk_gib, host.servers)
                for host in store.host.list()
            ]
            bound = store.port.list(everything()) if self.networked else []
            plugged = sorted((port.device_id, port.binding.host) for port in bound if port.binding.host)
        guests = sorted((guest.server_id, guest.host, guest.power) for guest in self.simulated.estate.guests())
        return {"claims": claims, "used": used, "guests": guests, "plugged": plugged}


def replaced(kinds: dict[str, Any], kind: str, step: str, part: str, by: Callable[[Callable[..., Any]], Any]) -> None:
    """Put a wrapped function in the place of one step's `do` or `undo_step`, in a copy of the operation."""
    import copy

    operation = copy.copy(kinds[kind])
    operation.steps = [copy.copy(each) for each in operation.steps]
    for each in operation.steps:
        if each.name == step:
            setattr(each, part, by(getattr(each, part)))
    kinds[kind] = operation
