"""Operations that ended and steps that ran, as the process saw it that ended or ran them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import CollectorRegistry

from polyvisor.model.operation import Operation
from polyvisor.observe.metric import SLOW, Metric, counter, gauge, histogram
from polyvisor.operate.watch import Moved, Running

ENDED = Metric(
    name="polyvisor_operations_ended",
    kind="counter",
    help="Operations that ended, by outcome: done, failed (unwound, nothing of them is left) or stuck.",
    labels=("kind", "outcome"),
)
SECONDS = Metric(
    name="polyvisor_operation_seconds",
    kind="histogram",
    help="From an operation's request to its end.",
    labels=("kind", "outcome"),
    buckets=SLOW,
)
STEP_SECONDS = Metric(
    name="polyvisor_step_seconds",
    kind="histogram",
    help="From a step's first beginning to its end in the journal, waiting and repetition included.",
    labels=("kind", "step", "outcome"),
    buckets=SLOW,
)
RUN_SECONDS = Metric(
    name="polyvisor_step_run_seconds",
    kind="histogram",
    help="One run of a step at its hypervisor connection, by how the run ended: done, again, failed, unreachable.",
    labels=("place", "kind", "step", "outcome"),
    buckets=SLOW,
)
RUNNING = Metric(
    name="polyvisor_steps_running",
    kind="gauge",
    help="Steps that this process runs at the moment.",
    labels=("place",),
)
METRICS = (ENDED, SECONDS, STEP_SECONDS, RUN_SECONDS, RUNNING)


class Operations:
    """The instruments of the engine and of workers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ended = counter(ENDED, registry)
        self._seconds = histogram(SECONDS, registry)
        self._step_seconds = histogram(STEP_SECONDS, registry)
        self._run_seconds = histogram(RUN_SECONDS, registry)
        self._running = gauge(RUNNING, registry)

    @contextmanager
    def step(self, row: Operation, name: str) -> Iterator[Running]:
        """Time one run of a step."""
        noted = Running()
        running = self._running.labels(row.place)
        running.inc()
        started = perf_counter()
        try:
            yield noted
        finally:
            running.dec()
            seconds = perf_counter() - started
            self._run_seconds.labels(row.place, row.kind, name, noted.outcome).observe(seconds)

    def moved(self, moved: Sequence[Moved]) -> None:
        """Count what ended."""
        for each in moved:
            row = each.row
            for entry in each.entries:
                seconds = (entry.finished_at - entry.started_at).total_seconds()
                self._step_seconds.labels(row.kind, entry.step, entry.outcome).observe(max(0.0, seconds))
            if each.ended:
                self._ended.labels(row.kind, row.state.value).inc()
                seconds = (row.updated_at - row.created_at).total_seconds()
                self._seconds.labels(row.kind, row.state.value).observe(max(0.0, seconds))
