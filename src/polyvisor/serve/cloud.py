"""The running cloud: database, engine, workers and observers of one process."""

import logging
import socket
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from polyvisor.agent.steady import since_boot
from polyvisor.api.image.recovery import recover
from polyvisor.hypervisor.driver import Driver
from polyvisor.image.files import FileBackend
from polyvisor.operate import inventory
from polyvisor.operate.controller import Controller
from polyvisor.operate.engine import Engine
from polyvisor.operate.kinds import KINDS
from polyvisor.operate.local_link import LocalLink
from polyvisor.operate.station import Station
from polyvisor.operate.tools import ControlTools
from polyvisor.serve.configuration import Configuration
from polyvisor.serve.hypervisors import make_driver
from polyvisor.serve.image_source import LocalImageSource
from polyvisor.serve.observation import Observation
from polyvisor.store.database import Database

log = logging.getLogger(__name__)

CONTROL_SECONDS = 60.0
"""A control loop that has not turned for so long hangs: a turn takes milliseconds, and it looks every five seconds."""


def utc_now() -> datetime:
    """The clock of the running program."""
    return datetime.now(UTC)


class Cloud:
    """All that works behind the API in `polyvisor up`: the engine, and a worker with a driver per connection."""

    def __init__(
        self,
        configuration: Configuration,
        data: Path,
        database: Database,
        cloud_id: str,
        observation: Observation,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.database = database
        self._clock = clock
        self.images = FileBackend(data / "images")
        self.drivers: dict[str, Driver] = {
            wanted.name: make_driver(wanted, cloud_id, data) for wanted in configuration.hypervisor
        }
        self.engine = Engine(
            KINDS, ControlTools(configuration.compute, configuration.schedule, watch=observation.watch)
        )
        turned = observation.pulse("control_loop", "no operation moves on.", CONTROL_SECONDS)
        self._controller = Controller(database, self.engine, clock, name=socket.gethostname(), turned=turned)
        self._owner = f"up:{uuid.uuid4().hex[:12]}"
        link = LocalLink(database, self.engine, self._owner, clock)
        source = LocalImageSource(self.images)
        kinds = {wanted.name: wanted.driver for wanted in configuration.hypervisor}
        self._station = Station(
            observation.link.counted(link),
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
        observation.station(self._station, kinds)
        observation.store(database, clock)
        self.observers = list(self._station.observers.values())

    def start(self) -> None:
        """Take up what an earlier process left, and go on."""
        with self.database.write() as store:
            # One process has the data directory to itself, so whoever held these leases is dead.
            left = store.operation.release_leases("up:")
            inventory.set_aside(store, self.drivers)
            images = recover(store, self.images, self._clock())
        if left:
            log.info("going on with %d operations that an earlier process had under way", left)
        if images.requeued:
            log.info("queued again, for their upload had died: images %s", ", ".join(images.requeued))
        self._controller.start()
        if self.drivers:
            self._station.start()

    def stop(self) -> bool:
        """End in order: nothing new is begun, what is under way is reported; whether all of it has ended."""
        ended = self._station.stop() if self.drivers else True
        self._controller.stop()
        for driver in self.drivers.values():
            driver.close()
        return ended
