"""Every operation that takes servers from host to host is broken at every step: killed, refused, and run twice.

The cloud has two hosts with room for exactly one server each.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.model.operation import OperationState
from polyvisor.model.power import Power
from polyvisor.model.server import Server, VmState
from polyvisor.operate.kinds import KINDS
from tests.crash.breaking import RELOCATING, breaking, twice
from tests.operate.cloud import Killed, replaced
from tests.operate.places import Places, Running

MOMENTS = ("before", "after")
WAYS = {
    "evacuate, local disks": "server.evacuate",
    "evacuate, shared disks": "server.evacuate",
    "empty the host, local disks": "server.evacuate",
    "move, shared disks": "server.move",
}
EVERY_STEP = [(way, step.name) for way, kind in WAYS.items() for step in KINDS[kind].steps]
EVERY_UNDO = [(way, step.name) for way, kind in WAYS.items() for step in KINDS[kind].steps if step.undo_step]
REMOVE = [step.name for step in KINDS["guest.remove"].steps]


def test_every_kind_that_relocates_is_tried_here() -> None:
    assert {*WAYS.values(), "guest.remove", "host.drain"} == set(RELOCATING)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[str], Places]]:
    """Two hosts, with shared disks or without."""
    made: list[Places] = []

    def clouds(way: str) -> Places:
        made.append(Places(tmp_path, "a", "b", shared="shared" in way, networked=True))
        return made[-1]

    yield clouds
    for each in made:
        each.close()


def prepare(cloud: Places) -> Server:
    """A server that runs."""
    server = cloud.make_server()
    assert server.place is not None
    return server


def ask(cloud: Places, way: str, server: Server) -> None:
    """Ask for it, on a server that runs."""
    if way.startswith("evacuate"):
        cloud.fail(str(server.place))
        cloud.ask_to_evacuate(server.id)
    elif way.startswith("empty"):
        cloud.ask_to_evacuate(server.id, leaving=True)
    else:
        cloud.ask_to_move(server.id)


def break_step(cloud: Places, way: str, step: str, part: str, by: Callable[..., Any]) -> None:
    """Put something else in the place of a step, or its undo."""
    kind = WAYS.get(way, way)
    cloud.kinds = dict(KINDS)
    replaced(cloud.kinds, kind, step, part, by)
    cloud.restart()


def assert_arrived(cloud: Places, server: Server, disk: str | None) -> None:
    """It runs elsewhere, and once its host is back nothing else is left."""
    home = str(server.place)
    cloud.come_back(home)
    cloud.settle()
    cloud.look_around()
    cloud.settle()
    other = cloud.another(home)
    after = cloud.server(server.id)
    assert (after.place, after.vm_state, after.power, after.task_state) == (other, VmState.ACTIVE, Power.ON, None)
    assert cloud.running() == [Running(other, server.id)]
    assert cloud.guests() == [(other, server.id)]
    assert cloud.everything()["claims"] == [(server.id, after.host)]
    assert cloud.everything()["used"] == [
        (f"{name}-0001", *((1, 512, 1, 1) if name == other else (0, 0, 0, 0))) for name in cloud.names
    ]
    ports = cloud.ports(server.id)
    assert [(port.device_id, port.binding.host) for port in ports] == [(server.id, after.host)] * 2
    assert cloud.cards(server.id) == [port.id for port in ports]
    assert cloud.disk(server.id) == disk
    assert cloud.migrations(server.id)[0].status == "completed"
    assert cloud.unfinished() == []


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("way", "step"), EVERY_STEP)
def test_a_kill_at_any_step_loses_nothing(make: Callable[[str], Places], way: str, step: str, moment: str) -> None:
    cloud = make(way)
    server = prepare(cloud)
    disk = cloud.disk(server.id)
    break_step(cloud, way, step, "do", breaking(moment, Killed()))
    ask(cloud, way, server)
    with pytest.raises(Killed):
        cloud.settle()
    cloud.restart()
    cloud.settle()
    assert_arrived(cloud, server, disk)


@pytest.mark.parametrize(("way", "step"), EVERY_STEP)
def test_every_step_may_run_twice(make: Callable[[str], Places], way: str, step: str) -> None:
    cloud = make(way)
    server = prepare(cloud)
    disk = cloud.disk(server.id)
    break_step(cloud, way, step, "do", twice)
    ask(cloud, way, server)
    cloud.settle()
    assert_arrived(cloud, server, disk)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("way", "step"), EVERY_STEP)
def test_a_failure_leaves_the_server_where_it_was(
    make: Callable[[str], Places], way: str, step: str, moment: str
) -> None:
    """An error at any step, also one that comes after the effect, unwinds the whole operation."""
    cloud = make(way)
    server = prepare(cloud)
    untouched = cloud.everything()
    break_step(cloud, way, step, "do", breaking(moment, HypervisorError("it broke"), times=100))
    ask(cloud, way, server)
    cloud.settle()
    assert cloud.everything() == untouched
    after = cloud.server(server.id)
    assert (after.host, after.place, after.task_state) == (server.host, server.place, None)
    assert cloud.operations()[0].state is OperationState.FAILED
    if way.startswith("evacuate"):
        assert after.vm_state is VmState.ERROR
        assert after.fault is not None
        assert after.fault.message
    else:
        assert after.vm_state is VmState.ACTIVE
        assert cloud.running() == [Running(str(server.place), server.id)]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("way", "undo"), EVERY_UNDO)
def test_a_kill_while_undoing_leaves_the_server_where_it_was(
    make: Callable[[str], Places], way: str, undo: str, moment: str
) -> None:
    """The operation fails at its last step; the process is killed during one of the undos."""
    cloud = make(way)
    server = prepare(cloud)
    untouched = cloud.everything()
    break_step(cloud, way, undo, "undo_step", breaking(moment, Killed()))
    replaced(cloud.kinds, WAYS[way], "finish", "do", breaking("before", RuntimeError("it broke"), times=100))
    cloud.restart()
    ask(cloud, way, server)
    with pytest.raises(Killed):
        cloud.settle()
    cloud.restart()
    cloud.settle()
    assert cloud.everything() == untouched


@pytest.mark.parametrize("by", [breaking("before", Killed()), breaking("after", Killed()), twice],
                         ids=["killed before", "killed after", "twice"])  # fmt: skip
@pytest.mark.parametrize("step", REMOVE)
@pytest.mark.parametrize("shared", ["local disks", "shared disks"])
def test_what_is_left_behind_is_removed_whatever_happens_meanwhile(
    make: Callable[[str], Places], shared: str, step: str, by: Callable[..., Any]
) -> None:
    cloud = make(shared)
    server = prepare(cloud)
    disk = cloud.disk(server.id)
    cloud.fail(str(server.place))
    cloud.ask_to_evacuate(server.id)
    cloud.settle()
    break_step(cloud, "guest.remove", step, "do", by)
    cloud.come_back(str(server.place))
    try:
        cloud.settle()
    except Killed:
        cloud.restart()
        cloud.settle()
    assert_arrived(cloud, server, disk)
