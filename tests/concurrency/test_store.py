"""Transactions that meet at one row: none is lost, none is counted twice."""

import itertools
import uuid
from collections.abc import Callable

import msgspec
from sqlalchemy.exc import DBAPIError

from polyvisor.api.identity.bootstrap import CatalogItem, FirstUser, bootstrap
from polyvisor.api.identity.passwords import Passwords
from polyvisor.model.claim import Claim
from polyvisor.model.host import Capacity
from polyvisor.model.operation import OperationState
from polyvisor.model.order import ServerTarget
from polyvisor.model.place import Plan
from polyvisor.model.settings import ComputeSettings
from polyvisor.operate.engine import Engine
from polyvisor.operate.kinds import KINDS
from polyvisor.operate.tools import ControlTools
from polyvisor.schedule.settings import ScheduleSettings
from polyvisor.store.database import Database
from polyvisor.store.locking import key_of
from polyvisor.store.outage import was_undone
from polyvisor.store.store import Store
from tests.api.compute.estate import NOW, host, put, server
from tests.api.identity.conftest import CHEAP
from tests.concurrency.race import race

ROOM = Plan(host="kvm-1", place="here", generation=0, limits=Capacity(vcpus=5, memory_mib=5120, disk_gib=50))


def wanted(number: int) -> Claim:
    return Claim(server_id=str(uuid.UUID(int=number)), host="kvm-1", vcpus=1, memory_mib=1024, disk_gib=10)


def until_done(database: Database, act: Callable[[Store], object]) -> None:
    """As the API and the loops do: what the database undoes for another's sake is done again."""
    for _ in range(20):
        try:
            with database.write() as store:
                act(store)
            return
        except DBAPIError as error:
            if not was_undone(error):
                raise
    raise AssertionError("it lost twenty times")


def test_of_eight_claims_on_a_host_with_room_for_five_five_are_held(database: Database) -> None:
    """Though every plan was made before any of them was claimed."""
    put(database, host("kvm-1"))

    def claim(number: int) -> bool:
        with database.write() as store:
            return store.host.claim(wanted(number), ROOM)

    assert sorted(race(8, claim)) == [False] * 3 + [True] * 5
    with database.read() as store:
        [now] = store.host.list()
        assert (now.used_vcpus, now.used_memory_mib, now.used_disk_gib, now.servers) == (5, 5120, 50, 5)
        assert len(store.host.claims()) == 5


def test_a_claim_that_many_give_back_is_given_back_once(database: Database) -> None:
    put(database, host("kvm-1"))
    with database.write() as store:
        assert store.host.claim(wanted(1), ROOM)
        assert store.host.claim(wanted(2), ROOM)

    def release(_: int) -> str | None:
        with database.write() as store:
            return store.host.release(wanted(1).server_id)

    assert sorted(race(6, release), key=str) == [None] * 5 + ["kvm-1"]
    with database.read() as store:
        [now] = store.host.list()
        assert (now.used_vcpus, now.servers) == (1, 1)


def test_no_claim_is_held_on_a_host_that_was_disabled_since_it_was_planned(database: Database) -> None:
    put(database, host("kvm-1"))
    with database.write() as store:
        store.host.enable("kvm-1", False, "being mended")
        assert not store.host.claim(wanted(1), ROOM)
        assert store.host.claim(wanted(2), msgspec.structs.replace(ROOM, limits=None))


def test_a_counter_that_many_move_for_the_first_time_misses_none(database: Database) -> None:
    def move(_: int) -> int:
        with database.write() as store:
            return store.change.next("new")

    assert sorted(race(8, move)) == list(range(1, 9))


def test_an_operation_that_waits_is_never_forgotten_by_the_one_that_ends(database: Database) -> None:
    """Each is begun while the one before is at its end, in another process's turn."""
    put(database, server("s", "demo", place=None))
    engines = [Engine(KINDS, ControlTools(ComputeSettings(), ScheduleSettings())) for _ in range(2)]
    target = server("s", "demo").id
    numbers = itertools.count()

    def begin(store: Store) -> None:
        store.server.get(target, deleted=True)
        store.operation.begin(
            id=str(uuid.UUID(int=next(numbers))), kind="server.start", target_id=target, project_id="p",
            user_id="u", request_id="r", args=msgspec.to_builtins(ServerTarget(server_id=target)), now=NOW,
        )  # fmt: skip

    def begin_or_turn(index: int) -> None:
        for _ in range(10):
            until_done(database, begin if index < 2 else lambda store: engines[index - 2].turn(store, NOW))

    for _ in range(4):
        race(4, begin_or_turn)
    while True:
        with database.write() as store:
            engines[0].turn(store, NOW)
        with database.read() as store:
            rows = store.operation.list(limit=1000)
        if all(row.state is OperationState.FAILED for row in rows):
            break
        # None waits for nobody: at each moment one of them is on its way.
        assert [row.state for row in rows].count(OperationState.RUNNING) <= 1
        assert any(row.state in (OperationState.RUNNING, OperationState.UNWINDING) for row in rows)
    assert len(rows) == 80


def test_a_cancel_outlives_the_turn_that_has_read_the_row_before(database: Database) -> None:
    for number in range(10):
        with database.write() as store:
            store.operation.begin(
                id=str(uuid.UUID(int=number)), kind="server.create", target_id=f"t{number}", project_id="p",
                user_id="u", request_id="r", args={"nonsense": True}, now=NOW, alone=True,
            )  # fmt: skip

        def cancel_or_save(index: int, number: int = number) -> None:
            with database.write() as store:
                if index == 0:
                    store.operation.cancel(f"t{number}", NOW)
                else:
                    row = store.operation.get(str(uuid.UUID(int=number)))
                    store.operation.save([msgspec.structs.replace(row, attempts=row.attempts + 1)])

        race(5, cancel_or_save)
        with database.read() as store:
            row = store.operation.get(str(uuid.UUID(int=number)))
        assert (row.cancelled, row.attempts) == (True, 4)


def test_only_one_is_at_work_under_a_name_and_the_next_one_after_its_commit(database: Database) -> None:
    with database.write() as first:
        assert first.only_one("sweep")
        with database.write() as second:
            assert not second.only_one("sweep")
            assert second.only_one("another")
    with database.write() as third:
        assert third.only_one("sweep")
    assert key_of("sweep") != key_of("another")


def test_three_servers_that_start_at_once_make_one_cloud(database: Database) -> None:
    def start(index: int) -> None:
        bootstrap(
            database,
            Passwords(CHEAP),
            users=(FirstUser(name="admin", password=f"from-{index}", project="admin", role="admin"),),
            base_url="http://127.0.0.1:8774",
            catalog=(CatalogItem(type="compute", name="nova", path="/compute/v2.1"),),
            now=NOW,
            new_id=lambda: uuid.uuid4().hex,
        )
        with database.write() as store:
            store.cloud.id(str(uuid.uuid4()))
            store.flavor.bootstrap(NOW)

    race(3, start)
    with database.read() as store:
        assert len(store.token_key.list()) == 2
        assert len(store.catalog.services()) == 1
        assert len(store.flavor.list()) == 6
