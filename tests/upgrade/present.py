"""The revision of the present program, read before the next release changes it."""

from polyvisor.store.migrations import NEWEST as PRESENT

__all__ = ["PRESENT"]
