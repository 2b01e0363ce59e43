"""The keeper of networks: whether it leads, what it does, and what it cannot bring about."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from polyvisor.observe.metric import Metric, family
from polyvisor.operate.network_keeper import NetworkKeeper

LEADS = Metric(
    name="polyvisor_network_keeper_leads",
    kind="gauge",
    help="1 while it is this process that changes the network backend; the sum over all servers is to be 1.",
)
ANSWERS = Metric(
    name="polyvisor_network_backend_up",
    kind="gauge",
    help="1 when the network backend (OVN's databases) answered this process at its last look, else 0.",
)
STUCK = Metric(
    name="polyvisor_network_stuck",
    kind="gauge",
    help="Records that the network backend would not take; the log says which, and why.",
)
DONE = Metric(
    name="polyvisor_network_changes",
    kind="counter",
    help="Changed records that were brought about in the network backend.",
)
TRANSACTIONS = Metric(
    name="polyvisor_network_transactions",
    kind="counter",
    help="Transactions of the network backend that it took: one for all changes that wait at the time.",
)
SWEEPS = Metric(
    name="polyvisor_network_sweeps",
    kind="counter",
    help="Comparisons of everything that the network backend has with the records.",
)
REPAIRS = Metric(
    name="polyvisor_network_repairs",
    kind="counter",
    help="What sweeps found to be otherwise than it had been brought about, and set right: somebody else's doing.",
)
METRICS = (LEADS, ANSWERS, STUCK, DONE, TRANSACTIONS, SWEEPS, REPAIRS)


class NetworkMetrics(Collector):
    """Read at each scrape from what the keeper knows anyway."""

    def __init__(self, registry: CollectorRegistry, keeper: NetworkKeeper) -> None:
        self._keeper = keeper
        registry.register(self)

    def describe(self) -> list[Family]:
        """Nothing: it has no fixed samples."""
        return []

    def collect(self) -> Iterator[Family]:
        """As it is now."""
        keeper, counts = self._keeper, self._keeper.counts
        yield family(LEADS, [((), float(keeper.leads))])
        yield family(ANSWERS, [((), float(not keeper.trouble))])
        yield family(STUCK, [((), float(len(keeper.stuck)))])
        counted = (
            (DONE, counts.brought_about),
            (TRANSACTIONS, counts.transactions),
            (SWEEPS, counts.sweeps),
            (REPAIRS, counts.repairs),
        )
        for metric, count in counted:
            yield CounterMetricFamily(metric.name, metric.help, value=float(count))
