"""What the store tells: few statements whatever the size, and true for places, agents, hosts and certificates."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import event, insert

from polyvisor.api.agent import authority
from polyvisor.model.agent import Agent, AgentPlace
from polyvisor.model.held_place import HeldPlace
from polyvisor.model.host import Capacity, Datastore, Host, HostReport, HostState, HypervisorType
from polyvisor.model.operation import OperationState
from polyvisor.observe.estate import Estate
from polyvisor.observe.hosts import MIB
from polyvisor.store.database import Database
from polyvisor.store.host import host as host_table
from polyvisor.store.operation import operation as operation_table
from polyvisor.store.tables import metadata
from tests import databases

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MOST_STATEMENTS = 8


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = databases.with_tables(database_url)
    yield made
    made.close()


def a_host(number: int, place: str = "kvm", **changes: Any) -> Host:
    """8 vCPUs, 1000 MiB, 100 GiB; of each a part is reserved or used."""
    report = HostReport(
        name=f"{place}-{number}",
        hypervisor_type=HypervisorType.KVM,
        hypervisor_version=1,
        architecture="x86_64",
        capacity=Capacity(vcpus=8, memory_mib=1000, disk_gib=100),
        largest_vcpus=8,
        largest_memory_mib=1000,
        datastores=(Datastore(name="local", kind="dir", capacity_bytes=1000, free_bytes=250),),
    )
    made = Host(
        id=number, uuid=f"{place}-{number}", place=place, report=report, state=HostState.UP, zone="nova",
        vcpu_ratio=4.0, memory_ratio=1.0, disk_ratio=1.0, reserved_memory_mib=200, used_vcpus=3, used_memory_mib=500,
        servers=2, created_at=NOW, seen_at=NOW,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def keep(database: Database, *hosts: Host) -> None:
    """Write them, all at once."""
    with database.write() as store:
        number = store.change.next("host")
        rows = [
            {**{name: getattr(one, name) for name in Host.__struct_fields__ if name != "id"}, "name": one.name,
             "gone": False, "change": number}
            for one in hosts
        ]  # fmt: skip
        store.connection.execute(insert(host_table), rows)


def estate_of(database: Database, most_hosts: int = 10) -> Estate:
    """It waits for the store as long as a slow machine needs."""
    return Estate(database, lambda: NOW, most_hosts, patience_seconds=180)


def told(estate: Estate) -> dict[tuple[Any, ...], float]:
    """(name, label values …) → value."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in estate.collect()
        for sample in family.samples
    }  # fmt: skip


def statements(database: Database) -> list[str]:
    """Grows with each statement from here on."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("BEGIN"):
            seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    return seen


def test_registering_it_reads_nothing(database: Database) -> None:
    seen = statements(database)
    CollectorRegistry().register(Estate(database, lambda: NOW, 10))
    assert seen == []


def test_a_scrape_takes_few_statements_whatever_the_size(database: Database) -> None:
    """10,000 hosts: no more statements than for none, and no series for each of them."""
    estate = estate_of(database, most_hosts=2000)
    told(estate)
    seen = statements(database)
    told(estate)
    for_none = len(seen)
    keep(database, *(a_host(number, place=f"place-{number % 10}") for number in range(10_000)))
    seen.clear()
    found = told(estate)
    assert for_none <= len(seen) <= MOST_STATEMENTS
    assert found["polyvisor_store_readable",] == 1
    assert found["polyvisor_hosts_shown",] == 0
    assert found["polyvisor_hosts", "place-1", "up"] == 1000
    assert found["polyvisor_place_vcpus", "place-1", "used"] == 3000
    assert not [key for key in found if key[0] == "polyvisor_host_up"]
    assert len(found) < 1000


def test_hosts_and_capacity(database: Database) -> None:
    estate = estate_of(database)
    keep(database, a_host(1), a_host(2, enabled=False), a_host(3, state=HostState.DOWN))
    found = told(estate)
    assert [found["polyvisor_hosts", "kvm", state] for state in ("up", "disabled", "down")] == [1, 1, 1]
    amounts = {what: found["polyvisor_host_memory_bytes", "kvm-1", "kvm", what] / MIB
               for what in ("total", "reserved", "allocatable", "used")}  # fmt: skip
    assert amounts == {"total": 1000, "reserved": 200, "allocatable": 800, "used": 500}
    assert found["polyvisor_host_vcpus", "kvm-1", "kvm", "allocatable"] == 32
    assert found["polyvisor_place_memory_bytes", "kvm", "used"] == 1500 * MIB
    assert found["polyvisor_datastore_free_bytes", "kvm-1", "kvm", "local"] == 250
    assert [found["polyvisor_host_up", f"kvm-{n}", "kvm"] for n in (1, 2, 3)] == [1, 1, 0]
    assert [found["polyvisor_host_enabled", f"kvm-{n}", "kvm"] for n in (1, 2, 3)] == [1, 0, 1]


def test_a_change_is_told_at_the_next_scrape(database: Database) -> None:
    """Hosts are remembered between scrapes: what changed, came or went is not."""
    estate = estate_of(database)
    keep(database, a_host(1), a_host(2))
    assert told(estate)["polyvisor_host_up", "kvm-1", "kvm"] == 1
    with database.write() as store:
        store.host.down("kvm", "silent")
        store.host.leave("kvm-2")
    found = told(estate)
    assert found["polyvisor_host_up", "kvm-1", "kvm"] == 0
    assert ("polyvisor_host_up", "kvm-2", "kvm") not in found


def agents(database: Database) -> None:
    """vc1: held by "one", "two" stands by. vc2: both in trouble. vc3: held by nobody, its agent "old" silent."""
    certificate = {"certificate_serial": "1", "created_at": NOW}
    held = {"driver": "vsphere", "seen_at": NOW - timedelta(seconds=3)}
    with database.write() as store:
        for id, seen in (("one", 1), ("two", 2), ("old", 500)):
            seen_at, until = NOW - timedelta(seconds=seen), NOW + timedelta(days=20)
            store.agent.add(Agent(id=id, name=f"agent-{id}", certificate_until=until, seen_at=seen_at, **certificate))  # type: ignore[arg-type]
        gone = Agent(id="gone", name="agent-gone", certificate_until=NOW, seen_at=NOW, revoked_at=NOW, **certificate)  # type: ignore[arg-type]
        store.agent.add(gone)
        later, before = NOW + timedelta(seconds=7), NOW - timedelta(seconds=60)
        store.place.add(
            [
                HeldPlace(name="vc1", holder="one:x", agent_id="one", epoch=4, held_until=later, **held),  # type: ignore[arg-type]
                HeldPlace(name="vc2", holder="one:x", agent_id="one", epoch=1, held_until=later, **held),  # type: ignore[arg-type]
                HeldPlace(name="vc3", holder="old:x", agent_id="old", epoch=9, held_until=before, **held),  # type: ignore[arg-type]
            ]
        )
        seen_at = NOW - timedelta(seconds=2)
        store.agent.note_places(
            [
                AgentPlace(agent_id="one", place="vc1", seen_at=seen_at),
                AgentPlace(agent_id="two", place="vc1", seen_at=seen_at),
                AgentPlace(agent_id="one", place="vc2", seen_at=seen_at, trouble="The vCenter does not answer."),
                AgentPlace(agent_id="two", place="vc2", seen_at=seen_at, trouble="The vCenter does not answer."),
                AgentPlace(agent_id="old", place="vc3", seen_at=NOW - timedelta(seconds=500)),
                AgentPlace(agent_id="gone", place="vc3", seen_at=NOW),
            ]
        )


def test_places_and_agents(database: Database) -> None:
    agents(database)
    found = told(estate_of(database))
    assert found["polyvisor_place_held", "vc1", "vsphere", "agent-one"] == 1
    assert found["polyvisor_place_held", "vc3", "vsphere", ""] == 0
    assert found["polyvisor_place_hold_seconds", "vc1"] == 7
    assert found["polyvisor_place_hold_seconds", "vc3"] == -60
    assert found["polyvisor_place_epoch", "vc1"] == 4
    assert found["polyvisor_place_seen_seconds", "vc1"] == 3
    assert [found["polyvisor_place_reachable", place, "vsphere"] for place in ("vc1", "vc2", "vc3")] == [1, 0, 0]
    assert [found["polyvisor_place_agents", place] for place in ("vc1", "vc2", "vc3")] == [2, 2, 1]
    assert [found["polyvisor_place_standbys", place] for place in ("vc1", "vc2", "vc3")] == [1, 0, 0]
    assert [found["polyvisor_place_standbys_troubled", place] for place in ("vc1", "vc2", "vc3")] == [0, 1, 0]
    assert found["polyvisor_agent_seen_seconds", "agent-old"] == 500
    assert ("polyvisor_agent_seen_seconds", "agent-gone") not in found, "a revoked one is missed by nobody"


def test_certificates(database: Database) -> None:
    agents(database)
    authority.ensure(database, NOW)
    found = told(estate_of(database))
    assert found["polyvisor_agent_certificate_seconds", "agent-one"] == 20 * 86400
    assert found["polyvisor_authority_seconds",] > 9 * 365 * 86400


def an_operation(id: str, state: OperationState, place: str, **changes: Any) -> dict[str, Any]:
    """One row."""
    row = {
        "id": id, "kind": "server.create", "target_id": id, "project_id": "p", "user_id": "u", "request_id": "r",
        "args": {}, "state": state, "step": 0, "place": place, "due_at": NOW - timedelta(seconds=30), "attempts": 0,
        "tries": 0, "cancelled": False, "journal": (), "error": "", "lease_owner": "", "lease_epoch": 0,
        "lease_until": None, "progress": 0.0, "progress_of": "", "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    return {**row, **changes}


def test_operations_and_their_steps(database: Database) -> None:
    leased = {"lease_owner": "one", "lease_until": NOW + timedelta(seconds=20)}
    lost = {"lease_owner": "one", "lease_until": NOW - timedelta(seconds=1)}
    rows = [
        an_operation("a", OperationState.RUNNING, "vc1", **leased),
        an_operation("b", OperationState.RUNNING, "vc1", **lost),
        an_operation("c", OperationState.RUNNING, "vc1", due_at=NOW + timedelta(seconds=5)),
        an_operation("d", OperationState.UNWINDING, "control", due_at=NOW - timedelta(seconds=9)),
        an_operation("e", OperationState.WAITING, "control", due_at=NOW - timedelta(hours=1)),
        an_operation("f", OperationState.STUCK, "vc1", due_at=NOW - timedelta(hours=1)),
        an_operation("g", OperationState.DONE, ""),
    ]
    with database.write() as store:
        for row in rows:
            store.connection.execute(insert(operation_table), row)
    found = told(estate_of(database))
    states = ("running", "unwinding", "waiting", "stuck")
    assert [found["polyvisor_operations", "server.create", state] for state in states] == [3, 1, 1, 1]
    assert found["polyvisor_operations", "server.delete", "running"] == 0
    assert ("polyvisor_operations", "server.create", "done") not in found, "ended ones are counted as they end"
    assert found["polyvisor_operations_stuck",] == 1
    assert found["polyvisor_steps_leased", "vc1"] == 1
    assert found["polyvisor_oldest_due_step_seconds", "vc1"] == 30
    assert found["polyvisor_oldest_due_step_seconds", "control"] == 9


class Hanging(Database):
    """Its reads wait until they are let go."""

    let_go: Event

    def read(self) -> Any:
        self.let_go.wait(60)
        return super().read()


def test_a_database_that_hangs_holds_up_no_scrape(tmp_path: Any) -> None:
    database = Hanging(databases.sqlite_url(tmp_path))
    database.let_go = Event()
    metadata.create_all(database.engine)
    estate = Estate(database, lambda: NOW, most_hosts=10, patience_seconds=0.05)
    for _ in range(3):
        assert told(estate) == {("polyvisor_store_readable",): 0}
    database.let_go.set()
    patient = estate_of(database)
    assert told(patient)["polyvisor_store_readable",] == 1
    database.close()
