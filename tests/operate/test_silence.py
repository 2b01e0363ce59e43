"""A host whose agent falls silent goes down, is believed again when it answers, and loses no server on the way."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from polyvisor.model.agent import Agent
from polyvisor.model.held_place import HeldPlace
from polyvisor.model.link import Report
from polyvisor.model.power import Power
from polyvisor.model.server import Server, VmState
from polyvisor.model.settings import ComputeSettings
from polyvisor.operate.reconcile import automatic_evacuation, lost_host, silent_place
from polyvisor.operate.reconcile.silent_place import SILENCE, Vigil
from polyvisor.operate.watchman import Watchman
from polyvisor.store.operation import operation
from tests.operate.places import Places, Running


@pytest.fixture
def cloud(tmp_path: Path, database_url: str) -> Iterator[Places]:
    """Three places, each with room for one server, on shared storage; all have just given a sign of life."""
    made = Places(tmp_path, "a", "b", "c", shared=True, database_url=database_url)
    with made.database.write() as store:
        store.place.add([place(made, name) for name in made.names])
    yield made
    made.close()


def place(cloud: Places, name: str) -> HeldPlace:
    """The place as its holder's last beat, just now, has left it."""
    return HeldPlace(
        name=name, driver="simulated", holder=f"up:{name}", epoch=1, held_until=cloud.now + timedelta(seconds=10),
        seen_at=cloud.now,
    )  # fmt: skip


def beat(cloud: Places, *names: str) -> None:
    """These places give a sign of life."""
    with cloud.database.write() as store:
        store.place.save([place(cloud, name) for name in names])


def sweep(cloud: Places) -> list[str]:
    """One look of a process that was at work all the time."""
    vigil = Vigil()
    for second in range(40, -1, -5):
        vigil.note(cloud.now - timedelta(seconds=second))
    with cloud.database.write() as store:
        return silent_place.sweep(store, vigil, cloud.now)


def later(cloud: Places, seconds: float) -> None:
    """Time passes."""
    cloud.now += timedelta(seconds=seconds)


def test_a_silent_place_is_down_within_thirty_seconds_and_says_since_when(cloud: Places) -> None:
    beat(cloud, "a", "b", "c")
    since = cloud.now
    while cloud.is_up("a"):
        later(cloud, 5)  # the control loop's pace
        beat(cloud, "b", "c")
        sweep(cloud)
    assert cloud.now - since <= timedelta(seconds=25)
    assert cloud.is_up("b")
    with cloud.database.read() as store:
        reason = store.host.get("a-0001").state_reason
    assert since.strftime("%H:%M:%S UTC") in reason
    cloud.look_around("a")
    assert cloud.is_up("a")


def test_what_its_servers_do_is_not_known_then(cloud: Places) -> None:
    server = cloud.make_server()
    beat(cloud, *cloud.names)
    later(cloud, 16)
    assert sweep(cloud) == ["a", "b", "c"]
    assert cloud.server(server.id).power is Power.UNKNOWN
    assert sweep(cloud) == []  # a second process finds nothing left to say


def test_a_standby_that_takes_over_leaves_the_hosts_up(cloud: Places) -> None:
    beat(cloud, *cloud.names)
    later(cloud, 12)
    beat(cloud, *cloud.names)
    later(cloud, 14)
    assert sweep(cloud) == []


def test_who_was_stopped_or_cut_off_from_the_database_judges_nobody_at_first(cloud: Places) -> None:
    vigil = Vigil()
    for _ in range(10):
        vigil.note(cloud.now)
        later(cloud, 5)
    assert vigil.may_judge(cloud.now)
    later(cloud, 600)  # it was stopped, or the database was away: nobody could beat
    vigil.note(cloud.now)
    assert not vigil.may_judge(cloud.now)
    later(cloud, 5)
    vigil.note(cloud.now)
    assert not vigil.may_judge(cloud.now)
    while not vigil.may_judge(cloud.now):
        later(cloud, 5)
        vigil.note(cloud.now)


def test_what_a_process_slept_through_is_taken_off_and_nothing_else(cloud: Places) -> None:
    vigil, begun = Vigil(), cloud.now
    for pause in (5, 5, 20, 5, 5):  # 20 s: it was stopped
        vigil.note(cloud.now)
        later(cloud, pause)
    vigil.note(cloud.now)
    assert vigil.watched(begun) == timedelta(seconds=20)
    assert vigil.watched(begun + timedelta(seconds=7)) == timedelta(seconds=13)
    assert vigil.watched(begun + timedelta(seconds=15)) == timedelta(seconds=10)
    later(cloud, -3600)  # a clock set back: nothing is known of what was
    vigil.note(cloud.now)
    assert vigil.watched(begun - timedelta(hours=2)) == timedelta(0)


def test_for_what_waited_at_its_own_door_a_process_calls_nobody_silent(cloud: Places) -> None:
    """A server with too much to do answers beats late: the hosts are well."""
    late = [0.0]
    watchman = Watchman(cloud.database, cloud.engine.tools, lambda: late[0])
    for _ in range(10):
        beat(cloud, *cloud.names)
        watchman.look(cloud.now)
        later(cloud, 5)
    late[0] = 30.0
    for _ in range(20):
        watchman.look(cloud.now)
        beat(cloud, "b")
        later(cloud, 5)
    assert all(cloud.is_up(name) for name in cloud.names)
    late[0] = 0.0
    beat(cloud, "b", "c")
    for _ in range(10):
        watchman.look(cloud.now)
        beat(cloud, "b", "c")
        later(cloud, 5)
    assert [cloud.is_up(name) for name in ("a", "b", "c")] == [False, True, True]


def test_what_came_late_is_taken_off_what_was_watched(cloud: Places) -> None:
    vigil, begun = Vigil(), cloud.now
    for _ in range(5):
        vigil.note(cloud.now)
        later(cloud, 4)
    vigil.note(cloud.now, late=timedelta(seconds=6))  # in the midst of the last interval but one
    assert vigil.watched(begun) == timedelta(seconds=14)


def test_many_silent_places_are_marked_in_small_transactions(cloud: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each holds what beats need, until its end."""
    monkeypatch.setattr(silent_place, "MOST_AT_ONCE", 2)
    watchman = Watchman(cloud.database, cloud.engine.tools)
    beat(cloud, *cloud.names)
    for _ in range(6):
        later(cloud, 5)
        watchman.look(cloud.now)
    assert not any(cloud.is_up(name) for name in cloud.names)
    beat(cloud, *cloud.names)
    for name in cloud.names:
        cloud.look_around(name)
    later(cloud, 16)
    assert len(sweep(cloud)) == 2
    assert len(sweep(cloud)) == 1


def test_a_host_is_down_within_thirty_seconds_though_the_loop_is_late_once(cloud: Places) -> None:
    watchman = Watchman(cloud.database, cloud.engine.tools)
    for _ in range(10):
        beat(cloud, *cloud.names)
        watchman.look(cloud.now)
        later(cloud, 5)
    since = cloud.now - timedelta(seconds=5)
    for pause in (5, 9, 5, 5):
        watchman.look(cloud.now)
        beat(cloud, "b", "c")
        later(cloud, pause)
    watchman.look(cloud.now)
    assert not cloud.is_up("a")
    assert cloud.is_up("b")
    assert cloud.now - since < timedelta(seconds=30)


def test_the_watchman_marks_nothing_down_after_an_outage_that_hid_all_beats(cloud: Places) -> None:
    watchman = Watchman(cloud.database, cloud.engine.tools)
    for _ in range(10):
        beat(cloud, *cloud.names)
        watchman.look(cloud.now)
        later(cloud, 5)
    later(cloud, 300)
    for _ in range(3):  # agents come back one after the other, within some seconds
        watchman.look(cloud.now)
        later(cloud, 4)
    beat(cloud, *cloud.names)
    for _ in range(10):
        watchman.look(cloud.now)
        beat(cloud, *cloud.names)
        later(cloud, 5)
    assert all(cloud.is_up(name) for name in cloud.names)


def test_a_host_that_falls_silent_while_a_server_is_on_its_way_there_is_passed_over(cloud: Places) -> None:
    server = cloud.make_server()
    home = str(server.place)
    disk = cloud.disk(server.id)
    cloud.fail(home)
    cloud.ask_to_evacuate(server.id)
    reports = cloud.turn(most=0)
    while cloud.server(server.id).place == home:
        cloud.turn(cloud.work(reports), most=0)
    lost = str(cloud.server(server.id).place)
    cloud.work(cloud.turn())  # made there; the report never arrives
    cloud.fail(lost)
    for _ in range(200):
        later(cloud, 5)
        with cloud.database.write() as store:
            lost_host.sweep(store, cloud.now)
        cloud.turn(cloud.work(cloud.turn()), most=0)
        if not cloud.unfinished():
            break
    after = cloud.server(server.id)
    assert after.place not in (home, lost)
    assert after.vm_state is VmState.ACTIVE
    cloud.come_back(lost)
    cloud.come_back(home)
    cloud.settle()
    assert cloud.running() == [Running(str(after.place), server.id)]
    assert cloud.guests() == [(str(after.place), server.id)]
    assert cloud.disk(server.id) == disk


@pytest.mark.parametrize("turns", range(1, 7))
def test_a_server_whose_old_host_dies_while_it_moves_can_be_evacuated(cloud: Places, turns: int) -> None:
    server = cloud.make_server()
    home = str(server.place)
    disk = cloud.disk(server.id)
    cloud.ask_to_move(server.id)
    reports: tuple[Report, ...] = ()
    for _ in range(turns):
        reports = cloud.step(reports)
    cloud.turn(reports, most=0)
    cloud.fail(home)
    for _ in range(100):
        later(cloud, 5)
        with cloud.database.write() as store:
            lost_host.sweep(store, cloud.now)
        cloud.turn(cloud.work(cloud.turn()), most=0)
        if not cloud.unfinished():
            break
    if cloud.server(server.id).place == home:
        cloud.ask_to_evacuate(server.id)
        cloud.settle()
    after = cloud.server(server.id)
    assert after.place != home
    assert after.vm_state is VmState.ACTIVE
    cloud.come_back(home)
    cloud.settle()
    assert cloud.running() == [Running(str(after.place), server.id)]
    assert cloud.guests() == [(str(after.place), server.id)]
    assert cloud.disk(server.id) == disk


def allow(cloud: Places, *names: str, **metadata: str) -> None:
    """An aggregate of these places' hosts, with this policy."""
    told = {f"polyvisor:{key}": value for key, value in metadata.items()}
    with cloud.database.write() as store:
        made = store.aggregate.create("policy", told, uuid=cloud.new_id(), now=cloud.now)
        for name in names:
            store.aggregate.add_host(made.id, f"{name}-0001", default_zone="nova", now=cloud.now)


def automatic(cloud: Places) -> automatic_evacuation.Verdict:
    """One look."""
    with cloud.database.write() as store:
        return automatic_evacuation.sweep(store, cloud.engine.tools, cloud.now)


def fall_silent(cloud: Places, *names: str) -> None:
    """These places give a last sign of life, and no more; the others go on."""
    beat(cloud, *cloud.names)
    for name in names:
        cloud.drivers[name].reachable = False
    for _ in range(8):
        later(cloud, 5)
        beat(cloud, *(name for name in cloud.names if name not in names))
        sweep(cloud)


@pytest.fixture
def server(cloud: Places) -> Server:
    return cloud.make_server()


def test_policy_has_servers_evacuated_once_their_host_is_surely_off(cloud: Places, server: Server) -> None:
    home = str(server.place)
    allow(cloud, *cloud.names, evacuate="automatic")
    later(cloud, 1)
    fall_silent(cloud, home)
    assert automatic(cloud).begun == ()
    later(cloud, ComputeSettings().fence_after_seconds)
    assert automatic(cloud).begun == ()
    later(cloud, ComputeSettings().evacuate_after_seconds)
    assert automatic(cloud).begun == (server.id,)
    assert automatic(cloud).begun == ()
    cloud.settle()
    after = cloud.server(server.id)
    assert after.vm_state is VmState.ACTIVE
    assert after.place != home


def test_what_two_agents_may_serve_is_neither_fenced_nor_evacuated(cloud: Places, server: Server) -> None:
    """One that is cut off would turn off what the other serves."""
    allow(cloud, *cloud.names, evacuate="automatic")
    later(cloud, 1)
    with cloud.database.write() as store:
        assert str(server.place) in store.hypervisor.automatic_places()
        for name in ("one", "two"):
            id = cloud.new_id()
            told = {"certificate_serial": "1", "created_at": cloud.now, "seen_at": cloud.now}
            store.agent.add(Agent(id=id, name=name, certificate_until=cloud.now + timedelta(days=1), **told))  # type: ignore[arg-type]
            store.agent.allow(id, [str(server.place)])
        assert store.hypervisor.automatic_places() == set(cloud.names) - {server.place}
    fall_silent(cloud, str(server.place))
    later(cloud, 3600)
    assert automatic(cloud).begun == ()


def test_without_policy_nothing_is_evacuated(cloud: Places, server: Server) -> None:
    allow(cloud, *cloud.names, evacuate="manual")
    fall_silent(cloud, str(server.place))
    later(cloud, 3600)
    assert automatic(cloud).begun == ()


def test_a_policy_that_is_younger_than_the_silence_does_not_count(cloud: Places, server: Server) -> None:
    """Its agent was never told to turn the guests off."""
    fall_silent(cloud, str(server.place))
    allow(cloud, *cloud.names, evacuate="automatic")
    later(cloud, 3600)
    assert automatic(cloud).begun == ()


def test_when_many_hosts_are_down_it_is_the_network(cloud: Places, server: Server) -> None:
    allow(cloud, *cloud.names, evacuate="automatic")
    later(cloud, 1)
    other = next(name for name in cloud.names if name != server.place)
    fall_silent(cloud, str(server.place), other)
    later(cloud, 3600)
    verdict = automatic(cloud)
    assert verdict.begun == ()
    assert "2 of 3 hosts are down" in verdict.refused


@pytest.mark.parametrize(("metadata", "begun"), [({}, False), ({"evacuate_local_disks": "rebuild"}, True)])
def test_local_disks_are_thrown_away_only_where_that_is_said(
    tmp_path: Path, database_url: str, metadata: dict[str, str], begun: bool
) -> None:
    cloud = Places(tmp_path, "a", "b", "c", database_url=database_url)
    with cloud.database.write() as store:
        store.place.add([place(cloud, name) for name in cloud.names])
    server = cloud.make_server()
    allow(cloud, *cloud.names, evacuate="automatic", **metadata)
    later(cloud, 1)
    fall_silent(cloud, str(server.place))
    later(cloud, 3600)
    assert automatic(cloud).begun == ((server.id,) if begun else ())
    cloud.close()


def test_only_so_many_are_evacuated_at_once(cloud: Places, server: Server) -> None:
    allow(cloud, *cloud.names, evacuate="automatic")
    later(cloud, 1)
    fall_silent(cloud, str(server.place))
    later(cloud, 3600)
    cloud.engine.tools.compute = ComputeSettings(reserved_memory_mib=0, evacuate_at_once=1)
    other = cloud.begin("server.evacuate", "another", {})
    with cloud.database.write() as store:
        store.connection.execute(update(operation).where(operation.c.id == other).values(user_id=""))
    assert automatic(cloud).begun == ()


def test_settings_that_would_start_guests_before_the_others_are_off_are_refused() -> None:
    with pytest.raises(ValueError, match="30 seconds"):
        ComputeSettings(fence_after_seconds=100, evacuate_after_seconds=120)


def test_the_bound_of_thirty_seconds_holds_by_its_parts() -> None:
    """The hold and its grace, one round of the control loop, and a beat that was just missed."""
    assert SILENCE + timedelta(seconds=5 + 2.5) < timedelta(seconds=30)
