"""Runs many histories, adds up what happened in them, and tells of the first that breaks an invariant."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import msgspec

from simulation.history import Outcome, Room
from simulation.invariants import INVARIANTS
from simulation.plants import PLANTS, no_plant
from simulation.shrink import shrink
from simulation.standins import installed
from simulation.world import plan_of

MOST_FAULTS = 6
SECONDS = 25.0


class Figures(msgspec.Struct):
    """What a run has seen, all histories together."""

    histories: int = 0
    events: int = 0
    checked: int = 0
    granted: int = 0
    virtual_seconds: float = 0.0
    real_seconds: float = 0.0
    faults: dict[str, int] = {}

    def add(self, outcome: Outcome) -> None:
        """One more history."""
        self.histories += 1
        self.events += outcome.events
        self.checked += outcome.checked
        self.granted += outcome.granted
        self.virtual_seconds += outcome.seconds
        for kind, number in outcome.faults.items():
            self.faults[kind] = self.faults.get(kind, 0) + number

    def text(self) -> str:
        """A table for people."""
        rows = [
            ("histories", f"{self.histories:,}"),
            ("virtual hours", f"{self.virtual_seconds / 3600:,.1f}"),
            ("events", f"{self.events:,}"),
            ("requests granted", f"{self.granted:,}"),
            ("faults injected", f"{sum(self.faults.values()):,}"),
            *((f"  {kind}", f"{number:,}") for kind, number in sorted(self.faults.items())),
            (f"looks at {len(INVARIANTS)} invariants", f"{self.checked:,}"),
            ("seconds", f"{self.real_seconds:,.1f}"),
        ]
        return "\n".join(f"{name:36}{value:>14}" for name, value in rows)


class Found(msgspec.Struct):
    """How a run ended."""

    figures: Figures
    failed: Outcome | None = None
    """The first history that broke an invariant, as it was."""
    smallest: Outcome | None = None
    """The same one, shrunken."""

    def text(self) -> str:
        """What broke, how to see it again, what it takes, and what happened."""
        failed, smallest = self.failed, self.smallest or self.failed
        if failed is None or smallest is None or failed.violation is None or smallest.violation is None:
            return "No invariant was broken."
        invariant = failed.violation.invariant
        return "\n".join(
            [
                f"The history of seed {failed.plan.seed} breaks the invariant {invariant!r}: {INVARIANTS[invariant]}",
                f"  {failed.violation.what}",
                f"Again: python -m simulation --seed {failed.plan.seed}",
                "",
                (
                    f"What it takes ({len(smallest.plan.faults)} of {len(failed.plan.faults)} faults, "
                    f"{len(smallest.plan.wishes)} of {len(failed.plan.wishes)} wishes):"
                ),
                *(f"  {fault}" for fault in smallest.plan.faults),
                *(
                    f"  {wish.at:7.3f}  users: {wish.kind} (which={wish.which}, to={wish.to})"
                    for wish in smallest.plan.wishes
                ),
                "",
                "What happened:",
                smallest.trace.text(),
            ]
        )


def run(
    seeds: Iterable[str],
    *,
    most_faults: int = MOST_FAULTS,
    seconds: float = SECONDS,
    kinds: tuple[str, ...] = (),
    plant: str = "",
    shrunken: bool = True,
    each: Callable[[Outcome], None] = lambda outcome: None,
) -> Found:
    """Run these seeds' histories until one breaks an invariant. `kinds`: only these faults; `plant`: with a bug."""
    room, figures = Room(), Figures()
    began = time.perf_counter()
    planted = PLANTS[plant].plant if plant else no_plant
    found = Found(figures)
    with installed(), planted() as operations:
        for seed in seeds:
            outcome = room.run(plan_of(seed, most_faults, seconds, kinds), operations)
            figures.add(outcome)
            each(outcome)
            if outcome.violation is not None:
                found.failed = outcome
                if shrunken:
                    found.smallest = shrink(outcome, lambda plan: room.run(plan, operations))
                break
    figures.real_seconds = time.perf_counter() - began
    return found
