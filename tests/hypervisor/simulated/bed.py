"""The simulated driver, on a world in a file."""

import json
import shutil
import sqlite3
import tempfile
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from polyvisor.hypervisor.driver import Driver
from polyvisor.hypervisor.simulated import SimulatedDriver, SimulatedSettings
from polyvisor.hypervisor.simulated.estate import SimulatedEstate, SimulatedGuest
from polyvisor.model.network import NetworkType, SegmentRef
from polyvisor.model.power import Power
from testbed.guest import build
from tests.hypervisor.conformance import Bed

PLACE = "simulated"


class SimulatedBed(Bed):
    """Two simulated hosts."""

    kind = "simulated"
    boots = False
    has_console = False
    has_images = False

    def __enter__(self) -> "SimulatedBed":
        self._directory = Path(tempfile.mkdtemp(prefix="pv-simulated-"))
        return self

    def __exit__(self, *exception: object) -> None:
        shutil.rmtree(self._directory)

    @property
    def _world(self) -> Path:
        return self._directory / "world.db"

    @property
    def recipe(self) -> dict[str, Any]:
        return {"world": str(self._world)}

    @staticmethod
    def connect(recipe: dict[str, Any]) -> Driver:
        return SimulatedDriver(PLACE, SimulatedSettings(hosts=2), Path(recipe["world"]))

    @property
    def image_file(self) -> Path:
        return build().qcow2

    @property
    def image_format(self) -> str:
        return "qcow2"

    def traces(self) -> set[str]:
        return {f"guest {server_id}" for (server_id,) in self._read("SELECT server_id FROM guest")}

    def plant_foreign(self) -> str:
        guest_id = str(uuid.uuid4())
        estate = SimulatedEstate(self._world)
        guest = SimulatedGuest(server_id=guest_id, name="foreign", host=f"{PLACE}-0001", power=Power.ON, foreign=True)
        estate.put(guest)
        estate.close()
        return guest_id

    def foreign_state(self, guest_id: str) -> str:
        return str(self._read("SELECT value FROM guest WHERE server_id = ?", guest_id))

    def remove_foreign(self, guest_id: str) -> None:
        estate = SimulatedEstate(self._world)
        estate.remove(guest_id)
        estate.close()

    def change_power(self, driver: Driver, server_id: str, power: Power) -> None:
        cast(SimulatedDriver, driver).change_behind_our_back(server_id, power)

    def vanish(self, driver: Driver, server_id: str) -> None:
        cast(SimulatedDriver, driver).change_behind_our_back(server_id, None)

    @property
    def segment(self) -> SegmentRef:
        return SegmentRef(network_type=NetworkType.GENEVE, segmentation_id=7)

    def plugged(self, driver: Driver, server_id: str) -> list[str]:
        [(value,)] = self._read("SELECT value FROM guest WHERE server_id = ?", server_id)
        return [nic["mac_address"] for nic in json.loads(value)["nics"]]

    def kill(self, driver: Driver) -> None:
        cast(SimulatedDriver, driver).reachable = False

    def revive(self, driver: Driver) -> None:
        cast(SimulatedDriver, driver).reachable = True

    def _read(self, statement: str, *values: str) -> list[tuple[Any, ...]]:
        if not self._world.exists():
            return []
        with closing(sqlite3.connect(self._world)) as world:
            return world.execute(statement, values).fetchall()
