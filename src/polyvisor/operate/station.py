"""All that serves hypervisors in one process, be it `polyvisor up` or an agent: heartbeat, worker and observers."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from polyvisor.hypervisor.driver import Driver
from polyvisor.operate.definition import Operation as Definition
from polyvisor.operate.heartbeat import Heartbeat
from polyvisor.operate.holds import Holds
from polyvisor.operate.link import Link
from polyvisor.operate.observer import Observer
from polyvisor.operate.turned_off import TurnedOff
from polyvisor.operate.watch import UNWATCHED, Watch
from polyvisor.operate.worker import LOOK_SECONDS, SourceFor, Worker


class Station:
    """Serves the places of `drivers` that the engine lets it hold, over one link."""

    def __init__(
        self,
        link: Link,
        drivers: Mapping[str, Driver],
        driver_kinds: Mapping[str, str],
        kinds: Mapping[str, Definition[Any]],
        source: SourceFor,
        clock: Callable[[], datetime],
        steady: Callable[[], float],
        *,
        threads: int = 16,
        inventory_seconds: float = 10.0,
        look_seconds: float = LOOK_SECONDS,
        watch: Watch = UNWATCHED,
        turned_off: TurnedOff | None = None,
    ) -> None:
        """`driver_kinds`: place → "kvm", "vsphere" or "simulated"; `steady`: see Holds; `turned_off`: see Observer."""
        self.holds = Holds(steady)
        self.observers = {
            place: Observer(link, driver, clock, inventory_seconds, self.holds, turned_off)
            for place, driver in drivers.items()
        }
        self.worker = Worker(link, drivers, kinds, source, clock, self.holds, threads, look_seconds, watch)
        self.heartbeat = Heartbeat(link, self.holds, self.worker, self.observers, driver_kinds, steady)

    def start(self) -> None:
        """Begin."""
        self.heartbeat.start()
        self.worker.start()
        for observer in self.observers.values():
            observer.start()

    def stop(self, patience_seconds: float = 10.0) -> bool:
        """Take no more steps, let those at work end, report them, give the places back; whether all have ended."""
        for observer in self.observers.values():
            observer.stop()
        ended = self.worker.stop(patience_seconds)
        self.heartbeat.stop()
        return ended
