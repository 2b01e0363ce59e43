"""The hypervisors of a history: the product's simulated estate, behind a network and with moods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from polyvisor.hypervisor import permit
from polyvisor.hypervisor.driver import GuestSpec, HypervisorError, Unreachable
from polyvisor.hypervisor.permit import ensure_permitted
from polyvisor.hypervisor.simulated import SimulatedDriver, SimulatedSettings
from polyvisor.hypervisor.simulated.estate import SimulatedEstate, SimulatedGuest
from polyvisor.hypervisor.simulated.storage import SimulatedDisk, SimulatedStorage
from polyvisor.model.host import Datastore
from polyvisor.model.image import ImageRef
from polyvisor.model.operation import Operation
from polyvisor.model.power import Power
from polyvisor.operate.step_run import StepRun
from simulation.hub import Hub, Process
from simulation.standins import START

CHANGING = (
    "prepare_image", "forget_images", "create", "destroy", "take_over", "let_go", "set_power", "shut_down", "reset",
    "restart",
)  # fmt: skip
"""The calls whose effect stays: these are what fencing is about."""


class MemoryEstate(SimulatedEstate):
    """The simulated world without a file: it outlives its processes in this one's memory."""

    def __init__(self) -> None:
        self._guests: dict[str, SimulatedGuest] = {}
        self._images: dict[str, set[str]] = {}

    def guests(self) -> list[SimulatedGuest]:
        """All of them."""
        return list(self._guests.values())

    def get(self, server_id: str) -> SimulatedGuest | None:
        """One guest."""
        return self._guests.get(server_id)

    def put(self, guest: SimulatedGuest) -> None:
        """Make or change a guest."""
        self._guests[guest.server_id] = guest

    def remove(self, server_id: str) -> None:
        """End a guest."""
        self._guests.pop(server_id, None)

    def images(self, host: str) -> frozenset[str]:
        """Ids of the images cached on a host."""
        return frozenset(self._images.get(host, ()))

    def add_image(self, host: str, id: str) -> None:
        """Cache an image on a host."""
        self._images.setdefault(host, set()).add(id)

    def remove_image(self, host: str, id: str) -> None:
        """Forget a cached image."""
        self._images.get(host, set()).discard(id)

    def close(self) -> None:
        """Nothing to close."""


class MemoryStorage(SimulatedStorage):
    """The storage that hosts share, without files."""

    def __init__(self) -> None:
        self.disks: dict[str, SimulatedDisk] = {}
        self._marks: frozenset[str] = frozenset()

    def find(self, server_id: str) -> SimulatedDisk | None:
        """The disks of a server."""
        return self.disks.get(server_id)

    def remove(self, server_id: str, hosts: frozenset[str]) -> None:
        """As the real one."""
        disk = self.disks.get(server_id)
        if disk is not None and disk.host in hosts:
            del self.disks[server_id]

    def _write(self, server_id: str, disk: SimulatedDisk) -> None:
        self.disks[server_id] = disk

    def marked(self, datastore: Datastore, host: str) -> Datastore:
        """With the names of the hosts that have looked at it, this one's too."""
        self._marks |= {host}
        return msgspec.structs.replace(datastore, id="shared", marks=self._marks)


class _Driver(SimulatedDriver):
    """The simulated driver, for storage in memory."""

    def _datastore(self, host: str) -> Datastore:
        storage, self.storage = self.storage, None
        found = super()._datastore(host)
        self.storage = storage
        return storage.marked(found, host) if isinstance(storage, MemoryStorage) else found


class Effect(msgspec.Struct, frozen=True):
    """Something that was changed at a hypervisor."""

    at: float
    process: str
    place: str
    call: str
    subject: str
    """The server's id, the image's or the host's name."""
    epoch: int
    """Of the hold under which the process thought it acted."""
    operation_id: str = ""
    lease_owner: str = ""
    lease_epoch: int = 0


class Hypervisor:
    """What one place is: its hosts' estate, and how it treats those who call."""

    def __init__(self, hub: Hub, place: str, settings: SimulatedSettings, storage: MemoryStorage | None) -> None:
        """`storage`: where its guests' disks lie, when other places reach it too."""
        self.hub, self.place, self.settings, self.storage = hub, place, settings, storage
        self.estate = MemoryEstate()
        self.on = True
        """Off = the machine has no power: nobody answers, and its guests do not run."""
        self.cut_off: set[str] = set()
        """Names of the processes that do not reach it."""
        self.refuse_rate = self.lose_reply_rate = 0.0
        self.delay_seconds = 0.004
        self.full = False
        self.effect: Callable[[Effect], None] = lambda effect: None
        self.began: Callable[[str, str, Any], None] = lambda place, subject, task: None
        self.ended: Callable[[str, str, Any], None] = lambda place, subject, task: None
        self.touched: dict[str, None] = {}
        """Guests that were changed behind our back."""
        self.strangers: dict[str, None] = {}
        """Guests that the database has never known."""

    def power_off(self) -> None:
        """The machine loses its power, and its guests theirs; their disks stay."""
        self.on = False
        for guest in self.estate.guests():
            self.estate.put(msgspec.structs.replace(guest, power=Power.OFF, before=Power.OFF, power_at=0.0))
            self.touched[guest.server_id] = None

    def power_on(self) -> None:
        """The machine starts; its guests stay off."""
        self.on = True

    def seconds(self) -> float:
        """Its own clock."""
        return START + self.hub.now


class Connection:
    """One process's driver for one place: the product's simulated driver, at the end of a network."""

    def __init__(
        self,
        hypervisor: Hypervisor,
        process: Process,
        moment: Callable[[Process, str], None],
        epoch: Callable[[str], int],
    ) -> None:
        self.place = hypervisor.place
        self.hypervisor, self.process, self._moment, self.epoch = hypervisor, process, moment, epoch
        self._driver = _Driver(
            hypervisor.place, hypervisor.settings, None, clock=hypervisor.seconds, sleep=lambda seconds: None
        )
        self._driver.estate.close()
        self._driver.estate = hypervisor.estate
        self._driver.storage = hypervisor.storage

    def close(self) -> None:
        """Nothing to close."""

    def _call(self, name: str, subject: str, *args: Any, **named: Any) -> Any:
        there, hub = self.hypervisor, self.hypervisor.hub
        hub.check_alive()
        hub.sleep(hub.chance.uniform(0.2, 1.0) * there.delay_seconds)
        changing = name in CHANGING
        if not there.on or self.process.name in there.cut_off:
            hub.sleep(hub.chance.uniform(0.1, 3.0))
            if not there.on or self.process.name in there.cut_off:
                raise Unreachable(f"{self.place} does not answer.")
        self._moment(self.process, "call" if changing else "look")
        if not changing:
            return self._reply(getattr(self._driver, name)(*args, **named), changing=False)
        ensure_permitted()
        task = hub.current
        there.began(self.place, subject, task)
        try:
            return self._change(name, subject, *args, **named)
        finally:
            there.ended(self.place, subject, task)

    def _change(self, name: str, subject: str, *args: Any, **named: Any) -> Any:
        there, hub = self.hypervisor, self.hypervisor.hub
        if there.refuse_rate and hub.chance.random() < there.refuse_rate:
            raise HypervisorError(f"{self.place} refused.")
        if there.full and name in ("create", "prepare_image"):
            raise HypervisorError(f"The disk of {self.place} is full: free some space.")
        result = getattr(self._driver, name)(*args, **named)
        there.effect(self._effect(name, subject))
        self._moment(self.process, "effect")
        return self._reply(result, changing=True)

    def _reply(self, result: Any, *, changing: bool) -> Any:
        there, hub = self.hypervisor, self.hypervisor.hub
        hub.sleep(hub.chance.uniform(0.2, 1.0) * there.delay_seconds)
        lost = changing and there.lose_reply_rate and hub.chance.random() < there.lose_reply_rate
        if not there.on or self.process.name in there.cut_off or lost:
            raise Unreachable(f"{self.place} broke the connection before it answered.")
        return result

    def _effect(self, call: str, subject: str) -> Effect:
        row = _step_at_work()
        return Effect(
            at=self.hypervisor.hub.now,
            process=self.process.name,
            place=self.place,
            call=call,
            subject=subject,
            epoch=self.epoch(self.place),
            operation_id="" if row is None else row.id,
            lease_owner="" if row is None else row.lease_owner,
            lease_epoch=0 if row is None else row.lease_epoch,
        )

    def watch(self, changed: Callable[[str], None]) -> None:
        """The estate tells nobody: inventories must find out."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Every other method of the driver, with the network around it."""
        if name.startswith("_") or not callable(getattr(SimulatedDriver, name, None)):
            raise AttributeError(name)
        return lambda *args, **named: self._call(name, _subject(name, args), *args, **named)


def _step_at_work() -> Operation | None:
    """The operation whose step makes this call, as it was leased."""
    at_work = getattr(permit._check.get(), "__self__", None)
    return at_work.lease.operation if isinstance(at_work, StepRun) else None


def _subject(name: str, args: tuple[Any, ...]) -> str:
    """The server (or image, or host) that a call is about; empty where it is about none."""
    if name in ("create", "take_over"):
        spec: GuestSpec = args[2 if name == "create" else 1]
        return spec.server_id
    if name == "prepare_image":
        image: ImageRef = args[1]
        return image.id
    return args[0] if args and isinstance(args[0], str) else ""
