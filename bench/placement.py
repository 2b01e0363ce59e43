"""What a placement costs: decisions per second over 100, 1,000 and 10,000 hosts, and what keeps the table true.

    python -m bench.placement [--decisions N]

Every figure comes from one run in one process, so that they may be compared with each other.
"""

import argparse
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from uuid import UUID

from msgspec import structs

from polyvisor.model.errors import NoHost
from polyvisor.model.host import Capacity, Datastore, Host, HostReport, HostState, HypervisorType
from polyvisor.model.image import ImageRef
from polyvisor.model.place import AggregateView, HostView, PlaceRequest
from polyvisor.schedule.place import place
from polyvisor.schedule.table import HostTable

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = (HypervisorType.KVM, HypervisorType.KVM, HypervisorType.VMWARE, HypervisorType.QEMU)
TRAITS = ("HW_CPU_X86_AVX2", "HW_CPU_X86_AESNI", "STORAGE_DISK_SSD", "COMPUTE_ACCELERATORS", "CUSTOM_GOLD")


def host_view(number: int) -> HostView:
    """The host of this number: kinds, zones, traits, loads and cached images differ from one to the next."""
    free_bytes = (2000 + number % 7 * 500) << 30
    stores = (Datastore(name="ds1", kind="nfs", capacity_bytes=8 << 40, free_bytes=free_bytes, shared=True),)
    report = HostReport(
        name=f"host-{number:05}",
        hypervisor_type=KINDS[number % len(KINDS)],
        hypervisor_version=9_000_000,
        architecture="x86_64",
        capacity=Capacity(vcpus=64, memory_mib=512 << 10, disk_gib=8192),
        largest_vcpus=64,
        largest_memory_mib=512 << 10,
        traits=frozenset(trait for place, trait in enumerate(TRAITS) if number // 4 >> place & 1),
        datastores=stores,
        cached_images=frozenset(f"image-{number * step % 50}" for step in range(1, 9)),
    )
    host = Host(
        id=number + 1,
        uuid=str(UUID(int=number)),
        place=f"place-{number // 20}",
        report=report,
        state=HostState.DOWN if number % 50 == 49 else HostState.UP,
        enabled=number % 40 != 39,
        zone=("nova", "east", "west")[number % 3],
        vcpu_ratio=4.0,
        memory_ratio=1.0,
        disk_ratio=1.0,
        used_vcpus=number * 7 % 200,
        used_memory_mib=number * 13 % 500 << 10,
        used_disk_gib=number * 3 % 4000,
        servers=number % 20,
        created_at=NOW,
        seen_at=NOW,
    )
    return HostView(host=host, datastores=stores)


def aggregates(hosts: int) -> list[AggregateView]:
    """One aggregate for each hundred hosts, and a few over all of them."""
    names = [f"host-{number:05}" for number in range(hosts)]
    racks = [
        AggregateView(
            id=10 + rack, name=f"rack-{rack}", metadata={"rack": str(rack)}, hosts=frozenset(names[start:][:100])
        )
        for rack, start in enumerate(range(0, hosts, 100))
    ]
    return [
        AggregateView(
            id=1,
            name="ssd",
            metadata={"ssd": "true"},
            hosts=frozenset(name for number, name in enumerate(names) if number % 7 < 4),
        ),
        AggregateView(id=2, name="dense", metadata={"cpu_allocation_ratio": "8"}, hosts=frozenset(names[::5])),
        AggregateView(id=3, name="kept", metadata={"filter_tenant_id": "red"}, hosts=frozenset(names[::10])),
        *racks,
    ]


def requests() -> Iterator[PlaceRequest]:
    """Endless requests, each with other filters than the one before."""
    for number in count():
        properties = ({}, {"img_hv_type": "kvm"}, {"hypervisor_type": "vmware", "hw_architecture": "x86_64"})[
            number % 3
        ]
        extra_specs = (
            {},
            {"trait:HW_CPU_X86_AVX2": "required", "trait:CUSTOM_GOLD": "forbidden"},
            {"aggregate_instance_extra_specs:ssd": "true"},
            {"capabilities:num_instances": "<= 18"},
        )[number % 4]
        image = ImageRef(
            id=f"image-{number % 50}",
            disk_format="qcow2",
            container_format="bare",
            size_bytes=1 << 29,
            virtual_size_bytes=4 << 30,
            sha512="",
            properties=properties,
        )
        yield PlaceRequest(
            server_id=str(UUID(int=number)),
            project_id=("red", "blue")[number % 2],
            vcpus=1 + number % 4,
            memory_mib=1024 << number % 4,
            disk_gib=10 + number % 30,
            image=image,
            extra_specs=extra_specs,
            zone=(None, "nova", "east")[number // 3 % 3],
        )


def timed(action: Callable[[], object]) -> float:
    """How many microseconds it takes."""
    start = time.perf_counter_ns()
    action()
    return (time.perf_counter_ns() - start) / 1000


def decisions(table: HostTable, number: int) -> list[float]:
    """Microseconds of each decision; what is decided is claimed, and given back 20 decisions later."""
    taken, held = [], deque[tuple[str, int, int, int]]()
    for _, request in zip(range(number + 50), requests(), strict=False):
        start = time.perf_counter_ns()
        plan = place(table, request)
        taken.append((time.perf_counter_ns() - start) / 1000)
        held.append((plan.host, request.vcpus, request.memory_mib, request.disk_gib))
        table.claim(*held[-1])
        if len(held) > 20:
            table.release(*held.popleft())
    # The first ones warm up, and are not counted.
    return taken[50:]


def refusal(table: HostTable) -> None:
    """Ask for what no host has, and have every host explained."""
    request = structs.replace(next(requests()), memory_mib=1 << 22, zone="moon")
    try:
        place(table, request)
    except NoHost as error:
        if len(error.refusals) != len(table):
            raise SystemExit("not every host was explained") from None
    else:
        raise SystemExit("a server that fits nowhere was placed")


def report(hosts: int, number: int) -> float:
    """Print one line of figures; returns the decisions a second."""
    views = [host_view(index) for index in range(hosts)]
    listed = aggregates(hosts)
    tables: list[HostTable] = []
    build = timed(lambda: tables.append(HostTable(views, listed)))
    table = tables[0]
    taken = sorted(decisions(table, number))
    median, p99 = statistics.median(taken), taken[int(len(taken) * 0.99)]
    beats = [structs.replace(view, host=structs.replace(view.host, generation=1)) for view in views[:500]]
    beat = statistics.median(timed(lambda view=view: table.update(view)) for view in beats)  # type: ignore[misc]
    new = [structs.replace(view.host.report, traits=frozenset(TRAITS), hypervisor_version=1) for view in beats]
    changed = [
        structs.replace(beat, host=structs.replace(beat.host, report=one)) for beat, one in zip(beats, new, strict=True)
    ]
    change = statistics.median(timed(lambda view=view: table.update(view)) for view in changed)  # type: ignore[misc]
    refused = statistics.median(timed(lambda: refusal(table)) for _ in range(5))
    per_second = 1e6 / statistics.mean(taken)
    print(
        f"{hosts:>7,} {per_second:>13,.0f} {median / 1000:>10.3f} {p99 / 1000:>8.3f} {refused / 1000:>12.2f}"
        f" {refused / median:>9.0f}× {beat:>13.1f} {change:>12.1f} {build / 1000:>10.1f}"
    )
    return per_second


def main(words: Sequence[str] | None = None) -> int:
    """Print the table, and the ratios between its lines. `words`: the command line's, by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--decisions", type=int, default=2000, metavar="N", help="decisions for each size (default 2000)"
    )
    arguments = parser.parse_args(words)
    print("                decisions    one decision, ms     a refusal of every host   one host changes, µs      table")
    print("  hosts       per second     median      p99           ms  ÷ median        claims       report   built, ms")
    rates = {hosts: report(hosts, arguments.decisions) for hosts in (100, 1_000, 10_000)}
    print(f"\n100 times the hosts cost {rates[100] / rates[10_000]:.1f} times as much a decision.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
