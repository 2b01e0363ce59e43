"""One OpenStack-compatible cloud over many hypervisors."""

__version__ = "0.1.0"
