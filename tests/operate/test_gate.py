"""The gate: who holds a place, whose word counts, and what many callers at once cost."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from polyvisor.model.agent import Agent, Party
from polyvisor.model.errors import Conflict, PolyvisorError, Unauthorized
from polyvisor.model.link import Beat, Exchange, Held, Inventory, Lease, PlaceState, Report, Role
from polyvisor.model.operation import Operation, OperationState
from polyvisor.model.order import HostForgetImages
from polyvisor.operate import round
from polyvisor.operate.engine import LEASE_SECONDS
from polyvisor.operate.gate import Gate
from polyvisor.operate.holding import BEAT_SECONDS, HOLD_SECONDS
from tests.operate.cloud import Cloud

PATIENCE_SECONDS = 180
KIND = "host.forget_images"


class Bed:
    """A gate, agents that have joined, and steps for their places; the cloud's clock is moved by hand."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.gate = Gate(cloud.database, cloud.engine, lambda: cloud.now)

    def agent(self, name: str, *places: str) -> Party:
        """An agent that has joined, as its first process."""
        id = self.cloud.new_id().replace("-", "")
        with self.cloud.database.write() as store:
            store.agent.add(
                Agent(
                    id=id, name=name, certificate_serial="1", created_at=self.cloud.now, seen_at=self.cloud.now,
                    certificate_until=datetime(2030, 1, 1, tzinfo=UTC),
                )
            )  # fmt: skip
            store.agent.allow(id, places)
        return Party(agent_id=id, session=f"{name}-first-process", serial="1")

    def again(self, party: Party) -> Party:
        """The same agent's next process."""
        return msgspec.structs.replace(party, session=self.cloud.new_id())

    def beat(self, party: Party, *places: str, trouble: str = "", **more: Any) -> Held:
        """A sign of life, with these places on offer."""
        offered = tuple(PlaceState(name=place, driver="simulated", trouble=trouble) for place in places)
        return self.gate.beat(party, Beat(places=offered, **more))

    def role(self, party: Party, place: str, **more: Any) -> Role:
        """What a beat's answer says it is to the place."""
        [hold] = self.beat(party, place, **more).holds
        return hold.role

    def step(self, place: str) -> str:
        """A step that is due at `place`: the last one of an operation, whose id is returned."""
        id = self.cloud.begin(KIND, self.cloud.new_id(), HostForgetImages(host="h"))
        with self.cloud.database.write() as store:
            last = len(self.cloud.kinds[KIND].steps) - 1
            store.operation.save([msgspec.structs.replace(store.operation.get(id), place=place, step=last)])
        return id

    def take(self, party: Party, *places: str, most: int = 8, **more: Any) -> list[Lease]:
        """Steps for these places."""
        return self.gate.exchange(party, Exchange(places=places, most=most, **more))

    def report(self, party: Party, lease: Lease, outcome: str = "done") -> None:
        """How a step ended."""
        report = Report(operation_id=lease.operation.id, epoch=lease.operation.lease_epoch, outcome=outcome)
        self.gate.exchange(party, Exchange(reports=(report,)))

    def row(self, id: str) -> Operation:
        """An operation."""
        with self.cloud.database.read() as store:
            return store.operation.get(id)

    def later(self, seconds: float) -> None:
        """Time passes."""
        self.cloud.now += timedelta(seconds=seconds)


@pytest.fixture
def bed(cloud: Cloud) -> Bed:
    """On each database."""
    return Bed(cloud)


# Who holds a place


def test_one_of_two_is_active_and_the_other_takes_over_when_it_falls_silent(bed: Bed) -> None:
    one, two = bed.agent("one", "vc"), bed.agent("two", "vc")
    assert (bed.role(one, "vc"), bed.role(two, "vc")) == (Role.ACTIVE, Role.STANDBY)
    bed.later(HOLD_SECONDS - 1)
    [hold] = bed.beat(two, "vc").holds
    assert (hold.role, hold.lease_seconds) == (Role.STANDBY, 1.0)
    bed.later(1)
    assert bed.role(two, "vc") is Role.ACTIVE
    assert bed.role(one, "vc") is Role.STANDBY, "the one before gets nothing back"
    assert HOLD_SECONDS + BEAT_SECONDS < 15


def test_where_many_ask_at_once_each_is_given_its_share(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """One transaction hands out so many steps: beats wait for its end."""
    monkeypatch.setattr(round, "_MOST_LEASES", 6)
    names = ("a", "b", "c")
    parties = [bed.agent(name, name) for name in names]
    for party, name in zip(parties, names, strict=True):
        bed.beat(party, name)
        for _ in range(4):
            bed.step(name)
    asked = [(party, Exchange(places=(name,), most=8)) for party, name in zip(parties, names, strict=True)]
    for _ in range(2):
        assert [len(answer) for answer in bed.gate.answer(asked) if isinstance(answer, list)] == [2, 2, 2]
    assert [len(answer) for answer in bed.gate.answer(asked) if isinstance(answer, list)] == [0, 0, 0]


def test_a_holder_that_was_late_goes_on_where_nobody_has_taken_over(bed: Bed) -> None:
    one = bed.agent("one", "vc")
    [first] = bed.beat(one, "vc").holds
    bed.later(60)
    [second] = bed.beat(one, "vc").holds
    assert (second.role, second.epoch) == (Role.ACTIVE, first.epoch)


def test_what_the_former_holder_had_leased_is_due_at_once_and_its_word_counts_no_more(bed: Bed) -> None:
    one, two = bed.agent("one", "vc"), bed.agent("two", "vc")
    bed.beat(one, "vc")
    id = bed.step("vc")
    [stale] = bed.take(one, "vc")
    bed.later(HOLD_SECONDS)
    bed.beat(two, "vc")
    bed.report(one, stale)
    assert bed.row(id).state is OperationState.RUNNING
    [fresh] = bed.take(two, "vc")
    assert fresh.operation.id == id
    assert fresh.operation.lease_epoch > stale.operation.lease_epoch
    bed.report(one, stale)
    assert bed.beat(one, "vc", running=(id,)).stopped == (id,)
    assert bed.row(id).lease_owner == two.owner
    bed.report(two, fresh)
    assert bed.row(id).state is OperationState.DONE


def test_the_first_word_of_an_earlier_process_held_up_on_the_way_is_known_to_be_old(bed: Bed) -> None:
    """It was never heard before the next process was: the count of runs in its session tells."""
    second = msgspec.structs.replace(bed.agent("one", "vc"), session="run000010-second")
    first = msgspec.structs.replace(second, session="run000009-first")
    assert bed.role(second, "vc") is Role.ACTIVE
    with pytest.raises(Conflict, match="newer process"):
        bed.beat(first, "vc")
    assert bed.role(second, "vc") is Role.ACTIVE


def test_the_next_process_of_an_agent_takes_over_at_once_and_the_one_before_is_shut_out(bed: Bed) -> None:
    first = bed.agent("one", "vc")
    bed.beat(first, "vc")
    second = bed.again(first)
    assert bed.role(second, "vc") is Role.ACTIVE
    for act in (lambda: bed.beat(first, "vc"), lambda: bed.take(first, "vc")):
        with pytest.raises(Conflict, match="newer process"):
            act()
    assert bed.role(second, "vc") is Role.ACTIVE


def test_a_process_that_leaves_gives_its_places_and_steps_away_at_once(bed: Bed) -> None:
    one, two = bed.agent("one", "vc"), bed.agent("two", "vc")
    bed.beat(one, "vc")
    id = bed.step("vc")
    bed.take(one, "vc")
    bed.beat(one, "vc", leaving=True)
    assert bed.role(two, "vc") is Role.ACTIVE
    assert [lease.operation.id for lease in bed.take(two, "vc")] == [id]


def test_a_place_that_is_no_longer_offered_is_let_go(bed: Bed) -> None:
    one, two = bed.agent("one", "vc", "kvm"), bed.agent("two", "vc")
    bed.beat(one, "vc", "kvm")
    bed.beat(one, "kvm")
    assert bed.role(two, "vc") is Role.ACTIVE


def test_an_agent_in_trouble_gives_way_to_one_that_is_not(bed: Bed) -> None:
    one, two = bed.agent("one", "vc"), bed.agent("two", "vc")
    bed.beat(one, "vc")
    assert bed.role(one, "vc", trouble="The vCenter does not answer.") is Role.ACTIVE, "nobody else stands ready"
    assert bed.role(two, "vc") is Role.STANDBY
    assert bed.role(one, "vc", trouble="The vCenter does not answer.") is Role.STANDBY
    assert bed.role(two, "vc") is Role.STANDBY, "what the one was promised before still holds"
    bed.later(HOLD_SECONDS)
    assert bed.role(two, "vc") is Role.ACTIVE


def test_one_that_has_let_go_of_a_place_is_followed_at_once(bed: Bed) -> None:
    one, two = bed.agent("one", "vc", "other"), bed.agent("two", "vc")
    bed.beat(one, "vc", "other")
    bed.beat(two, "vc")
    step = bed.step("vc")
    [under_way] = bed.take(one, "vc")
    assert bed.role(one, "vc", trouble="The vCenter does not answer.") is Role.STANDBY
    bed.beat(one, "other")
    assert bed.role(two, "vc") is Role.ACTIVE
    [again] = bed.take(two, "vc")
    assert again.operation.id == under_way.operation.id == step


def test_a_place_of_others_is_refused_and_a_new_one_is_its_bringers(bed: Bed) -> None:
    one, two = bed.agent("one", "vc"), bed.agent("two")
    bed.beat(one, "vc")
    assert bed.role(two, "vc") is Role.REFUSED
    assert bed.role(two, "sim") is Role.REFUSED, "hosts are known there already"
    assert bed.role(two, "control") is Role.REFUSED
    assert bed.role(two, "no name at all") is Role.REFUSED
    assert bed.role(two, "new") is Role.ACTIVE
    assert bed.role(one, "new") is Role.REFUSED
    bed.later(3600)
    assert bed.role(two, "vc") is Role.REFUSED, "nor once it is free"


def test_who_is_revoked_unknown_or_shows_another_certificate_is_not_listened_to(bed: Bed) -> None:
    one = bed.agent("one", "vc")
    bed.beat(one, "vc")
    for stranger in (
        msgspec.structs.replace(one, agent_id="f" * 32),
        msgspec.structs.replace(one, serial="2"),
        msgspec.structs.replace(one, serial=""),
    ):
        with pytest.raises(Unauthorized):
            bed.beat(stranger, "vc")
    with bed.cloud.database.write() as store:
        store.agent.change(one.agent_id, revoked_at=bed.cloud.now)
    with pytest.raises(Unauthorized, match="was revoked"):
        bed.beat(one, "vc")
    with pytest.raises(Unauthorized, match="was revoked"):
        bed.take(one, "vc")


# Steps and reports


def test_steps_are_given_to_the_holder_alone_and_while_it_holds(bed: Bed) -> None:
    one, two = bed.agent("one", "vc"), bed.agent("two", "vc")
    bed.step("vc")
    assert bed.take(one, "vc") == []
    bed.beat(one, "vc")
    assert bed.take(two, "vc") == []
    bed.later(HOLD_SECONDS)
    assert bed.take(one, "vc") == []
    bed.beat(one, "vc")
    assert len(bed.take(one, "vc")) == 1


def test_a_report_counts_once_however_often_and_late_it_comes(bed: Bed) -> None:
    one = bed.agent("one", "vc")
    bed.beat(one, "vc")
    id = bed.step("vc")
    [lease] = bed.take(one, "vc")
    bed.report(one, lease, "again")
    before = bed.row(id)
    bed.report(one, lease, "done")
    bed.report(one, lease, "failed")
    assert bed.row(id) == before


def test_another_agents_report_says_nothing(bed: Bed) -> None:
    one, two = bed.agent("one", "vc"), bed.agent("two", "kvm")
    bed.beat(one, "vc")
    bed.beat(two, "kvm")
    id = bed.step("vc")
    [lease] = bed.take(one, "vc")
    bed.report(two, lease)
    bed.beat(two, "kvm", running=(id,), progress={id: (1.0, "nothing")})
    assert (bed.row(id).lease_owner, bed.row(id).progress) == (one.owner, 0.0)


def test_running_steps_keep_their_leases_by_beats(bed: Bed) -> None:
    one = bed.agent("one", "vc")
    bed.beat(one, "vc")
    id = bed.step("vc")
    bed.take(one, "vc")
    for _ in range(20):
        bed.later(BEAT_SECONDS)
        assert bed.beat(one, "vc", running=(id,), progress={id: (0.5, "x" * 999)}).stopped == ()
    row = bed.row(id)
    assert (row.lease_until, row.progress) == (bed.cloud.now + timedelta(seconds=LEASE_SECONDS), 0.5)
    with bed.cloud.database.write() as store:
        store.operation.cancel(row.target_id, bed.cloud.now)
    assert bed.beat(one, "vc", running=(id,)).stopped == (id,)


def test_leases_whose_hand_over_was_lost_are_handed_over_again(bed: Bed) -> None:
    one = bed.agent("one", "vc")
    bed.beat(one, "vc")
    ids = {bed.step("vc") for _ in range(3)}
    lost = bed.take(one, "vc")
    assert bed.take(one, "vc") == []
    known, reported = lost[0].operation, lost[1].operation
    report = Report(operation_id=reported.id, epoch=reported.lease_epoch, outcome="done")
    again = bed.take(one, "vc", recover=True, running=(known.id,), reports=(report,))
    assert {lease.operation.id for lease in again} == ids - {known.id, reported.id}
    assert [lease.operation.lease_epoch for lease in again] == [lost[2].operation.lease_epoch]


def test_a_step_that_ends_every_process_fails_in_the_end(bed: Bed) -> None:
    party = bed.agent("one", "vc")
    id = bed.step("vc")
    for _ in range(6):
        bed.beat(party, "vc")
        bed.take(party, "vc")
        party = bed.again(party)
    bed.beat(party, "vc")
    bed.take(party, "vc")
    assert any("ended several times" in entry.error for entry in bed.row(id).journal)


def test_no_place_takes_the_turns_of_another(bed: Bed) -> None:
    one, two = bed.agent("one", "busy"), bed.agent("two", "calm")
    bed.beat(one, "busy")
    bed.beat(two, "calm")
    for _ in range(20):
        bed.step("busy")
    bed.step("calm")
    asked = [(one, Exchange(places=("busy",), most=2)), (two, Exchange(places=("calm",), most=2))]
    first, second = bed.gate.answer(asked)
    assert isinstance(first, list)
    assert isinstance(second, list)
    assert (len(first), len(second)) == (2, 1)


# Inventories


def test_an_inventory_counts_under_the_holds_epoch_alone(bed: Bed) -> None:
    one, two = bed.agent("one", "vc"), bed.agent("two", "vc")
    [hold] = bed.beat(one, "vc").holds
    hosts = tuple(msgspec.structs.replace(each, name="fresh") for each in bed.cloud.driver.hosts())
    found = Inventory(place="vc", epoch=hold.epoch, since=bed.cloud.now, hosts=hosts)
    with pytest.raises(Conflict):
        bed.gate.inventory(two, found)
    bed.later(HOLD_SECONDS)
    [taken] = bed.beat(two, "vc").holds
    for party, epoch in ((one, hold.epoch), (one, taken.epoch), (two, hold.epoch)):
        with pytest.raises(Conflict):
            bed.gate.inventory(party, msgspec.structs.replace(found, epoch=epoch))
    bed.gate.inventory(two, msgspec.structs.replace(found, epoch=taken.epoch))
    with bed.cloud.database.read() as store:
        assert [host.name for host in store.host.list(place="vc")] == ["fresh"]


def test_a_host_stays_with_the_place_that_brought_it(bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    thief = bed.agent("thief", "theirs")
    [hold] = bed.beat(thief, "theirs").holds
    [known] = bed.cloud.driver.hosts()
    own = msgspec.structs.replace(known, name="own")
    bed.gate.inventory(
        thief, Inventory(place="theirs", epoch=hold.epoch, since=bed.cloud.now, hosts=(known, own), guests=())
    )
    with bed.cloud.database.read() as store:
        assert {host.name: host.place for host in store.host.list()} == {known.name: "sim", "own": "theirs"}
    assert f"theirs lists a host {known.name}, which is known at sim" in caplog.text


def test_notes_are_kept_for_who_takes_over(bed: Bed) -> None:
    one, two = bed.agent("one", "vc"), bed.agent("two", "vc")
    [hold] = bed.beat(one, "vc").holds
    bed.gate.note(one, "vc", hold.epoch, {"domain-c1": "cluster"})
    with pytest.raises(Conflict):
        bed.gate.note(two, "vc", hold.epoch, {"domain-c1": "other"})
    bed.later(HOLD_SECONDS)
    [taken] = bed.beat(two, "vc").holds
    assert taken.notes == {"domain-c1": "cluster"}


# Many at once


def wait_until(condition: Callable[[], bool]) -> None:
    """Until it holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture
def statements(bed: Bed) -> Iterator[list[str]]:
    """What is sent to the database."""
    sent: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, _p: Any, _x: Any, _many: bool) -> None:
        sent.append(statement)

    event.listen(bed.cloud.database.engine, "before_cursor_execute", note)
    yield sent
    event.remove(bed.cloud.database.engine, "before_cursor_execute", note)


def test_the_statements_of_a_group_do_not_grow_with_it(bed: Bed, statements: list[str]) -> None:
    parties = [bed.agent(f"a{number}", f"p{number}") for number in range(40)]
    ids = [bed.step(f"p{number}") for number in range(40)]

    def round_of(count: int) -> int:
        """Every one of them beats, with a running step, and asks for more."""
        bed.later(3 * BEAT_SECONDS)
        asked: list[tuple[Party, Exchange | Beat]] = []
        for number in range(count):
            place = f"p{number}"
            offered = (PlaceState(name=place, driver="simulated"),)
            asked.append((parties[number], Beat(places=offered, running=(ids[number],))))
            asked.append((parties[number], Exchange(places=(place,), most=4, recover=True, running=(ids[number],))))
        statements.clear()
        answers = bed.gate.answer(asked)
        assert not any(isinstance(answer, PolyvisorError) for answer in answers)
        return len(statements)

    round_of(40)  # the places are made, and the steps leased
    few, many = round_of(2), round_of(40)
    assert many <= few
    assert many < 25


def test_callers_at_once_share_transactions_and_each_gets_its_own(bed: Bed) -> None:
    parties = [bed.agent(f"a{number}", f"p{number}") for number in range(24)]
    commits = [0]
    event.listen(bed.cloud.database.engine, "commit", lambda _connection: commits.__setitem__(0, commits[0] + 1))
    roles: dict[str, Role] = {}
    ready, go = threading.Barrier(len(parties) + 1), threading.Event()

    def one(party: Party, place: str) -> None:
        ready.wait()
        go.wait()
        [hold] = bed.beat(party, place).holds
        roles[hold.place] = hold.role

    threads = [threading.Thread(target=one, args=(party, f"p{n}")) for n, party in enumerate(parties)]
    for thread in threads:
        thread.start()
    with bed.gate._turn:  # as if a transaction were under way: whoever comes now is served together by the next
        ready.wait()
        go.set()
        wait_until(lambda: len(bed.gate._waiting) == len(parties))
        before = commits[0]
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert roles == {f"p{number}": Role.ACTIVE for number in range(24)}
    assert commits[0] - before <= 4


def test_one_that_breaks_the_transaction_spoils_no_others(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = bed.agent("one", "vc"), bed.agent("two", "kvm")
    usual = Gate._round

    def breaking(self: Gate, store: Any, asked: Any) -> Any:
        if any(party is one for party, _ in asked):
            raise ValueError("broken")
        return usual(self, store, asked)

    monkeypatch.setattr(Gate, "_round", breaking)
    outcomes: dict[str, str] = {}

    def act(party: Party, place: str) -> None:
        try:
            outcomes[place] = bed.role(party, place).value
        except ValueError as error:
            outcomes[place] = str(error)

    threads = [threading.Thread(target=act, args=words) for words in ((one, "vc"), (two, "kvm"))]
    with bed.gate._turn:
        for thread in threads:
            thread.start()
        wait_until(lambda: len(bed.gate._waiting) == 2)
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert outcomes == {"vc": "broken", "kvm": "active"}


def test_a_round_that_was_undone_for_anothers_sake_is_run_again(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    one = bed.agent("one", "vc")
    usual, failures = Gate._round, [2]

    def breaking(self: Gate, store: Any, asked: Any) -> Any:
        if failures[0]:
            failures[0] -= 1
            lost = Exception("deadlock detected")
            lost.sqlstate = "40P01"  # type: ignore[attr-defined]
            raise DBAPIError("UPDATE", {}, lost)
        return usual(self, store, asked)

    monkeypatch.setattr(Gate, "_round", breaking)
    assert bed.role(one, "vc") is Role.ACTIVE
    assert failures == [0]
