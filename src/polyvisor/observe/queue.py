"""Operations that have not ended: how many, where their steps wait, and who has them in hand."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from prometheus_client.core import Metric as Family

from polyvisor.model.operation import CONTROL, UNFINISHED, OperationState
from polyvisor.observe.metric import Metric, family
from polyvisor.operate.kinds import KINDS
from polyvisor.store.overview import OperationCount

OPERATIONS = Metric(
    name="polyvisor_operations",
    kind="gauge",
    help="Operations that have not ended, by state: waiting, running, unwinding, stuck.",
    labels=("kind", "state"),
)
STUCK = Metric(
    name="polyvisor_operations_stuck",
    kind="gauge",
    help="Operations whose undo failed for good: `polyvisor operations retry` takes them up again.",
)
LEASED = Metric(
    name="polyvisor_steps_leased",
    kind="gauge",
    help="Steps that some process has in hand, by the place they run at.",
    labels=("place",),
)
OLDEST = Metric(
    name="polyvisor_oldest_due_step_seconds",
    kind="gauge",
    help="For how long the longest waiting step has been due that nobody has in hand, by place; 0 when none waits.",
    labels=("place",),
)
METRICS = (OPERATIONS, STUCK, LEASED, OLDEST)
_STATES = (*UNFINISHED, OperationState.STUCK)


def families(counts: Sequence[OperationCount], places: Iterable[str], now: datetime) -> Iterator[Family]:
    """The metrics of one reading. What there could be and is not is told as 0."""
    by_state = Counter({(kind, state.value): 0 for kind in KINDS for state in _STATES})
    leased = Counter(dict.fromkeys((CONTROL, *places), 0))
    oldest = dict.fromkeys(leased, 0.0)
    for each in counts:
        by_state[each.kind, each.state.value] += each.operations
        if each.place:
            leased[each.place] += each.leased
            waited = 0.0 if each.oldest_due is None else (now - each.oldest_due).total_seconds()
            oldest[each.place] = max(oldest.get(each.place, 0.0), waited)
    stuck = sum(number for (_, state), number in by_state.items() if state == OperationState.STUCK)
    yield family(OPERATIONS, by_state.items())
    yield family(STUCK, [((), stuck)])
    yield family(LEASED, (((place,), number) for place, number in leased.items()))
    yield family(OLDEST, (((place,), seconds) for place, seconds in oldest.items()))
