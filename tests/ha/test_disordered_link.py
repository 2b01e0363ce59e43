"""Reports that come twice, late, in another order or never do no harm: servers end as asked, and nothing is left."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from polyvisor.hypervisor.driver import Driver
from polyvisor.hypervisor.simulated import SimulatedSettings
from polyvisor.model.server import VmState
from polyvisor.operate.gate import Gate
from polyvisor.operate.station import Station
from testbed import audit, looks
from testbed.audit import Ledger
from tests.ha.disorder import DisorderedLink
from tests.operate.cloud import Cloud

PATIENCE_SECONDS = 180.0
SERVERS = 12
ROOMY = SimulatedSettings(hosts=3, vcpus=8, memory_mib=8192, disk_gib=100, lost_reply_rate=0.1, seed=1)
RATE = 0.15
SEED = 1


@pytest.fixture
def cloud(tmp_path: Path, database_url: str) -> Iterator[Cloud]:
    """Three simulated hosts whose own replies are lost as well."""
    made = Cloud(tmp_path, ROOMY, database_url=database_url)
    yield made
    made.close()


def until(true: Callable[[], Any], what: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


def test_whatever_happens_to_messages_servers_end_as_asked(cloud: Cloud, database_url: str) -> None:
    link = DisorderedLink(Gate(cloud.database, cloud.engine, lambda: datetime.now(UTC)), "agent:one", SEED, RATE)
    source: Any = object()
    drivers: dict[str, Driver] = {"sim": cloud.driver}
    station = Station(
        link, drivers, {"sim": "simulated"}, cloud.kinds, lambda _step: source, lambda: datetime.now(UTC),
        time.monotonic, threads=4, inventory_seconds=0.2, look_seconds=0.1,
    )  # fmt: skip
    ids = [cloud.ask_for_server(f"server-{number}") for number in range(SERVERS)]
    ledger = Ledger(created={id: f"server-{number}" for number, id in enumerate(ids)})
    station.start()
    try:
        until(lambda: sum(cloud.server(id).vm_state is VmState.ACTIVE for id in ids) >= SERVERS // 2, cloud.unfinished)
        for id in ids[::2]:
            cloud.ask_for_end(id)
            ledger.deleted.add(id)

        def told() -> list[str]:
            found = looks.simulated("sim", cloud.directory / "simulated.db")
            return audit.judge(ledger, audit.read(database_url), found)

        until(lambda: not told(), told)
    finally:
        station.stop()
    assert told() == []
    for id in ids[1::2]:
        assert cloud.server(id).vm_state is VmState.ACTIVE
    assert link.mishaps.keys() >= {"reports sent twice", "exchange lost", "answer to exchange lost"}, link.mishaps
