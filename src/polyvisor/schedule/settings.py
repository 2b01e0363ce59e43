"""What the operator may choose of scheduling."""

from enum import StrEnum
from typing import Annotated

import msgspec

from polyvisor.model.record import Record

Weight = Annotated[float, msgspec.Meta(ge=0)]
Ratio = Annotated[float, msgspec.Meta(gt=0, le=1e6)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class Strategy(StrEnum):
    """Whether servers go to the emptiest hosts or to the fullest."""

    SPREAD = "spread"
    PACK = "pack"


class ScheduleSettings(Record):
    """The `[schedule]` section of the configuration."""

    strategy: Strategy = Strategy.SPREAD
    """`spread` prefers hosts with much room left, `pack` those with little: the sign of the first three weights."""
    memory_weight: Weight = 1.0
    """How much free memory counts when hosts are compared; 0 leaves it out."""
    cpu_weight: Weight = 1.0
    """How much free vCPUs count; 0 leaves them out."""
    servers_weight: Weight = 0.0
    """How much the number of servers on a host counts; 0 leaves it out."""
    image_weight: Weight = 0.5
    """How much it counts that the image's bytes lie ready on a host, or need no conversion there; 0 leaves it out."""
    subset_size: Count = 1
    """Choose among this many best hosts by chance. With several `serve` processes, more than one keeps them apart."""
    max_attempts: Count = 3
    """On how many hosts a server is tried before it goes to ERROR."""
    vcpu_ratio: Ratio = 4.0
    """vCPUs given out for each one that a host has, for hosts that join."""
    memory_ratio: Ratio = 1.0
    """Memory given out for each MiB that a host has, for hosts that join."""
    disk_ratio: Ratio = 1.0
    """Disk given out for each GiB that a host has, for hosts that join."""
    image_property_isolation: bool = False
    """Whether an aggregate's metadata that name image properties keep images with other values off its hosts."""
