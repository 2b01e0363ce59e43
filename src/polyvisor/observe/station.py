"""A process that serves hypervisors, `polyvisor up` or an agent, as it sees itself: places, link and hypervisors."""

from collections.abc import Callable, Iterator, Mapping
from time import perf_counter
from typing import Any, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from polyvisor.observe.metric import QUICK, Metric, counter, family, histogram

ROLE = Metric(
    name="polyvisor_station_active",
    kind="gauge",
    help="1 while this process holds the place and runs its steps, 0 while it is a standby or is refused.",
    labels=("place", "driver"),
)
REACHABLE = Metric(
    name="polyvisor_station_reachable",
    kind="gauge",
    help="1 when the hypervisor behind the place answered this process at its last look, else 0.",
    labels=("place", "driver"),
)
LINK_UP = Metric(
    name="polyvisor_link_up",
    kind="gauge",
    help="1 when the control plane answered this process's last beat, else 0.",
)
CALLS = Metric(
    name="polyvisor_link_call_seconds",
    kind="histogram",
    help="Calls of this process to the control plane that were answered; `wait` is a long poll.",
    labels=("call",),
    buckets=QUICK,
)
FAILURES = Metric(
    name="polyvisor_link_failures",
    kind="counter",
    help="Calls of this process to the control plane that failed.",
    labels=("call",),
)
METRICS = (ROLE, REACHABLE, LINK_UP, CALLS, FAILURES)

_COUNTED = frozenset(("exchange", "wait", "beat", "inventory", "glimpse", "note"))


class Looker(Protocol):
    """What watches one hypervisor."""

    @property
    def trouble(self) -> str:
        """Why the hypervisor could not be used at the last look; empty when it could."""


class StationMetrics(Collector):
    """Read at each scrape from what the process knows anyway."""

    def __init__(
        self,
        registry: CollectorRegistry,
        drivers: Mapping[str, str],
        lookers: Mapping[str, Looker],
        epoch: Callable[[str], int | None],
        link_trouble: Callable[[], str],
    ) -> None:
        """`drivers`: place → the driver's kind; `epoch(place)`: None where the place is not held."""
        self._drivers, self._lookers, self._epoch, self._link_trouble = drivers, lookers, epoch, link_trouble
        registry.register(self)

    def describe(self) -> list[Family]:
        """Nothing: it has no fixed samples."""
        return []

    def collect(self) -> Iterator[Family]:
        """Places and link as they are now."""
        active = {place: self._epoch(place) is not None for place in self._drivers}
        yield family(ROLE, (((place, driver), float(active[place])) for place, driver in self._drivers.items()))
        reached = {place: not looker.trouble for place, looker in self._lookers.items()}
        yield family(
            REACHABLE, (((place, self._drivers.get(place, "")), float(well)) for place, well in reached.items())
        )
        yield family(LINK_UP, [((), float(not self._link_trouble()))])


class LinkMetrics:
    """Counts and times the calls of any link."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = histogram(CALLS, registry)
        self._failures = counter(FAILURES, registry)

    def counted(self, link: Any) -> Any:
        """The same link, listened to."""
        return _Counted(link, self)

    def call(self, name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        """`act`, counted under `name`."""
        seconds, failures = self._calls.labels(name), self._failures.labels(name)

        def counted(*args: Any, **options: Any) -> Any:
            started = perf_counter()
            try:
                answer = act(*args, **options)
            except Exception:
                failures.inc()
                raise
            seconds.observe(perf_counter() - started)
            return answer

        return counted


class _Counted:
    """Stands in for a link; what it does not count it hands on."""

    def __init__(self, link: Any, metrics: LinkMetrics) -> None:
        self._link = link
        for name in _COUNTED:
            if hasattr(link, name):
                setattr(self, name, metrics.call(name, getattr(link, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._link, name)
