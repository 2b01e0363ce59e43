"""Threads that begin at the same moment."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
PATIENCE_SECONDS = 180


def race(number: int, act: Callable[[int], T]) -> list[T]:
    """What `act(0)` … `act(number - 1)` return, each run on a thread of its own, all begun together."""
    line = threading.Barrier(number)

    def run(index: int) -> T:
        line.wait(PATIENCE_SECONDS)
        return act(index)

    with ThreadPoolExecutor(number) as pool:
        return [each.result(PATIENCE_SECONDS) for each in [pool.submit(run, index) for index in range(number)]]
