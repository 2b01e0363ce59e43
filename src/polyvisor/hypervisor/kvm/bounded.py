"""Calls with a bound in time: a hypervisor that hangs must not hang us."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def begin(work: Callable[[], T], name: str) -> "Future[T]":
    """Start `work` in a thread of its own, and return its Future.

    The thread is a daemon: libvirt's calls cannot be interrupted, and one that never returns must not keep the process
    from ending. A thread for each call costs some 50 µs, where a call costs a round trip to libvirtd.
    """
    future: Future[T] = Future()

    def serve() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that waits
            future.set_exception(error)

    threading.Thread(target=serve, name=name, daemon=True).start()
    return future
