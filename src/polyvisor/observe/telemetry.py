"""What the engine and workers tell, turned into metrics and, where they are recorded, into spans."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from prometheus_client import CollectorRegistry

from polyvisor.model.operation import Operation
from polyvisor.observe.operations import Operations
from polyvisor.observe.scheduling import Scheduling
from polyvisor.observe.traces import Traces
from polyvisor.operate.watch import Moved, Running


class Telemetry:
    """The Watch of a running process."""

    def __init__(self, registry: CollectorRegistry, traces: Traces | None) -> None:
        self._operations = Operations(registry)
        self._scheduling = Scheduling(registry)
        self._traces = traces

    @contextmanager
    def step(self, row: Operation, name: str, *, undo: bool) -> Iterator[Running]:
        """Time a run of a step, and record its span."""
        with self._operations.step(row, name) as noted:
            if self._traces is None or not row.trace:
                yield noted
                return
            with self._traces.step(row, name, noted, undo=undo):
                yield noted

    def placing(self) -> AbstractContextManager[None]:
        """Time a choice of a host."""
        return self._scheduling.placing()

    def moved(self, moved: Sequence[Moved]) -> None:
        """Count what ended, and record its span."""
        self._operations.moved(moved)
        if self._traces is not None:
            for each in moved:
                if each.ended and each.row.trace:
                    self._traces.operation(each.row)
