"""Choices of a host: how long they take, and what refused hosts where none was left."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import CollectorRegistry

from polyvisor.model.errors import NoHost
from polyvisor.observe.metric import QUICK, Metric, counter, histogram

SECONDS = Metric(
    name="polyvisor_scheduler_seconds",
    kind="histogram",
    help="One choice of a host, reading what changed included.",
    buckets=(0.0001, 0.00025, 0.0005, *QUICK),
)
REFUSED = Metric(
    name="polyvisor_scheduler_refusals",
    kind="counter",
    help="Choices that ended without a host.",
)
BY_FILTER = Metric(
    name="polyvisor_scheduler_refused_hosts",
    kind="counter",
    help="Hosts that a choice without a result passed over, by the first filter that did.",
    labels=("filter",),
)
METRICS = (SECONDS, REFUSED, BY_FILTER)


class Scheduling:
    """The instruments of the scheduler."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = histogram(SECONDS, registry)
        self._refused = counter(REFUSED, registry)
        self._by_filter = counter(BY_FILTER, registry)

    @contextmanager
    def placing(self) -> Iterator[None]:
        """Time one choice."""
        started = perf_counter()
        try:
            yield
        except NoHost as error:
            self._refused.inc()
            for name, hosts in error.by_filter.items():
                self._by_filter.labels(name).inc(hosts)
            raise
        finally:
            self._seconds.observe(perf_counter() - started)
