"""Makes a history that breaks an invariant as short as it gets: faults and wishes go, while it still fails."""

from collections.abc import Callable

import msgspec

from simulation.history import Outcome
from simulation.world import Plan

MOST_TRIES = 200


def shrink(failed: Outcome, run: Callable[[Plan], Outcome]) -> Outcome:
    """The smallest history found that breaks the same invariant."""
    if failed.violation is None:
        raise ValueError("A history that breaks no invariant cannot be shrunk.")
    invariant = failed.violation.invariant
    tries = 0
    best = failed
    for field in ("faults", "wishes", "faults"):
        index = 0
        while index < len(getattr(best.plan, field)) and tries < MOST_TRIES:
            items = getattr(best.plan, field)
            if field == "wishes" and len(items) == 1:
                break
            tries += 1
            fewer = msgspec.structs.replace(best.plan, **{field: (*items[:index], *items[index + 1 :])})
            outcome = run(fewer)
            if outcome.violation is not None and outcome.violation.invariant == invariant:
                best = outcome
            else:
                index += 1
    return best
