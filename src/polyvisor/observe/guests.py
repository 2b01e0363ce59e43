"""Guests that ask a process about themselves: how many networks it hears, which it cannot, and what it answers."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from polyvisor.observe.metric import Metric, family

NETWORKS = Metric(
    name="polyvisor_metadata_networks",
    kind="gauge",
    help="Networks whose guests this process hears at 169.254.169.254; more of `wanted` than of `heard` is trouble.",
    labels=("state",),
)
ANSWERS = Metric(
    name="polyvisor_metadata_answers",
    kind="counter",
    help="Answers to guests that asked for metadata, by HTTP status: 429 for too many, 503 while no server answers.",
    labels=("status",),
)
METRICS = (NETWORKS, ANSWERS)


class GuestMetrics(Collector):
    """Read at each scrape from what the process knows anyway."""

    def __init__(
        self,
        registry: CollectorRegistry,
        networks: Callable[[], tuple[int, int]],
        answered: Callable[[], Mapping[int, int]],
    ) -> None:
        """`networks`: how many are wanted, and how many are heard; `answered`: status → how often."""
        self._networks, self._answered = networks, answered
        registry.register(self)

    def describe(self) -> list[Family]:
        """Nothing: it has no fixed samples."""
        return []

    def collect(self) -> Iterator[Family]:
        """As it is now."""
        wanted, heard = self._networks()
        yield family(NETWORKS, [(("wanted",), float(wanted)), (("heard",), float(heard))])
        answers = CounterMetricFamily(ANSWERS.name, ANSWERS.help, labels=ANSWERS.labels)
        for status, count in sorted(self._answered().items()):
            answers.add_metric((str(status),), float(count))
        yield answers
