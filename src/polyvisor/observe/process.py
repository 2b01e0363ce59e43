"""The process itself: its version, its loops, its disks, and what the kernel knows of it."""

import platform
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

import polyvisor
from polyvisor.observe.metric import Metric, family, gauge
from polyvisor.observe.pulse import Pulse

BUILD = Metric(
    name="polyvisor_build_info", kind="gauge", help="Always 1; what runs here.", labels=("version", "python")
)
LOOPS = Metric(
    name="polyvisor_loop_turned_seconds",
    kind="gauge",
    help="Since when a loop of this process has not turned.",
    labels=("loop",),
)
FREE = Metric(
    name="polyvisor_disk_free_bytes",
    kind="gauge",
    help="What is free of the file system that holds the images (images) or the database and the rest (data).",
    labels=("disk",),
)
SIZE = Metric(name="polyvisor_disk_bytes", kind="gauge", help="Size of the same file systems.", labels=("disk",))
METRICS = (BUILD, LOOPS, FREE, SIZE)


class Process(Collector):
    """Read at each scrape."""

    def __init__(self, registry: CollectorRegistry, pulses: Iterable[Pulse], disks: Mapping[str, Path]) -> None:
        """`disks`: "images", "data" → a directory."""
        self._pulses, self._disks = tuple(pulses), dict(disks)
        gauge(BUILD, registry).labels(polyvisor.__version__, platform.python_version()).set(1)
        ProcessCollector(registry=registry)
        registry.register(self)

    def describe(self) -> list[Family]:
        """Nothing: registering it must not look at disks."""
        return []

    def collect(self) -> Iterator[Family]:
        """Loops and disks."""
        now = time.monotonic()
        yield family(LOOPS, (((pulse.name,), pulse.silent_seconds(now)) for pulse in self._pulses))
        found = {name: shutil.disk_usage(path) for name, path in self._disks.items() if path.is_dir()}
        yield family(FREE, (((name,), usage.free) for name, usage in found.items()))
        yield family(SIZE, (((name,), usage.total) for name, usage in found.items()))
