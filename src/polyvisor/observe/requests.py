"""Requests to the API, by service, method, route and status."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from polyvisor.api.kit.log import Access
from polyvisor.observe.metric import QUICK, Metric, counter, histogram

REQUESTS = Metric(
    name="polyvisor_api_requests",
    kind="counter",
    help="Requests that were answered, by route template and status.",
    labels=("service", "method", "route", "status"),
)
SECONDS = Metric(
    name="polyvisor_api_request_seconds",
    kind="histogram",
    help="From a request's head to the end of its answer.",
    labels=("service", "method", "route"),
    buckets=QUICK,
)
STATEMENTS = Metric(
    name="polyvisor_api_statements",
    kind="counter",
    help="SQL statements that requests took, those of authentication included.",
    labels=("service",),
)
METRICS = (REQUESTS, SECONDS, STATEMENTS)

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_NONE = "none"
"""The service and route of a path that nothing answers: the path itself is the client's text, and stays out."""


class Requests:
    """An observer of the API's edge, called on its event loop."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = counter(REQUESTS, registry)
        self._seconds = histogram(SECONDS, registry)
        self._statements = counter(STATEMENTS, registry)
        self._known: dict[tuple[str, str, str, int], tuple[Counter, Histogram, Counter]] = {}

    def __call__(self, access: Access) -> None:
        """Count one request."""
        method = access.method if access.method in _METHODS else "OTHER"
        key = (access.service, method, access.route, access.status)
        requests, seconds, statements = self._known.get(key) or self._learn(key)
        requests.inc()
        seconds.observe(access.duration_seconds)
        statements.inc(access.statements)

    def _learn(self, key: tuple[str, str, str, int]) -> tuple[Counter, Histogram, Counter]:
        service, method, route, status = key
        service, route = service or _NONE, route.partition(" ")[2] or _NONE
        found = (
            self._requests.labels(service, method, route, str(status)),
            self._seconds.labels(service, method, route),
            self._statements.labels(service),
        )
        self._known[key] = found
        return found
