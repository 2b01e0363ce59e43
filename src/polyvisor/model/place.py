"""What the scheduler is asked, and what it answers."""

from collections.abc import Iterable, Mapping

from polyvisor.model.host import Capacity, Datastore, Host
from polyvisor.model.image import ImageRef
from polyvisor.model.network import SegmentRef
from polyvisor.model.record import Told

_ENDLESS = 1 << 53


class NetworkNeed(Told):
    """A network on which the server is to have a card."""

    name: str
    """What the user knows it by: its name, else its id."""
    segments: tuple[SegmentRef, ...]
    """A host must carry one of them."""


class PlaceRequest(Told):
    """What a server needs of a host. Filled in when the server is asked for, kept in its operation."""

    server_id: str
    project_id: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    """Root, ephemeral and swap together, rounded up to whole GiB."""
    image: ImageRef | None = None
    extra_specs: dict[str, str] = {}
    """The flavor's: `trait:X` = required / forbidden, `capabilities:…`, `aggregate_instance_extra_specs:…`."""
    zone: str | None = None
    """The availability zone asked for; None = any."""
    host: str | None = None
    """One host by name (the administrator's `host` / `hypervisor_hostname`, or zone:host); None = any."""
    force: bool = False
    """With `host`: skip every filter but the host's own existence (zone:host of old microversions)."""
    avoid: frozenset[str] = frozenset()
    """Hosts that were tried and failed in this operation."""
    passed_over: dict[str, str] = {}
    """Hosts that do not do for what the operation is about: name → reason, going on from the host's name."""
    networks: tuple[NetworkNeed, ...] = ()
    """What its ports are on at the moment of the choice."""


class AggregateView(Told):
    """What the scheduler sees of an aggregate."""

    id: int
    name: str
    metadata: dict[str, str]
    """`availability_zone`, ratios (`cpu_allocation_ratio` …), `filter_tenant_id…`, and what extra specs ask for."""
    hosts: frozenset[str]
    """Names of its hosts."""


class HostView(Told):
    """What the scheduler sees of a host."""

    host: Host
    datastores: tuple[Datastore, ...] = ()
    """Those that servers may use here."""


class Plan(Told):
    """A proposal: the store checks it again when it claims."""

    host: str
    place: str
    generation: int
    """The host's when the plan was made."""
    limits: Capacity | None = None
    """What may be claimed of the host in all, after reservation and overcommit of the host and its aggregates; None
    where the host was forced."""


def allocatable(total: int, reserved: int, ratio: float) -> int:
    """How much of a resource may be claimed of a host in all: (total - reserved) * ratio, in whole units."""
    # 100 * 1.15 is 114.99999999999999 to a computer; and what is endless is still to fit a column of integers.
    return max(0, int(min((total - reserved) * ratio + 1e-6, _ENDLESS)))


def overcommit(own: float, metadata: Iterable[Mapping[str, str]], key: str) -> float:
    """The overcommit ratio of a host: the smallest `key` (`cpu_allocation_ratio`, `ram_allocation_ratio`,
    `disk_allocation_ratio`) that the metadata of its aggregates set, or its own where none does.

    What is not a number above zero counts as not set.
    """
    given = []
    for entries in metadata:
        try:
            ratio = float(entries.get(key, ""))
        except ValueError:
            continue
        if 0 < ratio < float("inf"):
            given.append(ratio)
    return min(given, default=own)
