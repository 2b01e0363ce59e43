"""A clock that nobody sets, and that also counts while the machine is suspended."""

import time


def since_boot() -> float:
    """Seconds since the machine was started (CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
