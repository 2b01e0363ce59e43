"""One leased step at work: what it may still do, how far it is, and how it ends."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from polyvisor.hypervisor.driver import Cancelled, Driver, HypervisorError, ImageSource, Unreachable
from polyvisor.hypervisor.permit import Fenced, permitted
from polyvisor.model.link import Lease, Report
from polyvisor.operate import progress
from polyvisor.operate.definition import Again, Run
from polyvisor.operate.definition import Operation as Definition
from polyvisor.operate.engine import STOPPED, describe

log = logging.getLogger(__name__)


def _always() -> None:
    """Where there is but one process, it always may."""


class StepRun:
    """A step in this process's hands. Called by the step, it is the step's Progress."""

    def __init__(self, lease: Lease, ensure_held: Callable[[], None] = _always) -> None:
        """`ensure_held` raises Fenced once the place is not this process's any more."""
        self.lease = lease
        """The newest: a step that was leased again while it ran goes on under the new lease."""
        self.following: Lease | None = None
        """What to run here when this has ended: the same operation was leased again, and this run of it is void."""
        self.told: tuple[float, str] | None = None
        self.abandoned = False
        self._cancelled = False
        self._ensure_held = ensure_held

    def __call__(self, fraction: float, what: str) -> None:
        """As Progress has it. Raises Cancelled or Fenced."""
        self.told = (fraction, what)
        self.ensure()
        if self._cancelled:
            raise Cancelled

    def ensure(self) -> None:
        """Raise Fenced when the step may not touch its hypervisor any more."""
        if self.abandoned:
            raise Fenced("The step is left to whoever leases it next.")
        self._ensure_held()

    def cancel(self) -> None:
        """Stop at the step's next word about its progress: the operation was asked to stop."""
        self._cancelled = True

    def abandon(self) -> None:
        """Stop at the next request to the hypervisor, and leave the step to whoever leases it next."""
        self.abandoned = True

    def lease_again(self, lease: Lease) -> None:
        """The operation was leased to this process once more while it is at work on it: never twice at once.

        The same step under an unbroken hold goes on, and is reported under the new lease. Where the hold was lost in
        between, another may have acted: then this run ends first, and the step is begun anew.
        """
        same = lease.undo == self.lease.undo and lease.operation.step == self.lease.operation.step
        if same and self.following is None and self.may_go_on():
            self.lease = lease
            return
        self.abandon()
        self.following = lease

    def may_go_on(self) -> bool:
        """Whether the step may touch its hypervisor at this moment."""
        try:
            self.ensure()
        except Fenced:
            return False
        return True

    def report(self, outcome: str, **more: Any) -> Report:
        """How it ended, under its newest lease."""
        row = self.lease.operation
        return Report(operation_id=row.id, epoch=row.lease_epoch, outcome=outcome, **more)


def run_step(
    at_work: StepRun, kinds: Mapping[str, Definition[Any]], driver: Driver, source: ImageSource, now: datetime
) -> Report:
    """Run a leased step, or its undo, to its end."""
    row = at_work.lease.operation
    kind = kinds[row.kind]
    step = kind.steps[row.step]
    try:
        with permitted(at_work.ensure):
            at_work.ensure()
            run = Run(row, kind.args(row), progress.outputs(row), now, driver=driver, source=source, progress=at_work)
            result = (step.undo_step(run) if step.undo_step else None) if at_work.lease.undo else step.do(run)
        if isinstance(result, Again):
            return at_work.report("again", seconds=result.seconds)
        return at_work.report("done", output=msgspec.to_builtins(result))
    except Unreachable as error:
        return at_work.report("unreachable", error=str(error))
    except Cancelled:
        return at_work.report("failed", error=STOPPED)
    except HypervisorError as error:
        # What the loss of the leave made fail is no refusal of the hypervisor's.
        return at_work.report("failed" if at_work.may_go_on() else "unreachable", error=str(error))
    except Exception as error:
        log.exception("step %s of operation %s (%s) failed", step.name, row.id, row.kind)
        return at_work.report("failed", error=describe(error))
