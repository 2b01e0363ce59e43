"""The simulated driver: every method of the Protocol, true to it, without a hypervisor below."""

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from polyvisor.hypervisor import storage_mark
from polyvisor.hypervisor.driver import (
    Console,
    GuestSpec,
    HypervisorError,
    ImageSource,
    Progress,
    Unreachable,
)
from polyvisor.hypervisor.permit import ensure_permitted
from polyvisor.hypervisor.simulated.estate import SimulatedEstate, SimulatedGuest
from polyvisor.hypervisor.simulated.settings import SimulatedSettings
from polyvisor.hypervisor.simulated.storage import SimulatedStorage
from polyvisor.model.guest import GuestReport
from polyvisor.model.host import Capacity, Datastore, HostReport
from polyvisor.model.image import ImageRef
from polyvisor.model.nic import Nic
from polyvisor.model.power import Power

GIB = 1024**3


class SimulatedDriver:
    """A connection to hosts that exist in a file only."""

    def __init__(
        self,
        place: str,
        settings: SimulatedSettings,
        state: Path | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`state`: the file that holds the guests; None = they end with this object."""
        self.place = place
        self.estate = SimulatedEstate(state)
        self.storage = SimulatedStorage(Path(settings.storage_path)) if settings.storage_path else None
        self.reachable = True
        """Set to False to make every call raise Unreachable, as when a vCenter is gone."""
        self._settings = settings
        self._clock, self._sleep = clock, sleep
        self._chance = random.Random(settings.seed)  # noqa: S311 - it decides on simulated faults
        self._chance_lock = threading.Lock()
        self._changed: Callable[[str], None] = lambda _server_id: None
        width = max(4, len(str(settings.hosts)))
        self._names = [f"{place}-{number:0{width}d}" for number in range(1, settings.hosts + 1)]

    def close(self) -> None:
        """Close the file. Guests stay in it."""
        self.estate.close()

    # What is there

    def hosts(self) -> list[HostReport]:
        """As many equal hosts as the settings say."""
        self._answer()
        return [self._report(name) for name in self._names]

    def _report(self, name: str) -> HostReport:
        size = self._settings
        return HostReport(
            name=name,
            hypervisor_type=size.hypervisor_type,
            hypervisor_version=1_000_000,
            architecture=size.architecture,
            capacity=Capacity(vcpus=size.vcpus, memory_mib=size.memory_mib, disk_gib=size.disk_gib),
            largest_vcpus=size.vcpus,
            largest_memory_mib=size.memory_mib,
            traits=frozenset(size.traits),
            datastores=(self._datastore(name),),
            cached_images=self.estate.images(name),
            cpu_info="simulated",
            address="127.0.0.1",
            overlay=size.overlay,
            physical_networks=frozenset(size.physical_networks),
        )

    def _datastore(self, host: str) -> Datastore:
        size_bytes = self._settings.disk_gib * GIB
        found = Datastore(name="simulated", kind="dir", capacity_bytes=size_bytes, free_bytes=size_bytes)
        return found if self.storage is None else storage_mark.marked(found, self.storage.directory, host)

    def guests(self) -> list[GuestReport]:
        """Every guest; now and then one has vanished before."""
        self._answer()
        guests = self.estate.guests()
        if guests and self._hits(self._settings.vanish_rate):
            with self._chance_lock:
                lost = self._chance.choice(guests)
            self.estate.remove(lost.server_id)
            guests.remove(lost)
        return [self._seen(guest) for guest in guests]

    def look(self, server_id: str) -> GuestReport | None:
        """One guest of ours."""
        self._answer()
        guest = self.estate.get(server_id)
        return None if guest is None or guest.foreign else self._seen(guest)

    def _seen(self, guest: SimulatedGuest) -> GuestReport:
        power = guest.power if self._clock() >= guest.power_at else guest.before
        return GuestReport(
            server_id=None if guest.foreign else guest.server_id, name=guest.name, host=guest.host, power=power
        )

    def watch(self, changed: Callable[[str], None]) -> None:
        """Tell of changes made through `change_behind_our_back`."""
        self._changed = changed

    # Images

    def prepare_image(self, host: str, image: ImageRef, source: ImageSource, progress: Progress) -> str:
        """Remember the image as cached."""
        if image.id not in self.estate.images(host):
            self._work()
            progress(1.0, "image")
            self.estate.add_image(host, image.id)
        return "simulated"

    def forget_images(self, host: str, keep: frozenset[str]) -> list[str]:
        """Forget those not kept."""
        self._work()
        gone = sorted(self.estate.images(host) - keep)
        for id in gone:
            self.estate.remove_image(host, id)
        return gone

    # Guests

    def create(self, host: str, datastore: str, spec: GuestSpec, source: ImageSource, progress: Progress) -> None:
        """Make the guest where there is none."""
        if host not in self._names:
            raise HypervisorError(f"{self.place} has no host named {host}.")
        with self._replying():
            self._work()
            progress(1.0, "guest")
            if self.storage is not None:
                self.storage.make(spec.server_id, host)
            self._define(host, spec)

    def destroy(self, server_id: str) -> None:
        """Remove the guest, unless it is somebody else's."""
        with self._replying():
            self._work()
            guest = self.estate.get(server_id)
            if guest is not None and not guest.foreign:
                self.estate.remove(server_id)
            if self.storage is not None and (guest is None or not guest.foreign):
                self.storage.remove(server_id, frozenset(self._names))

    def take_over(self, host: str, spec: GuestSpec, source: ImageSource, progress: Progress) -> None:
        """Make the guest, off, on disks that lie on the shared storage."""
        with self._replying():
            self._work()
            if self.storage is None:
                raise HypervisorError(f"{self.place} has no storage that it shares.")
            self.storage.take(spec.server_id, host)
            guest = self.estate.get(spec.server_id)
            if guest is not None and guest.host != host:
                self.estate.remove(spec.server_id)
            self._define(host, spec)

    def let_go(self, server_id: str, to: str) -> None:
        """End the guest, and leave its disks to another host."""
        with self._replying():
            self._work()
            guest = self.estate.get(server_id)
            if guest is not None and not guest.foreign:
                self.estate.remove(server_id)
            if self.storage is not None:
                for name in self._names:
                    self.storage.hand_over(server_id, name, to)

    def _define(self, host: str, spec: GuestSpec) -> None:
        if self.estate.get(spec.server_id) is None:
            self.estate.put(
                SimulatedGuest(
                    server_id=spec.server_id,
                    name=spec.name,
                    host=host,
                    power=Power.OFF,
                    log=_log(spec),
                    nics=spec.nics,
                )
            )

    def set_power(self, server_id: str, power: Power) -> None:
        """Reached at once, or after `boot_seconds` for ON."""
        with self._replying():
            self._work()
            guest = self._ours(server_id)
            if power in (Power.PAUSED, Power.SUSPENDED) and guest.power is Power.OFF:
                raise HypervisorError(f"The guest is off, so it cannot become {power}.")
            if guest.power is power:
                return
            if power is Power.ON and self.storage is not None:
                self.storage.check(server_id, frozenset(self._names))
            late = self._settings.boot_seconds if power is Power.ON else 0.0
            self.estate.put(
                msgspec.structs.replace(guest, power=power, before=guest.power, power_at=self._clock() + late)
            )

    def shut_down(self, server_id: str) -> None:
        """Simulated guests obey."""
        self.set_power(server_id, Power.OFF)

    def reset(self, server_id: str) -> None:
        """Off and on."""
        with self._replying():
            self._work()
            guest = self._ours(server_id)
            until = self._clock() + self._settings.boot_seconds
            self.estate.put(msgspec.structs.replace(guest, power=Power.ON, before=Power.OFF, power_at=until))

    def restart(self, server_id: str) -> None:
        """The guest reboots, and is on throughout."""
        with self._replying():
            self._work()
            self._ours(server_id)

    # Network cards

    def attach_nic(self, server_id: str, nic: Nic) -> None:
        """Remember the card."""
        with self._replying():
            self._work()
            guest = self._ours(server_id)
            if nic.port_id not in {each.port_id for each in guest.nics}:
                self.estate.put(msgspec.structs.replace(guest, nics=(*guest.nics, nic)))

    def detach_nic(self, server_id: str, port_id: str) -> bool:
        """Forget the card; simulated guests let go at once."""
        with self._replying():
            self._work()
            guest = self._ours(server_id)
            kept = tuple(each for each in guest.nics if each.port_id != port_id)
            self.estate.put(msgspec.structs.replace(guest, nics=kept))
        return True

    # What a user looks at

    def console_log(self, server_id: str) -> bytes:
        """What a guest would have printed."""
        self._answer()
        return self._ours(server_id).log.encode()

    def console(self, server_id: str) -> Console:
        """Simulated guests have no screen."""
        self._answer()
        self._ours(server_id)
        raise HypervisorError("A simulated guest has no graphical console.")

    # What happens behind Polyvisor's back

    def change_behind_our_back(self, server_id: str, power: Power | None) -> None:
        """As a person at the hypervisor would: change a guest's power, or remove it (None)."""
        guest = self.estate.get(server_id)
        if guest is not None and power is not None:
            self.estate.put(msgspec.structs.replace(guest, power=power, before=power, power_at=0.0))
        elif guest is not None:
            self.estate.remove(server_id)
        self._changed(server_id)

    # Delays and faults

    def _ours(self, server_id: str) -> SimulatedGuest:
        guest = self.estate.get(server_id)
        if guest is None or guest.foreign:
            raise HypervisorError(f"There is no guest {server_id} on {self.place}.")
        return guest

    def _answer(self) -> None:
        if not self.reachable:
            raise Unreachable(f"{self.place} does not answer.")

    def _work(self) -> None:
        self._answer()
        if self._settings.delay_seconds:
            self._sleep(self._settings.delay_seconds)
        ensure_permitted()
        if self._hits(self._settings.fault_rate):
            raise HypervisorError(f"{self.place} refused, as its settings ask it to now and then.")

    def _hits(self, rate: float) -> bool:
        with self._chance_lock:
            return rate > 0 and self._chance.random() < rate

    def _replying(self) -> "_Reply":
        return _Reply(self)


class _Reply:
    """Ends a call that was carried out with a broken connection, as often as the settings ask for."""

    def __init__(self, driver: SimulatedDriver) -> None:
        self._driver = driver

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._driver._hits(self._driver._settings.lost_reply_rate):
            raise Unreachable(f"{self._driver.place} broke the connection before it answered.")


def _log(spec: GuestSpec) -> str:
    keys = spec.metadata.get("openstack/latest/meta_data.json", "").count('"type": "ssh"')
    return f"CLOUD-READY host={spec.hostname} uuid={spec.server_id} src=simulated keys={keys}\n"
