"""The cloud without threads, with several places: each a simulated connection with one host and room for one server."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from polyvisor.hypervisor.driver import Unreachable
from polyvisor.hypervisor.simulated import SimulatedDriver
from polyvisor.model.host import HostState
from polyvisor.model.image import Image, ImageStatus, Visibility
from polyvisor.model.link import Inventory, Lease, Report
from polyvisor.model.migration import Migration
from polyvisor.model.order import ServerEvacuate, ServerMove
from polyvisor.model.server import Server, TaskState
from polyvisor.operate import inventory
from polyvisor.operate.step_run import StepRun, run_step
from tests.operate.cloud import EXACT, IMAGE, NO_RESERVE, ROOM_FOR_ONE, Cloud


@dataclass
class Running:
    """A guest that is on somewhere."""

    place: str
    server_id: str


class Places(Cloud):
    """Several places; `shared=True`: their hosts reach the same storage."""

    def __init__(
        self,
        directory: Path,
        *names: str,
        shared: bool = False,
        database_url: str = "",
        image: bool = True,
        networked: bool = False,
    ) -> None:
        self.names = names
        storage = str(directory / "storage") if shared else ""
        settings = msgspec.structs.replace(ROOM_FOR_ONE, storage_path=storage)
        self.drivers: dict[str, SimulatedDriver] = {}
        self.shared = shared
        for name in names[1:]:
            self.drivers[name] = SimulatedDriver(
                name,
                settings,
                directory / f"{name}.db",
                clock=lambda: self.now.timestamp(),
                sleep=lambda seconds: None,
            )
        super().__init__(
            directory, settings, NO_RESERVE, EXACT, place=names[0], database_url=database_url, networked=networked
        )
        self.look_around()
        self.look_around()  # a second time, when each host has seen the other's mark
        if image:
            self.put_image()

    def restart(self) -> None:
        """A new process."""
        super().restart()
        self.drivers[self.place] = self.simulated

    def work(self, leases: list[Lease]) -> tuple[Report, ...]:
        """Run leased steps, each with its place's driver."""
        source: Any = object()
        return tuple(
            run_step(StepRun(lease), self.kinds, self.drivers[lease.operation.place], source, self.now)
            for lease in leases
        )

    def close(self) -> None:
        """End."""
        for name, driver in self.drivers.items():
            if name != self.place:
                driver.close()
        super().close()

    def put_image(self) -> None:
        """Have the image that servers are made from."""
        with self.database.write() as store:
            store.image.create(
                Image(
                    id=IMAGE.id, name="image", owner="p", status=ImageStatus.ACTIVE, visibility=Visibility.PUBLIC,
                    disk_format="raw", container_format="bare", created_at=self.now, updated_at=self.now,
                )
            )  # fmt: skip

    # Looking around, and failing

    def look_around(self, *names: str) -> None:
        """What the observers of these places (all) do; one that does not answer says nothing: its agent is gone."""
        for name in names or self.names:
            self.now += timedelta(seconds=1)
            driver = self.drivers[name]
            try:
                found = Inventory(
                    place=name, since=self.now, hosts=tuple(driver.hosts()), guests=tuple(driver.guests())
                )
            except Unreachable:
                continue
            self.now += timedelta(seconds=1)
            with self.database.write() as store:
                inventory.take(store, self.engine.tools, found, self.now)

    def fail(self, place: str) -> None:
        """The place falls silent, and its hosts are seen to be down."""
        self.drivers[place].reachable = False
        with self.database.write() as store:
            store.host.down(place, "It is silent.")
            store.server.unknown_power(place)

    def come_back(self, place: str) -> None:
        """It answers again."""
        self.drivers[place].reachable = True
        self.look_around(place)

    # Asking

    def ask_to_evacuate(self, server_id: str, **more: Any) -> str:
        """What the API does; returns the operation's id."""
        with self.database.write() as store:
            store.operation.cancel(server_id, self.now)
            server = store.server.get(server_id)
            store.server.change(server_id, task_state=TaskState.REBUILDING)
        return self.begin("server.evacuate", server_id, ServerEvacuate(server=server, project_name="p", **more))

    def ask_to_move(self, server_id: str) -> str:
        """What a drain does; returns the operation's id."""
        order = ServerMove(server=self.server(server_id), project_name="p")
        return self.begin("server.move", server_id, order)

    # Moving on

    def turn(self, reports: tuple[Report, ...] = (), most: int = 8) -> list[Lease]:
        """One transaction of the engine, for the places that answer."""
        places = [name for name, driver in self.drivers.items() if driver.reachable]
        with self.database.write() as store:
            return self.engine.turn(store, self.now, owner=self.owner, places=places, reports=reports, most=most)

    def step(self, reports: tuple[Report, ...] = ()) -> tuple[Report, ...]:
        """One turn and the work that follows from it; returns the reports of the next turn."""
        return self.work(self.turn(reports))

    # Looking

    def running(self) -> list[Running]:
        """Every guest that is on, wherever, also where nobody answers."""
        return [
            Running(name, guest.server_id)
            for name, driver in sorted(self.drivers.items())
            for guest in driver.estate.guests()
            if guest.power.value == "on"
        ]

    def guests(self) -> list[tuple[str, str]]:
        """(place, server id) of every guest, on or off."""
        return [
            (name, guest.server_id) for name, driver in sorted(self.drivers.items()) for guest in driver.estate.guests()
        ]

    def cards(self, server_id: str) -> list[str]:
        """The ports that its guest has a card for, wherever it is."""
        guests = [each for driver in self.drivers.values() for each in driver.estate.guests()]
        [guest] = [each for each in guests if each.server_id == server_id]
        return [nic.port_id for nic in guest.nics]

    def disk(self, server_id: str) -> str | None:
        """What tells a server's shared disks from others; None where there are none."""
        storage = self.simulated.storage
        found = None if storage is None else storage.find(server_id)
        return None if found is None else found.content

    def migrations(self, server_id: str) -> list[Migration]:
        """The newest first."""
        with self.database.read() as store:
            return store.migration.of_server(server_id)

    def is_up(self, place: str) -> bool:
        """Whether the place's hosts are."""
        with self.database.read() as store:
            return all(host.state is HostState.UP for host in store.host.list(place=place))

    def make_server(self) -> Server:
        """A server that runs."""
        id = self.ask_for_server()
        self.settle()
        self.look_around()
        return self.server(id)

    def another(self, place: str) -> str:
        """The other one of two places."""
        return next(name for name in self.names if name != place)

    def everything(self) -> dict[str, Any]:
        """All that may be left over, at all places."""
        found = super().everything()
        found["guests"] = sorted(
            (name, guest.server_id, guest.host, guest.power)
            for name, driver in self.drivers.items()
            for guest in driver.estate.guests()
        )
        if self.simulated.storage is not None:
            found["disks"] = sorted(
                (path.name, self.simulated.storage.find(path.name).host)  # type: ignore[union-attr]
                for path in self.simulated.storage.directory.iterdir()
                if not path.name.startswith(".")
            )
        return found
