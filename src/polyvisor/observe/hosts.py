"""Hosts and their capacity: per connection always, and host by host where the cloud is not too large for that."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import Metric as Family

from polyvisor.model.host import Host, HostState
from polyvisor.observe.metric import Metric, family

MIB, GIB = 1024**2, 1024**3
_WHAT = "what=total is what there is, reserved is kept from servers, allocatable counts overcommit, used is claimed."

HOSTS = Metric(
    name="polyvisor_hosts",
    kind="gauge",
    help="Hosts by state: up, disabled (up, and not to be used), down.",
    labels=("place", "state"),
)
SHOWN = Metric(
    name="polyvisor_hosts_shown",
    kind="gauge",
    help="1 when every host has series of its own, 0 when there are more than `[metrics] most_hosts`.",
)
VCPUS = Metric(
    name="polyvisor_place_vcpus", kind="gauge", help=f"vCPUs of a connection's hosts: {_WHAT}", labels=("place", "what")
)
MEMORY = Metric(
    name="polyvisor_place_memory_bytes",
    kind="gauge",
    help=f"Memory of a connection's hosts: {_WHAT}",
    labels=("place", "what"),
)
DISK = Metric(
    name="polyvisor_place_disk_bytes",
    kind="gauge",
    help=f"Disk of a connection's hosts: {_WHAT}",
    labels=("place", "what"),
)
HOST_UP = Metric(
    name="polyvisor_host_up", kind="gauge", help="1 when the host answers, else 0.", labels=("host", "place")
)
HOST_ENABLED = Metric(
    name="polyvisor_host_enabled",
    kind="gauge",
    help="1 when the scheduler may use the host, 0 when it is disabled.",
    labels=("host", "place"),
)
HOST_SERVERS = Metric(
    name="polyvisor_host_servers", kind="gauge", help="Servers that hold a claim on the host.", labels=("host", "place")
)
HOST_VCPUS = Metric(name="polyvisor_host_vcpus", kind="gauge", help=f"vCPUs: {_WHAT}", labels=("host", "place", "what"))
HOST_MEMORY = Metric(
    name="polyvisor_host_memory_bytes", kind="gauge", help=f"Memory: {_WHAT}", labels=("host", "place", "what")
)
HOST_DISK = Metric(
    name="polyvisor_host_disk_bytes", kind="gauge", help=f"Disk: {_WHAT}", labels=("host", "place", "what")
)
DATASTORE_SIZE = Metric(
    name="polyvisor_datastore_bytes",
    kind="gauge",
    help="Size of a datastore, as the host sees it; shared ones are shown by each of their hosts.",
    labels=("host", "place", "datastore"),
)
DATASTORE_FREE = Metric(
    name="polyvisor_datastore_free_bytes",
    kind="gauge",
    help="What is free of a datastore, as the host sees it.",
    labels=("host", "place", "datastore"),
)
_OF_PLACES = (VCPUS, MEMORY, DISK)
_OF_HOSTS = (HOST_VCPUS, HOST_MEMORY, HOST_DISK)
METRICS = (
    HOSTS, SHOWN, *_OF_PLACES, HOST_UP, HOST_ENABLED, HOST_SERVERS, *_OF_HOSTS, DATASTORE_SIZE, DATASTORE_FREE,
)  # fmt: skip

Amounts = dict[str, float]
"""By the value of the label `what`."""


def families(hosts: Sequence[Host], most_hosts: int) -> Iterator[Family]:
    """The metrics of one reading."""
    states: dict[tuple[str, str], int] = {}
    for host in hosts:
        for state in ("up", "disabled", "down"):
            states.setdefault((host.place, state), 0)
        states[host.place, _state(host)] += 1
    yield family(HOSTS, states.items())
    yield family(SHOWN, [((), float(len(hosts) <= most_hosts))])
    for metric, amounts in zip(_OF_PLACES, _AMOUNTS, strict=True):
        sums: dict[tuple[str, str], float] = defaultdict(float)
        for host in hosts:
            for what, value in amounts(host).items():
                sums[host.place, what] += value
        yield family(metric, sums.items())
    yield from _each(hosts if len(hosts) <= most_hosts else ())


def _each(hosts: Sequence[Host]) -> Iterator[Family]:
    yield family(HOST_UP, (((h.name, h.place), float(h.state is HostState.UP)) for h in hosts))
    yield family(HOST_ENABLED, (((h.name, h.place), float(h.enabled)) for h in hosts))
    yield family(HOST_SERVERS, (((h.name, h.place), h.servers) for h in hosts))
    for metric, amounts in zip(_OF_HOSTS, _AMOUNTS, strict=True):
        yield family(metric, (((h.name, h.place, what), value) for h in hosts for what, value in amounts(h).items()))
    stores = [((h.name, h.place, each.name), each) for h in hosts for each in h.report.datastores]
    yield family(DATASTORE_SIZE, ((labels, each.capacity_bytes) for labels, each in stores))
    yield family(DATASTORE_FREE, ((labels, each.free_bytes) for labels, each in stores))


def _state(host: Host) -> str:
    if host.state is HostState.DOWN:
        return "down"
    return "up" if host.enabled else "disabled"


def _amounts(total: float, reserved: float, ratio: float, used: float, unit: int) -> Amounts:
    return {
        "total": total * unit,
        "reserved": reserved * unit,
        "allocatable": (total - reserved) * ratio * unit,
        "used": used * unit,
    }


def _vcpus(host: Host) -> Amounts:
    return _amounts(host.report.capacity.vcpus, host.reserved_vcpus, host.vcpu_ratio, host.used_vcpus, 1)


def _memory(host: Host) -> Amounts:
    capacity = host.report.capacity.memory_mib
    return _amounts(capacity, host.reserved_memory_mib, host.memory_ratio, host.used_memory_mib, MIB)


def _disk(host: Host) -> Amounts:
    return _amounts(host.report.capacity.disk_gib, host.reserved_disk_gib, host.disk_ratio, host.used_disk_gib, GIB)


_AMOUNTS: tuple[Callable[[Host], Amounts], ...] = (_vcpus, _memory, _disk)
