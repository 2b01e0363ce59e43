"""Leave to act on a hypervisor: a step has it for as long as its process holds the place, and not a moment longer.

A process that was stopped and wakes up again does not know that another has taken its place. So whoever sends something
to a hypervisor asks here first, right before it is sent. Outside of steps (inventories, watching) nothing is changed,
and nothing is refused.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from polyvisor.hypervisor.driver import Unreachable


class Fenced(Unreachable):
    """This process no longer holds the place, or no longer the step: nothing may be sent to the hypervisor."""


def _always() -> None:
    """There is nothing to lose: this is no step."""


_check: ContextVar[Callable[[], None]] = ContextVar("permit", default=_always)


@contextlib.contextmanager
def permitted(check: Callable[[], None]) -> Iterator[None]:
    """Within the block `check` is asked before anything is sent; it raises Fenced once the leave has ended.

    A thread that is started within must be given the block's context (`contextvars.copy_context`).
    """
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def ensure_permitted() -> None:
    """Raise Fenced when the step in whose course this is called may do no more."""
    _check.get()()
