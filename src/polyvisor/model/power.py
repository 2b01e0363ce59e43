"""The power of a guest, as a hypervisor tells it, and Nova's number for it."""

from enum import StrEnum


class Power(StrEnum):
    """A guest's power state. UNKNOWN means that nobody can tell now (the hypervisor does not answer)."""

    UNKNOWN = "unknown"
    ON = "on"
    PAUSED = "paused"
    OFF = "off"
    CRASHED = "crashed"
    SUSPENDED = "suspended"

    @property
    def number(self) -> int:
        """The value of `OS-EXT-STS:power_state`, as the Compute API reference numbers it."""
        return _NUMBERS[self]


_NUMBERS = {
    Power.UNKNOWN: 0,
    Power.ON: 1,
    Power.PAUSED: 3,
    Power.OFF: 4,
    Power.CRASHED: 6,
    Power.SUSPENDED: 7,
}
