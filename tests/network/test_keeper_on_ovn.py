"""The keeper's thread on a real OVN and a real store: outages of either end in what is recorded."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

import pytest

from polyvisor.network.ovn.backend import OvnBackend
from polyvisor.operate.network_keeper import NetworkKeeper
from polyvisor.store.database import Database
from testbed.ovn import TestOvn
from testbed.process import wait_for
from tests.databases import sqlite_url, with_tables
from tests.network.beds import settings
from tests.operate.networks import put_network, put_port

pytestmark = pytest.mark.xdist_group("ovn")

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PATIENCE_SECONDS = 180.0


@pytest.fixture
def database(tmp_path: object) -> Iterator[Database]:
    database = with_tables(sqlite_url(tmp_path))  # type: ignore[arg-type]
    yield database
    database.close()


@contextmanager
def keeper_of(database: Database, ovn: TestOvn) -> Iterator[NetworkKeeper]:
    backend = OvnBackend(settings(ovn))
    keeper = NetworkKeeper(database, backend, lambda: NOW, time.monotonic, sweep_seconds=3600)
    keeper.start()
    try:
        yield keeper
    finally:
        keeper.stop()


def becomes(true: Callable[[], bool], complaint: str) -> None:
    wait_for(true, PATIENCE_SECONDS, lambda: complaint)


def has(ovn: TestOvn, port_id: str) -> bool:
    """Whether OVN has a port; its database may be away."""
    try:
        return bool(
            ovn.nbctl("--timeout=2", "--bare", "--columns=name", "find", "Logical_Switch_Port", f"name={port_id}")
        )
    except ChildProcessError:
        return False


def status(database: Database, port_id: str) -> str:
    with database.read() as store:
        return store.port.get(port_id).status


def make(database: Database, number: int) -> str:
    with database.write() as store:
        put_port(
            store,
            f"port-{number}",
            put_network(store, number, project_id="mine", now=NOW),
            NOW,
            device_owner="compute:",
        )
    return f"port-{number}"


def test_ovn_becomes_what_is_recorded_whatever_goes_away_meanwhile(database: Database, ovn: TestOvn) -> None:
    before = make(database, 1)
    with keeper_of(database, ovn) as keeper:
        becomes(lambda: has(ovn, before), "what was recorded before the keeper came is not in OVN")
        with database.write() as store:
            store.port.bind([before], host=ovn.chassis[0].name, vif_type="ovs", now=NOW)
        ovn.chassis[0].plug(before)
        becomes(lambda: status(database, before) == "ACTIVE", "a port that is plugged in is not called active")

        ovn.kill("nb")
        during = make(database, 2)
        becomes(lambda: "does not answer" in keeper.trouble, "nobody is told that OVN is away")
        ovn.start()
        becomes(lambda: has(ovn, during), "what was recorded while OVN was away is not in OVN")
        becomes(lambda: keeper.trouble == "", f"there is trouble still: {keeper.trouble}")

        ovn.empty()
        becomes(lambda: has(ovn, before) and has(ovn, during), "an emptied OVN is not filled again")
        becomes(lambda: status(database, before) == "ACTIVE", "a port that was filled in again is not active")
    with database.read() as store:
        assert store.network_intent.due(10) == []


def test_a_second_keeper_takes_over_when_the_first_ends(database: Database, ovn: TestOvn) -> None:
    with ExitStack() as stack:
        with keeper_of(database, ovn) as first:
            becomes(lambda: first.leads, "nobody leads")
            second = stack.enter_context(keeper_of(database, ovn))
            made = make(database, 1)
            becomes(lambda: has(ovn, made), "two keepers do nothing")
            assert (first.leads, second.leads) == (True, False)
        becomes(lambda: second.leads, "nobody took over")
        made = make(database, 2)
        becomes(lambda: has(ovn, made), "the one that took over does nothing")
