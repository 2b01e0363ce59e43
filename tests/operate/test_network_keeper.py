"""The keeper of networks: what was touched becomes real, whatever fails in between, and nothing is lost."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import msgspec
import pytest
from sqlalchemy import event

from polyvisor.model.network_intent import Unit
from polyvisor.model.port import METADATA, WantedIp
from polyvisor.model.qos_policy import DSCP_MARKING, QosPolicy, QosRule
from polyvisor.model.router import FloatingIpWanted, GatewayWanted, Router
from polyvisor.model.security_group import AddressGroup
from polyvisor.model.trunk import SubPort, Trunk
from polyvisor.network.backend import BackendDown, Subject
from polyvisor.network.simulated.backend import SimulatedBackend
from polyvisor.operate.network_keeper import AT_ONCE, NetworkKeeper
from polyvisor.store.database import Database
from polyvisor.store.port_tables import port as port_table
from polyvisor.store.store import Store
from tests.api.metadata.estate import Estate
from tests.databases import with_tables
from tests.operate.networks import SETTINGS, VLAN, put_network, put_port
from tests.operate.rows_backend import RowsBackend

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINE = "mine"
OUTSIDE, WEB, DB = 100, 1, 2
SWEEP_SECONDS = 60.0
PATIENCE_SECONDS = 180.0


class Steady:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = with_tables(database_url)
    yield database
    database.close()


def keeper_of(
    database: Database, backend: RowsBackend | SimulatedBackend, steady: Steady | None = None
) -> NetworkKeeper:
    return NetworkKeeper(database, backend, lambda: NOW, steady or Steady(), SWEEP_SECONDS)


def due(database: Database) -> set[Subject]:
    with database.read() as store:
        return {Subject(unit=each.unit, id=each.id) for each in store.network_intent.due(10_000)}


def net(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def sub(number: int) -> str:
    return net(number).replace("0", "5", 1)


def port(id: str) -> Subject:
    return Subject(unit=Unit.PORT, id=id)


# What the API and the engine do to the records, one after the other.


def networks(store: Store) -> None:
    put_network(store, OUTSIDE, project_id="admin", now=NOW, external=True, segment=VLAN)
    put_network(store, WEB, project_id=MINE, now=NOW)
    put_network(store, DB, project_id=MINE, now=NOW)


def ports(store: Store) -> None:
    for number in (WEB, DB):
        put_port(
            store, f"port-{number}", store.network.get(net(number)), NOW, device_owner="compute:nova", dns_name="a"
        )


def metadata_port(store: Store) -> None:
    wanted = (WantedIp(ip_address="10.0.1.200"),)
    put_port(store, "metadata", store.network.get(net(WEB)), NOW, device_owner=METADATA, fixed_ips=wanted)


def bound(store: Store) -> None:
    store.port.bind(["port-1"], host="gw-1", vif_type="ovs", now=NOW)


def resolvers(store: Store) -> None:
    store.subnet.change(store.subnet.get(sub(WEB)), {"dns_nameservers": ("10.9.9.9",)}, NOW)


def no_dhcp(store: Store) -> None:
    store.subnet.change(store.subnet.get(sub(WEB)), {"enable_dhcp": False}, NOW)


def domain(store: Store) -> None:
    store.network.change(store.network.get(net(DB)), {"dns_domain": "db.example."}, NOW)


def router(store: Store) -> None:
    store.router.create(Router(id="r1", project_id=MINE, created_at=NOW, updated_at=NOW))
    for number in (WEB, DB):
        store.router_interface.add_subnet(
            store.router.get("r1"), sub(number), viewer=MINE, port_id=f"if-{number}", now=NOW, settings=SETTINGS
        )


def way_out(store: Store) -> None:
    wanted = GatewayWanted(network_id=net(OUTSIDE))
    store.router_gateway.set(store.router.get("r1"), wanted, viewer=None, port_id="gateway", now=NOW, settings=SETTINGS)


def floating(store: Store) -> None:
    wanted = FloatingIpWanted(project_id=MINE, floating_network_id=net(OUTSIDE))
    made = store.floating_ip.create(wanted, id="f1", port_id="f1-port", viewer=None, now=NOW, settings=SETTINGS)
    store.floating_ip.associate(made, "port-1", None, viewer=None, now=NOW)


def limits(store: Store) -> None:
    policy = QosPolicy(id="q1", project_id=MINE, created_at=NOW, updated_at=NOW)
    store.qos_policy.create(policy)
    store.network.change(store.network.get(net(WEB)), {"qos_policy_id": "q1"}, NOW)
    store.port.change(store.port.get("port-2"), {"qos_policy_id": "q1"}, NOW)


def marks(store: Store) -> None:
    rule = QosRule(id="rule", kind=DSCP_MARKING, dscp_mark=16)
    store.qos_policy.add_rule(store.qos_policy.get("q1"), rule, NOW)


def addresses(store: Store) -> None:
    group = AddressGroup(id="a1", project_id=MINE, addresses=("10.0.0.0/8",), created_at=NOW, updated_at=NOW)
    store.address_group.create(group)


def trunk(store: Store) -> None:
    carried = put_port(store, "carried", store.network.get(net(DB)), NOW)
    parent = put_port(store, "parent", store.network.get(net(WEB)), NOW)
    record = Trunk(id="t1", project_id=MINE, port_id=parent.id, created_at=NOW, updated_at=NOW)
    made = store.trunk.create(record, None, NOW)
    store.trunk.add(made, [SubPort(port_id=carried.id, segmentation_id=7)], None, NOW)


def loosened(store: Store) -> None:
    store.floating_ip.disassociate(store.floating_ip.get("f1"), NOW)


def port_gone(store: Store) -> None:
    store.port.delete(["port-2"], NOW)


def moved(store: Store) -> None:
    store.port.bind(["port-1"], host="esxi-1", vif_type="dvs", now=NOW)


HISTORY: tuple[Callable[[Store], None], ...] = (
    *(networks, ports, metadata_port, bound, resolvers, router, way_out, floating, no_dhcp, domain),
    *(limits, marks, addresses, trunk, loosened, moved, port_gone),
)


def test_what_concerns_a_change_is_brought_about_with_it(database: Database) -> None:
    """After each change a sweep finds nothing to do: whatever it touches was looked at."""
    backend, steady = RowsBackend(), Steady()
    keeper = keeper_of(database, backend, steady)
    keeper.turn()
    for change in HISTORY:
        with database.write() as store:
            change(store)
        keeper.turn()
        assert due(database) == set(), change.__name__
        steady.now += SWEEP_SECONDS
        keeper.turn()
        assert keeper.counts.repairs == 0, f"something that belongs to {change.__name__} was not looked at"
    assert keeper.counts.sweeps == 1 + len(HISTORY)
    assert {Unit.NETWORK, Unit.PORT, Unit.ROUTER, Unit.SECURITY_GROUP, Unit.ADDRESS_GROUP} == {
        each.unit for each in backend.known()
    }
    tables = {row.table for rows in backend.rows.values() for row in rows}
    assert {"QoS", "DNS", "NAT", "Gateway_Chassis", "HA_Chassis"} <= tables


def test_a_snapshot_takes_as_many_statements_for_many_subjects_as_for_one(database: Database) -> None:
    with database.write() as store:
        networks(store)
        web = store.network.get(net(WEB))
        for number in range(30):
            put_port(store, f"port-{number:02d}", web, NOW)
    counts = []
    for many in (1, 30):
        statements: list[str] = []
        with database.read() as store:
            event.listen(store.connection, "before_cursor_execute", lambda *told, into=statements: into.append(told[2]))
            store.network_snapshot.of([port(f"port-{number:02d}") for number in range(many)])
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 20


def test_many_changes_go_to_the_backend_some_at_a_time(database: Database) -> None:
    backend = RowsBackend()
    keeper = keeper_of(database, backend)
    keeper.turn()
    with database.write() as store:
        networks(store)
        store.network_intent.touch(Unit.PORT, [f"never-{number}" for number in range(2 * AT_ONCE)])
    keeper.turn()
    assert len(backend.handed) == 3
    assert due(database) == set()


def test_a_backend_that_is_away_gets_everything_later(database: Database) -> None:
    backend = RowsBackend()
    keeper = keeper_of(database, backend)
    keeper.turn()
    backend.trouble = "it is away"
    with database.write() as store:
        networks(store)
    waiting = due(database)
    assert waiting
    with pytest.raises(BackendDown):
        keeper.turn()
    assert due(database) == waiting
    backend.trouble = ""
    keeper.turn()
    assert due(database) == set()
    assert keeper.trouble == ""


def test_a_process_that_dies_before_it_strikes_off_leaves_all_to_the_next(database: Database) -> None:
    backend = RowsBackend()
    with database.write() as store:
        networks(store)
        ports(store)
    first = keeper_of(database, backend)
    first._done = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)  # type: ignore[method-assign]  # killed there
    with pytest.raises(KeyboardInterrupt):
        first.turn()
    assert port("port-1") in due(database)
    keeper_of(database, backend).turn()
    assert due(database) == set()
    assert port("port-1") in backend.known()


def test_what_is_touched_while_it_is_brought_about_is_brought_about_again(database: Database) -> None:
    backend = RowsBackend()
    keeper = keeper_of(database, backend)
    keeper.turn()
    with database.write() as store:
        networks(store)
        ports(store)

    def meanwhile() -> None:
        backend.before = lambda: None
        with database.write() as store:
            store.port.change(store.port.get("port-1"), {"admin_state_up": False}, NOW)

    backend.before = meanwhile
    keeper.turn()
    assert due(database) == {port("port-1")}
    keeper.turn()
    [row] = [row for row in backend.rows[port("port-1")] if row.table == "Logical_Switch_Port"]
    assert row.columns["enabled"] == frozenset((False,))


def test_what_the_backend_refuses_is_tried_later_and_holds_nothing_up(database: Database) -> None:
    backend, steady = RowsBackend(), Steady()
    keeper = keeper_of(database, backend, steady)
    keeper.turn()
    backend.refused = {port("port-1")}
    with database.write() as store:
        networks(store)
        ports(store)
    keeper.turn()
    assert due(database) == {port("port-1")}
    assert keeper.stuck == {port("port-1"): "it is refused"}
    tries = len(backend.handed)
    keeper.turn()
    assert len(backend.handed) == tries, "tried again at once"
    backend.refused = set()
    steady.now += 10
    keeper.turn()
    assert (due(database), keeper.stuck) == (set(), {})


def test_a_process_that_does_not_lead_leaves_what_is_due(database: Database) -> None:
    backend = RowsBackend()
    backend.number = 0
    keeper = keeper_of(database, backend)
    with database.write() as store:
        networks(store)
    keeper.turn()
    assert (backend.known(), keeper.leads) == (frozenset(), False)
    assert due(database)
    backend.number = 1
    keeper.turn()
    assert keeper.leads
    assert due(database) == set()


def test_what_was_lost_is_found_by_the_next_sweep_and_counted(database: Database) -> None:
    backend, steady = RowsBackend(), Steady()
    keeper = keeper_of(database, backend, steady)
    with database.write() as store:
        networks(store)
    keeper.turn()
    whole = dict(backend.rows)
    backend.rows.pop(Subject(unit=Unit.NETWORK, id=net(WEB)))
    backend.rows[Subject(unit=Unit.NETWORK, id="never")] = whole[Subject(unit=Unit.NETWORK, id=net(DB))]
    keeper.turn()
    assert keeper.counts.repairs == 0
    steady.now += SWEEP_SECONDS
    keeper.turn()
    assert keeper.counts.repairs == 2
    assert {subject: rows for subject, rows in backend.rows.items() if rows} == whole


def test_ports_are_active_while_the_backend_says_so(database: Database) -> None:
    backend = SimulatedBackend()
    keeper = keeper_of(database, backend)
    with database.write() as store:
        networks(store)
        ports(store)
    keeper.turn()
    assert status(database, "port-1") == "DOWN"
    with database.write() as store:
        bound(store)
    keeper.turn()
    assert status(database, "port-1") == "ACTIVE"
    with database.write() as store:  # once more: a binding calls the port down, and the backend has no news of it
        bound(store)
    keeper.turn()
    assert status(database, "port-1") == "ACTIVE"
    with database.write() as store:
        store.port.bind(["port-1"], host="", vif_type="unbound", now=NOW)
    keeper.turn()
    assert status(database, "port-1") == "DOWN"


def status(database: Database, id: str) -> str:
    with database.read() as store:
        return store.port.get(id).status


def vif_type(database: Database) -> str:
    with database.read() as store:
        return store.port.get("port-1").binding.vif_type


def test_a_port_says_when_its_host_is_out_of_reach_and_when_it_is_back(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    Estate(database).host("kvm-1", "kvm")
    with database.write() as store:
        networks(store)
        ports(store)
        store.port.bind(["port-1"], host="kvm-1", vif_type="ovs", now=NOW)
    backend, steady = RowsBackend(), Steady()
    backend.away = {"kvm-1"}
    keeper = keeper_of(database, backend, steady)
    for _ in range(3):
        keeper.turn()
        assert vif_type(database) == "binding_failed"
        steady.now += SWEEP_SECONDS
    said = "network ports are bound to kvm-1, which the network backend does not reach: it is away"
    assert [each.getMessage() for each in caplog.records].count(said) == 1
    assert due(database) == set()

    backend.away, backend.number = set(), 2
    keeper.turn()
    assert vif_type(database) == "ovs"
    backend.away = {"kvm-1"}
    with database.write() as store:  # between two sweeps
        store.port.touched(["port-1"])
    keeper.turn()
    assert vif_type(database) == "binding_failed"
    assert [each.getMessage() for each in caplog.records].count(said) == 2


def test_a_port_on_a_host_that_the_cloud_does_not_know_stays_failed(database: Database) -> None:
    with database.write() as store:
        networks(store)
        ports(store)
        store.port.bind(["port-1"], host="nobody", vif_type="binding_failed", now=NOW)
    keeper_of(database, RowsBackend()).turn()
    assert vif_type(database) == "binding_failed"


def test_networks_from_before_ovn_get_their_metadata_ports_at_a_sweep(database: Database) -> None:
    made = {net(number) for number in (OUTSIDE, WEB, DB)}
    with database.write() as store:
        networks(store)
        store.metadata_port.keep(net(WEB), now=NOW, settings=SETTINGS)
        assert set(store.metadata_port.lacking()) == made, "the simulated backend has no such ports"
    backend = RowsBackend()
    settings = msgspec.structs.replace(SETTINGS, backend="ovn")
    keeper = NetworkKeeper(database, backend, lambda: NOW, Steady(), SWEEP_SECONDS, settings=settings)
    keeper.turn()
    with database.read() as store:
        assert store.metadata_port.lacking() == []
        kept = store.port.every(port_table.c.device_owner == METADATA)
    assert {each.network_id for each in kept.values()} == made
    assert {Subject(unit=Unit.PORT, id=id) for id in kept} <= backend.known()
    keeper_of(database, backend).turn()
    assert due(database) == set()


def test_the_thread_wakes_with_the_commit_and_ends_when_told(database: Database) -> None:
    backend, turns = SimulatedBackend(), [0]

    def turned() -> None:
        turns[0] += 1

    keeper = NetworkKeeper(database, backend, lambda: NOW, time.monotonic, SWEEP_SECONDS, turned)
    keeper.start()
    try:
        with database.write() as store:
            networks(store)
            ports(store)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while due(database) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert port("port-1") in backend.known()
        assert due(database) == set()
        assert turns[0] >= 1
    finally:
        keeper.stop()
    assert database.signals.listeners == []
