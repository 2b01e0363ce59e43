"""Looking at processes and waiting for what they do, by way of /proc."""

import time
from collections.abc import Callable
from pathlib import Path


def alive(pid: int) -> bool:
    """Whether the process runs; one that ended and that its parent has not yet asked about does not."""
    return _stat(pid)[:1] not in ([], ["Z"], ["X"])


def stopped(pid: int) -> bool:
    """Whether the process stands still after a SIGSTOP."""
    return _stat(pid)[:1] == ["T"]


def identity(pid: int) -> str:
    """Names a process for good: its id and the moment it started, in clock ticks since the machine's start."""
    return " ".join([str(pid), *_stat(pid)[19:20]])


def program(pid: int) -> str:
    """The name of what the process runs, at most 15 characters; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
    except OSError:
        return ""


def wait_for(true: Callable[[], bool], timeout_seconds: float, complaint: Callable[[], str]) -> None:
    """Ask until it is true; raises TimeoutError with the complaint when that takes too long."""
    deadline = time.monotonic() + timeout_seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(complaint())
        time.sleep(0.05)


def _stat(pid: int) -> list[str]:
    """The fields of proc(5) after the program's name, the state first; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
