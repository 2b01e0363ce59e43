"""A host is emptied: its servers move away one by one, and what cannot says why."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from polyvisor.model.operation import Operation, OperationState
from polyvisor.model.order import HostDrain
from polyvisor.model.power import Power
from polyvisor.model.server import Server, VmState
from polyvisor.operate import host_drain
from polyvisor.operate.kinds import KINDS
from tests.crash.breaking import breaking, twice
from tests.operate.cloud import Killed, replaced
from tests.operate.places import Places, Running


@pytest.fixture(params=[True, False], ids=["shared disks", "local disks"])
def cloud(tmp_path: Path, request: pytest.FixtureRequest, database_url: str) -> Iterator[Places]:
    made = Places(tmp_path, "a", "b", shared=request.param, database_url=database_url)
    yield made
    made.close()


@pytest.fixture
def server(cloud: Places) -> Server:
    return cloud.make_server()


def drain(cloud: Places, server: Server, **more: Any) -> str:
    """Ask for it; returns the operation's id."""
    host = str(server.host)
    return cloud.begin("host.drain", host_drain.target(host), HostDrain(host=host, **more))


def look(cloud: Places, id: str) -> Operation:
    """The operation."""
    with cloud.database.read() as store:
        return store.operation.get(id)


def go_on(cloud: Places, seconds: int) -> None:
    """Let some time pass, whatever is unfinished."""
    for _ in range(seconds):
        cloud.turn(cloud.work(cloud.turn()), most=0)
        cloud.now += timedelta(seconds=1)


def test_servers_move_away_and_the_host_stays_disabled(cloud: Places, server: Server) -> None:
    disk = cloud.disk(server.id)
    id = drain(cloud, server, rebuild=not cloud.shared, reason="new memory")
    cloud.settle()
    assert look(cloud, id).state is OperationState.DONE
    after = cloud.server(server.id)
    other = cloud.another(str(server.place))
    assert (after.place, after.vm_state, after.power, after.task_state) == (other, VmState.ACTIVE, Power.ON, None)
    cloud.look_around()
    cloud.settle()
    assert cloud.running() == [Running(other, server.id)]
    assert cloud.guests() == [(other, server.id)]
    assert cloud.disk(server.id) == disk
    with cloud.database.read() as store:
        host = store.host.get(str(server.host))
    assert (host.enabled, host.servers) == (False, 0)
    assert "new memory" in host.disabled_reason
    assert cloud.migrations(server.id)[0].type == ("migration" if cloud.shared else "evacuation")


def test_without_room_it_waits_and_says_why_and_the_server_runs_on(cloud: Places, server: Server) -> None:
    second = cloud.ask_for_server("two")
    cloud.settle()
    id = drain(cloud, server, rebuild=True)
    go_on(cloud, 30)
    row = look(cloud, id)
    assert row.state is OperationState.RUNNING
    assert row.progress_of.startswith("0 of 1 servers have left")
    assert "No host can run this server" in row.progress_of
    assert Running(str(server.place), server.id) in cloud.running()
    assert cloud.server(server.id).vm_state is VmState.ACTIVE
    assert cloud.server(server.id).fault is None
    cloud.ask_for_end(second)
    cloud.settle()
    assert look(cloud, id).state is OperationState.DONE
    assert cloud.server(server.id).place != server.place


def test_a_server_on_local_disks_waits_unless_it_may_be_made_anew(tmp_path: Path) -> None:
    cloud = Places(tmp_path, "a", "b")
    server = cloud.make_server()
    id = drain(cloud, server)
    go_on(cloud, 10)
    assert "--rebuild" in look(cloud, id).progress_of
    assert cloud.running() == [Running(str(server.place), server.id)]
    cloud.ask_for_end(server.id)
    cloud.settle()
    assert look(cloud, id).state is OperationState.DONE
    cloud.close()


def test_it_can_be_stopped(cloud: Places, server: Server) -> None:
    cloud.ask_for_server("two")
    cloud.settle()
    id = drain(cloud, server, rebuild=True)
    go_on(cloud, 10)
    with cloud.database.write() as store:
        store.operation.cancel(host_drain.target(str(server.host)), cloud.now)
    cloud.settle()
    assert look(cloud, id).state is OperationState.FAILED
    assert cloud.server(server.id).place == server.place


def test_a_suspended_server_waits(cloud: Places, server: Server) -> None:
    cloud.drivers[str(server.place)].set_power(server.id, Power.SUSPENDED)
    cloud.look_around()
    id = drain(cloud, server, rebuild=True)
    go_on(cloud, 10)
    assert "It is suspended" in look(cloud, id).progress_of


@pytest.mark.parametrize("by", [breaking("before", Killed()), breaking("after", Killed()), twice],
                         ids=["killed before", "killed after", "twice"])  # fmt: skip
@pytest.mark.parametrize("step", [step.name for step in KINDS["host.drain"].steps])
def test_it_goes_on_after_a_kill_at_any_step(tmp_path: Path, step: str, by: Callable[..., Any]) -> None:
    cloud = Places(tmp_path, "a", "b", shared=True)
    server = cloud.make_server()
    cloud.kinds = dict(KINDS)
    replaced(cloud.kinds, "host.drain", step, "do", by)
    cloud.restart()
    id = drain(cloud, server)
    try:
        cloud.settle()
    except Killed:
        cloud.restart()
        cloud.settle()
    assert look(cloud, id).state is OperationState.DONE
    assert cloud.server(server.id).place == cloud.another(str(server.place))
    assert cloud.running() == [Running(cloud.another(str(server.place)), server.id)]
    cloud.close()
