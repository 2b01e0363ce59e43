"""The running cloud: database, engine, workers and observers of one process."""

import logging
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from polyvisor.agent.private_file import write_private
from polyvisor.agent.steady import since_boot
from polyvisor.api.image.recovery import recover
from polyvisor.hypervisor.driver import Driver
from polyvisor.image.files import FileBackend
from polyvisor.operate import inventory
from polyvisor.operate.controller import Controller
from polyvisor.operate.engine import Engine
from polyvisor.operate.gate import Gate
from polyvisor.operate.kinds import KINDS
from polyvisor.operate.local_link import LocalLink
from polyvisor.operate.station import Station
from polyvisor.operate.tools import ControlTools
from polyvisor.serve import network
from polyvisor.serve.configuration import Configuration
from polyvisor.serve.hypervisors import make_driver
from polyvisor.serve.image_source import LocalImageSource
from polyvisor.serve.local_metadata import LocalMetadataLink
from polyvisor.serve.metadata import station_maker
from polyvisor.serve.observation import Observation
from polyvisor.store.database import Database
from polyvisor.store.store import Store

log = logging.getLogger(__name__)

CONTROL_SECONDS = 60.0
"""A control loop that has not turned for so long hangs: a turn takes milliseconds, and it looks every five seconds."""
KEEPER_SECONDS = 900.0
"""A keeper of networks that has not turned for so long hangs: to fill an empty OVN may take minutes."""


def utc_now() -> datetime:
    """The clock of the running program."""
    return datetime.now(UTC)


class Cloud:
    """All that works behind the API: the engine, the gate, and in `polyvisor up` a worker with its drivers."""

    def __init__(
        self,
        configuration: Configuration,
        data: Path,
        database: Database,
        cloud_id: str,
        observation: Observation,
        images: FileBackend,
        name: str,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """`configuration`: with its network backend chosen; `name`: of the control process, unique in the cloud."""
        self.database = database
        self._clock = clock
        self._name = name
        self.images = images
        self.drivers: dict[str, Driver] = {
            wanted.name: make_driver(wanted, cloud_id, data) for wanted in configuration.hypervisor
        }
        self.engine = Engine(
            KINDS, ControlTools(configuration.compute, configuration.schedule, watch=observation.watch)
        )
        turned = observation.pulse("control_loop", "no operation moves on.", CONTROL_SECONDS)
        self.gate = Gate(database, self.engine, clock)
        late = self.gate.pace.late_seconds
        self._controller = Controller(database, self.engine, clock, name=name, turned=turned, late_seconds=late)
        self._keeper = None
        if configuration.network.backend != "none":
            turned = observation.pulse("network_keeper", "no network changes.", KEEPER_SECONDS)
            self._keeper = network.keeper(configuration.network, database, clock, since_boot, turned)
            observation.networks(self._keeper)
        self._owners = f"up:{_directory_id(data)}:"
        link = LocalLink(self.gate, self._owners + uuid.uuid4().hex[:12], clock)
        source = LocalImageSource(self.images)
        kinds = {wanted.name: wanted.driver for wanted in configuration.hypervisor}
        self._station = Station(
            observation.counted(link),
            self.drivers,
            kinds,
            KINDS,
            lambda _step: source,
            clock,
            since_boot,
            threads=configuration.operate.threads,
            inventory_seconds=configuration.operate.inventory_seconds,
            watch=observation.watch,
        )
        make = station_maker(configuration.hypervisor)
        self._guests = make(LocalMetadataLink(database, tuple(self.drivers))) if make is not None else None
        if self._guests is not None:
            observation.guests(self._guests)
        observation.station(self._station, kinds)
        observation.store(database, clock)
        self.observers = list(self._station.observers.values())

    def start(self, agent_urls: tuple[str, ...] = ()) -> None:
        """Take up what an earlier process left, and go on. `agent_urls`: where agents reach this process."""
        now = self._clock()
        with self.database.write() as store:
            # One process has the data directory to itself, so whoever held these is dead. Where it has the database to
            # itself, too, so is every other process there was.
            alone = self.database.is_sqlite
            owners = "up:" if alone else self._owners
            left = store.operation.release_leases(owners)
            store.place.let_go(owners, now)
            if self.drivers or alone:
                inventory.set_aside(store, {*self.drivers, *self._of_others(store)})
            images = recover(store, self.images, now, alone=alone)
        if left:
            log.info("going on with %d operations that an earlier process had under way", left)
        if images.requeued:
            log.info("queued again, for their upload had died: images %s", ", ".join(images.requeued))
        self._controller.start()
        if self._keeper is not None:
            self._keeper.start()
        if agent_urls:
            self.serve_agents(agent_urls)
        if self.drivers:
            self._station.start()
        if self._guests is not None:
            self._guests.start()

    def serve_agents(self, urls: tuple[str, ...]) -> None:
        """Have agents told that they reach this process at `urls`, or no longer."""
        with self.database.write() as store:
            store.control.serve_agents(self._name, urls)

    def _of_others(self, store: Store) -> set[str]:
        """The places that agents serve, or `polyvisor up` with another data directory."""
        return {one.name for one in store.place.list() if one.agent_id or not one.holder.startswith(self._owners)}

    def stop(self) -> bool:
        """End in order: nothing new is begun, what is under way is reported; whether all of it has ended."""
        if self._guests is not None:
            self._guests.stop()
        ended = self._station.stop() if self.drivers else True
        self._controller.stop()
        if self._keeper is not None:
            self._keeper.stop()
        for driver in self.drivers.values():
            driver.close()
        return ended


def _directory_id(data: Path) -> str:
    """What tells this data directory from others, made at its first use."""
    path = data / "id"
    if not path.exists():
        write_private(path, f"{uuid.uuid4().hex[:12]}\n".encode())
    return path.read_text(encoding="ascii").strip()[:24]
