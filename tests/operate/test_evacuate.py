"""A server whose host fails comes up elsewhere, once: on its own disks where they are shared, else from its image."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.hypervisor.storage_mark import marked
from polyvisor.model.host import Capacity, Datastore, HostReport, HostState, HypervisorType, disks_shared
from polyvisor.model.image import ImageStatus
from polyvisor.model.link import Inventory
from polyvisor.model.migration import MigrationStatus, MigrationType
from polyvisor.model.operation import OperationState
from polyvisor.model.power import Power
from polyvisor.model.server import Server, VmState
from polyvisor.operate import inventory
from polyvisor.operate.server_evacuate import server_evacuate
from tests.operate.cloud import IMAGE
from tests.operate.places import Places, Running


@pytest.fixture(params=[False, True], ids=["local disks", "shared disks"])
def cloud(tmp_path: Path, request: pytest.FixtureRequest, database_url: str) -> Iterator[Places]:
    """Two places, each with a host that has room for one server."""
    made = Places(tmp_path, "a", "b", shared=request.param, database_url=database_url)
    yield made
    made.close()


@pytest.fixture
def server(cloud: Places) -> Server:
    """A server that runs, on either host."""
    return cloud.make_server()


def at(server: Server) -> str:
    """The place it is at."""
    assert server.place is not None
    return server.place


def test_it_comes_up_elsewhere_with_all_that_makes_it_itself(cloud: Places, server: Server) -> None:
    disk = cloud.disk(server.id)
    cloud.fail(at(server))
    cloud.ask_to_evacuate(server.id)
    assert cloud.server(server.id).status == "REBUILD"
    cloud.settle()
    after = cloud.server(server.id)
    other = cloud.another(at(server))
    assert (after.place, after.vm_state, after.power, after.task_state) == (other, VmState.ACTIVE, Power.ON, None)
    for kept in ("id", "name", "hostname", "key_data", "user_data", "metadata", "flavor", "image", "created_at"):
        assert getattr(after, kept) == getattr(server, kept)
    assert Running(other, server.id) in cloud.running()
    assert cloud.disk(server.id) == disk
    assert cloud.everything()["claims"] == [(server.id, f"{other}-0001")]
    [migration] = cloud.migrations(server.id)
    assert (migration.type, migration.status) == (MigrationType.EVACUATION, MigrationStatus.DONE)
    assert (migration.source_host, migration.target_host) == (server.host, after.host)
    assert migration.disks_kept == cloud.shared


def test_the_host_that_returns_removes_the_old_guest_and_nothing_else(cloud: Places, server: Server) -> None:
    disk = cloud.disk(server.id)
    cloud.fail(at(server))
    cloud.ask_to_evacuate(server.id)
    cloud.settle()
    cloud.come_back(at(server))
    cloud.settle()
    other = cloud.another(at(server))
    assert cloud.running() == [Running(other, server.id)]
    assert cloud.guests() == [(other, server.id)]
    assert cloud.disk(server.id) == disk
    assert cloud.migrations(server.id)[0].status is MigrationStatus.COMPLETED
    used = {name: servers for name, _, _, _, servers in cloud.everything()["used"]}
    assert used == {f"{other}-0001": 1, f"{at(server)}-0001": 0}
    assert cloud.server(server.id).vm_state is VmState.ACTIVE


@pytest.mark.parametrize("turns", range(14))
def test_a_host_that_returns_at_any_moment_leaves_one_guest_in_the_end(
    cloud: Places, server: Server, turns: int
) -> None:
    """Whoever wins, one guest runs, where the record says; and the claim is there."""
    home = at(server)
    disk = cloud.disk(server.id)
    cloud.fail(home)
    cloud.ask_to_evacuate(server.id)
    reports: tuple[Any, ...] = ()
    for _ in range(turns):
        reports = cloud.step(reports)
    cloud.come_back(home)
    cloud.turn(reports, most=0)
    cloud.settle()
    cloud.look_around()
    cloud.settle()
    after = cloud.server(server.id)
    assert after.vm_state is VmState.ACTIVE
    assert after.task_state is None
    assert cloud.running() == [Running(at(after), server.id)]
    assert cloud.guests() == [(at(after), server.id)]
    assert cloud.disk(server.id) == disk
    assert cloud.everything()["claims"] == [(server.id, after.host)]
    ended = MigrationStatus.CANCELLED if at(after) == home else MigrationStatus.COMPLETED
    # Before it had begun there was nothing to list.
    assert [each.status for each in cloud.migrations(server.id)] == ([ended] if turns else [])


def test_a_host_that_returns_before_the_start_elsewhere_keeps_its_server(cloud: Places, server: Server) -> None:
    """The guest is made elsewhere already, and is not started: it would run twice."""
    home = at(server)
    cloud.fail(home)
    id = cloud.ask_to_evacuate(server.id)
    reports: tuple[Any, ...] = ()
    step = None
    while step != "make":
        leases = cloud.turn(reports)
        step = next((server_evacuate.steps[lease.operation.step].name for lease in leases), None)
        reports = cloud.work(leases)
    cloud.come_back(home)
    cloud.turn(reports, most=0)
    cloud.settle()
    with cloud.database.read() as store:
        steps = [entry.step for entry in store.operation.get(id).journal]
    assert "make" in steps
    assert "boot" not in steps
    assert cloud.running() == [Running(home, server.id)]
    assert cloud.guests() == [(home, server.id)]
    assert cloud.server(server.id).vm_state is VmState.ACTIVE


def test_a_server_that_was_off_stays_off(cloud: Places, server: Server) -> None:
    cloud.drivers[at(server)].set_power(server.id, Power.OFF)
    cloud.look_around()
    cloud.fail(at(server))
    cloud.ask_to_evacuate(server.id)
    cloud.settle()
    after = cloud.server(server.id)
    assert (after.vm_state, after.power) == (VmState.STOPPED, Power.OFF)
    assert cloud.running() == []


def test_one_that_ran_stays_off_where_that_is_asked_for(cloud: Places, server: Server) -> None:
    cloud.fail(at(server))
    cloud.ask_to_evacuate(server.id, stay_stopped=True)
    cloud.settle()
    assert cloud.server(server.id).vm_state is VmState.STOPPED
    assert Running(cloud.another(at(server)), server.id) not in cloud.running()


def test_without_room_the_fault_says_why_host_by_host(cloud: Places, server: Server) -> None:
    cloud.ask_for_server("two")
    cloud.settle()
    cloud.fail(at(server))
    cloud.ask_to_evacuate(server.id)
    cloud.settle()
    after = cloud.server(server.id)
    assert after.vm_state is VmState.ERROR
    assert after.task_state is None
    assert after.host == server.host
    assert after.fault is not None
    lines = dict(line.split(": ", 1) for line in after.fault.details.splitlines())
    assert set(lines) == {"a-0001", "b-0001"}
    assert "is the host that the server leaves" in lines[str(server.host)]
    assert cloud.migrations(server.id)[0].status is MigrationStatus.FAILED
    assert (server.id, server.host) in cloud.everything()["claims"]


def test_one_that_waits_for_room_goes_on_once_there_is_some(cloud: Places, server: Server) -> None:
    second = cloud.ask_for_server("two")
    cloud.settle()
    cloud.fail(at(server))
    id = cloud.ask_to_evacuate(server.id, waits=True)
    for _ in range(3):
        cloud.turn()
    with cloud.database.read() as store:
        waiting = store.operation.get(id)
    assert waiting.state is OperationState.RUNNING
    assert "full" in waiting.progress_of or "No host" in waiting.progress_of
    cloud.ask_for_end(second)
    cloud.settle()
    assert cloud.server(server.id).vm_state is VmState.ACTIVE
    assert cloud.server(server.id).place == cloud.another(at(server))


def test_a_delete_ends_an_evacuation_and_leaves_nothing_once_the_host_is_back(cloud: Places, server: Server) -> None:
    home = at(server)
    cloud.fail(home)
    cloud.ask_to_evacuate(server.id)
    reports = cloud.step(cloud.step())
    cloud.ask_for_end(server.id)
    cloud.turn(reports, most=0)
    for _ in range(20):
        cloud.turn(cloud.work(cloud.turn()), most=0)
    cloud.come_back(home)
    cloud.settle()
    cloud.look_around()
    cloud.settle()
    assert cloud.server(server.id).deleted_at is not None
    assert cloud.guests() == []
    assert cloud.disk(server.id) is None
    assert cloud.everything()["claims"] == []


def test_there_and_back_again(cloud: Places, server: Server) -> None:
    """The second evacuation goes to the first host only once nothing old is left there."""
    home, other = at(server), cloud.another(at(server))
    disk = cloud.disk(server.id)
    cloud.fail(home)
    cloud.ask_to_evacuate(server.id)
    cloud.settle()
    cloud.drivers[home].reachable = True
    with cloud.database.write() as store:  # it is up, and its first inventory is still to come
        store.host.save_report(f"{home}-0001", store.host.get(f"{home}-0001").report, home, cloud.now)
    cloud.fail(other)
    cloud.ask_to_evacuate(server.id, waits=True)
    for _ in range(4):
        cloud.turn(cloud.work(cloud.turn()), most=0)
    assert cloud.server(server.id).place == other
    cloud.look_around(home)
    for _ in range(60):
        cloud.turn(cloud.work(cloud.turn()), most=0)
        cloud.now += timedelta(seconds=20)
        cloud.look_around(home)
    cloud.come_back(other)
    cloud.settle()
    cloud.look_around()
    cloud.settle()
    after = cloud.server(server.id)
    assert after.vm_state is VmState.ACTIVE
    assert cloud.running() == [Running(at(after), server.id)]
    assert cloud.guests() == [(at(after), server.id)]
    assert cloud.disk(server.id) == disk


def test_the_record_is_not_needed_for_what_never_left(cloud: Places, server: Server) -> None:
    """An inventory that lists the server's own guest begins nothing."""
    cloud.look_around()
    assert cloud.unfinished() == []
    assert cloud.running() == [Running(at(server), server.id)]


def test_a_database_from_an_older_backup_removes_nothing(cloud: Places, server: Server) -> None:
    """It says that the server is elsewhere, and knows of no way that it went: the guest is left alone, and reported."""
    home, other = at(server), cloud.another(at(server))
    with cloud.database.write() as store:
        store.server.change(server.id, place=other, host=f"{other}-0001")
        store.operation.forget_targets([server.id])
    cloud.look_around(home)
    cloud.settle()
    assert cloud.guests() == [(home, server.id)]
    with cloud.database.read() as store:
        [warning] = store.host.get(f"{home}-0001").report.warnings
    assert server.id in warning


def test_a_guest_that_the_database_never_knew_is_left_alone_and_reported(cloud: Places, server: Server) -> None:
    home = at(server)
    with cloud.database.write() as store:
        store.host.release(server.id)
        store.server.change(server.id, deleted_at=cloud.now)
        store.server.purge(cloud.now + timedelta(seconds=1))
        store.operation.forget_targets([server.id])
    cloud.look_around(home)
    cloud.settle()
    assert cloud.guests() == [(home, server.id)]
    with cloud.database.read() as store:
        assert server.id in str(store.host.get(f"{home}-0001").report.warnings)


def test_a_guest_of_a_deleted_server_is_removed(cloud: Places, server: Server) -> None:
    """Such as one that a fenced agent finished to make after the server was gone."""
    home = at(server)
    with cloud.database.write() as store:
        store.host.release(server.id)
        store.server.change(server.id, deleted_at=cloud.now, vm_state=VmState.DELETED)
    cloud.look_around(home)
    cloud.settle()
    assert cloud.guests() == []


def test_a_guest_is_not_removed_once_it_has_become_the_servers_own_again(cloud: Places, server: Server) -> None:
    """The step looks again at the records right before it acts."""
    home = at(server)
    with cloud.database.write() as store:
        store.server.change(server.id, deleted_at=cloud.now)
    cloud.look_around(home)
    [removal] = cloud.unfinished()
    assert removal.kind == "guest.remove"
    with cloud.database.write() as store:
        store.server.change(server.id, deleted_at=None)
    cloud.settle()
    assert cloud.operations(OperationState.FAILED)[0].id == removal.id
    assert cloud.guests() == [(home, server.id)]


def test_a_host_that_is_forced_down_does_not_stop_the_evacuation_by_answering(cloud: Places, server: Server) -> None:
    home = at(server)
    with cloud.database.write() as store:
        store.host.force_down(str(server.host), True)
    cloud.ask_to_evacuate(server.id)
    cloud.look_around()
    cloud.settle()
    cloud.look_around()
    cloud.settle()
    assert cloud.running() == [Running(cloud.another(home), server.id)]
    assert cloud.guests() == [(cloud.another(home), server.id)]


def test_servers_are_not_run_on_disks_that_another_host_has(tmp_path: Path) -> None:
    """An agent that was cut off cannot start its old guest on the disks that were taken over."""
    cloud = Places(tmp_path, "a", "b", shared=True)
    server = cloud.make_server()
    home = at(server)
    cloud.fail(home)
    cloud.ask_to_evacuate(server.id)
    cloud.settle()
    driver = cloud.drivers[home]
    driver.reachable = True
    driver.change_behind_our_back(server.id, Power.OFF)
    with pytest.raises(HypervisorError, match="taken over"):
        driver.set_power(server.id, Power.ON)
    cloud.close()


def test_local_disks_whose_image_is_gone_are_refused(tmp_path: Path) -> None:
    cloud = Places(tmp_path, "a", "b")
    server = cloud.make_server()
    with cloud.database.write() as store:
        image = store.image.get(IMAGE.id)
        store.image.update(image, {"status": ImageStatus.DEACTIVATED}, cloud.now)
    cloud.fail(at(server))
    cloud.ask_to_evacuate(server.id)
    cloud.settle()
    after = cloud.server(server.id)
    assert after.fault is not None
    assert "image" in after.fault.message
    assert after.host == server.host
    cloud.close()


def host_report(name: str, datastore: Datastore) -> HostReport:
    """What a host with this datastore says of itself."""
    return HostReport(
        name=name, hypervisor_type=HypervisorType.KVM, hypervisor_version=1, architecture="x86_64",
        capacity=Capacity(vcpus=1, memory_mib=1, disk_gib=1), largest_vcpus=1, largest_memory_mib=1,
        datastores=(datastore,),
    )  # fmt: skip


def test_a_copy_of_the_storage_is_not_shared_storage(tmp_path: Path) -> None:
    """Two hosts with the same id on their disks share nothing unless each sees the other's name."""
    plain = Datastore(name="instances", kind="dir", capacity_bytes=1, free_bytes=1)
    one, copy = tmp_path / "one", tmp_path / "copy"
    one.mkdir()
    marked(plain, one, "first")
    shutil.copytree(one, copy)
    first = host_report("first", marked(plain, one, "first"))
    second = host_report("second", marked(plain, copy, "second"))
    assert first.datastores[0].id == second.datastores[0].id
    assert not disks_shared(first, second)
    third = host_report("third", marked(plain, one, "third"))
    assert not disks_shared(first, third)  # it has not looked since
    assert disks_shared(host_report("first", marked(plain, one, "first")), third)


def test_the_state_of_hosts_is_what_decides(cloud: Places, server: Server) -> None:
    """A server on a host that is up stays there: the operation ends without an error."""
    cloud.ask_to_evacuate(server.id)
    cloud.settle()
    after = cloud.server(server.id)
    assert (after.place, after.vm_state, after.task_state, after.fault) == (at(server), VmState.ACTIVE, None, None)
    assert cloud.running() == [Running(at(server), server.id)]
    with cloud.database.read() as store:
        assert all(host.state is HostState.UP for host in store.host.list())


def test_two_guests_with_one_id_are_reported_and_the_one_that_runs_counts(cloud: Places, server: Server) -> None:
    """A fenced agent and its successor may both have made it in one vCenter."""
    home = at(server)
    driver = cloud.drivers[home]
    [own] = driver.guests()
    other = msgspec.structs.replace(own, power=Power.OFF)
    for guests in ((own, other), (other, own)):
        cloud.now += timedelta(seconds=1)
        found = Inventory(place=home, since=cloud.now, hosts=tuple(driver.hosts()), guests=guests)
        cloud.now += timedelta(seconds=1)
        with cloud.database.write() as store:
            inventory.take(store, cloud.engine.tools, found, cloud.now)
            [warning] = store.host.get(str(server.host)).report.warnings
        assert "more than one guest" in warning
        assert server.id in warning
        assert cloud.server(server.id).vm_state is VmState.ACTIVE
    assert cloud.unfinished() == []
