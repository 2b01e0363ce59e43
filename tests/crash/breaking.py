"""What is put in the place of a step to break it."""

from collections.abc import Callable
from typing import Any

RELOCATING = ("server.evacuate", "server.move", "guest.remove", "host.drain")
"""Kinds that need several hosts: broken in tests/crash/test_every_relocation.py and tests/operate/test_drain.py."""

INTERFACES = ("server.attach_interface", "server.detach_interface")
"""Kinds that leave a server that runs: broken in tests/crash/test_every_interface.py."""


def breaking(moment: str, error: BaseException, times: int = 1) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Wrap a step so that its first runs end with `error`, before or after they took effect."""

    def wrap(act: Callable[..., Any]) -> Callable[..., Any]:
        left = [times]

        def broken(run: Any) -> Any:
            if left[0] > 0 and moment == "before":
                left[0] -= 1
                raise error
            result = act(run)
            if left[0] > 0:
                left[0] -= 1
                raise error
            return result

        broken.__name__ = act.__name__
        return broken

    return wrap


def twice(act: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a step so that each run is two."""

    def run_twice(run: Any) -> Any:
        act(run)
        return act(run)

    run_twice.__name__ = act.__name__
    return run_twice
