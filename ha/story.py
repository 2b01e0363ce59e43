"""The run: one fault after the other under load, an audit after each, and a table of what was seen."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ha.fault import Fault, FaultFailed, Scene
from testbed import audit

SETTLE_SECONDS = 180.0
LOADED_SECONDS = 4.0
"""How long the load runs before a fault strikes."""


@dataclass
class Outcome:
    """What came of one fault."""

    fault: Fault
    takeover_seconds: float = 0.0
    requests: int = 0
    failed: int = 0
    settle_seconds: float = 0.0
    complaints: list[str] = field(default_factory=list)
    """Of the audit, once no more changed; empty = all books are right."""

    @property
    def too_slow(self) -> bool:
        """Whether the takeover took longer than is promised."""
        return 0 < self.fault.limit_seconds <= self.takeover_seconds


def play(scene: Scene, faults: Sequence[Fault], until_monotonic: float) -> list[Outcome]:
    """Make the faults in turn while time lasts (the first round is always played to its end)."""
    outcomes: list[Outcome] = []
    while not outcomes or time.monotonic() < until_monotonic:
        for number, fault in enumerate(faults, 1):
            outcome = strike(scene, fault)
            outcomes.append(outcome)
            tell(number, len(faults), outcome)
            if outcome.complaints:
                return outcomes  # what comes after would be blamed for it
    return outcomes


def strike(scene: Scene, fault: Fault) -> Outcome:
    """Load, fault, rest, audit."""
    scene.load.start()
    time.sleep(LOADED_SECONDS)
    begun = time.monotonic()
    outcome = Outcome(fault)
    try:
        outcome.takeover_seconds = fault.run(scene)
    except (FaultFailed, TimeoutError) as error:
        outcome.complaints = [str(error)]
        scene.cloud.restore()
    scene.load.pause()
    outcome.requests, outcome.failed = scene.load.asked_since(begun)
    resting = time.monotonic()
    complaints = settle(scene)
    outcome.settle_seconds = time.monotonic() - resting
    outcome.complaints += complaints
    if not complaints:
        scene.load.adopt({server.id: server.name for server in audit.read(scene.databases.url).servers})
    return outcome


def settle(scene: Scene) -> list[str]:
    """Wait until all books are right; what is still wrong in the end is returned."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        try:
            told = audit.judge(scene.load.ledger, audit.read(scene.databases.url), scene.hypervisors.looks())
        except Exception as error:  # noqa: BLE001 - a part that is still coming up cannot be read
            told = [f"the books cannot be read: {type(error).__name__}: {error}"]
        told += [*scene.load.refusals, *scene.cloud.unready()]
        if not told or scene.load.refusals or time.monotonic() > deadline:
            return told
        time.sleep(0.5)


def tell(number: int, of: int, outcome: Outcome) -> None:
    """One line for a fault that is over, and what is wrong after it."""
    fault = outcome.fault
    limit = f" (must be < {fault.limit_seconds:.0f} s)" if fault.limit_seconds else ""
    print(
        f"[{number}/{of}] {fault.part}: {fault.title}: {outcome.takeover_seconds:.1f} s{limit}; "
        f"{outcome.requests} requests, {outcome.failed} without an answer; "
        f"at rest after {outcome.settle_seconds:.1f} s",
        flush=True,
    )
    for complaint in outcome.complaints:
        print(f"    {complaint}", flush=True)


def table(outcomes: Sequence[Outcome]) -> str:
    """One row for each sort of fault."""
    rows = [("fault", "times", "takeover p50", "worst", "promised", "requests", "without answer")]
    for title in dict.fromkeys(outcome.fault.title for outcome in outcomes):
        of = [outcome for outcome in outcomes if outcome.fault.title == title]
        took = [outcome.takeover_seconds for outcome in of]
        limit = of[0].fault.limit_seconds
        rows.append(
            (
                title, str(len(of)), f"{statistics.median(took):.1f} s", f"{max(took):.1f} s",
                f"< {limit:.0f} s" if limit else "-",
                str(sum(each.requests for each in of)), str(sum(each.failed for each in of)),
            )
        )  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "-|-".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" if number != 1 else f"|-{line}-|" for number, line in enumerate(lines))
