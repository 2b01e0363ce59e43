"""Every operation is broken at every step, before and after it took effect, by errors, by lost replies and by kill -9.

The cloud has room for exactly one server, so that a claim that a second run of its step refuses itself is found.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from polyvisor.hypervisor.driver import HypervisorError, Unreachable
from polyvisor.model.network_list import everything
from polyvisor.model.operation import OperationState
from polyvisor.model.order import ServerReboot, ServerTarget
from polyvisor.model.power import Power
from polyvisor.model.server import VmState
from polyvisor.operate.kinds import KINDS
from polyvisor.operate.retry import retry
from tests.crash.breaking import INTERFACES, RELOCATING, breaking
from tests.operate.cloud import Cloud, Killed, replaced

MOMENTS = ("before", "after")
CHANGING = [
    kind
    for kind in KINDS
    if kind.startswith("server.") and not kind.startswith("server.console") and kind not in (*RELOCATING, *INTERFACES)
]
EVERY_STEP = [(kind, step.name) for kind in CHANGING for step in KINDS[kind].steps]
EVERY_UNDO = [(kind, step.name) for kind in CHANGING for step in KINDS[kind].steps if step.undo_step is not None]
PREPARED = {
    "server.start": Power.OFF,
    "server.unpause": Power.PAUSED,
    "server.resume": Power.SUSPENDED,
}
ENDS = {
    "server.create": (VmState.ACTIVE, Power.ON),
    "server.start": (VmState.ACTIVE, Power.ON),
    "server.stop": (VmState.STOPPED, Power.OFF),
    "server.reboot": (VmState.ACTIVE, Power.ON),
    "server.pause": (VmState.PAUSED, Power.PAUSED),
    "server.unpause": (VmState.ACTIVE, Power.ON),
    "server.suspend": (VmState.SUSPENDED, Power.SUSPENDED),
    "server.resume": (VmState.ACTIVE, Power.ON),
}


@pytest.fixture
def cloud(tmp_path: Path, database_url: str) -> Iterator[Cloud]:
    """Room for exactly one server, and every operation gets one try."""
    made = Cloud(tmp_path, database_url=database_url, networked=True)
    yield made
    made.close()


def prepare(cloud: Cloud, kind: str) -> str:
    """Ask for the operation on a server that is in the state for it; returns the server's id."""
    if kind == "server.create":
        return cloud.ask_for_server()
    server_id = cloud.ask_for_server()
    cloud.settle()
    if kind in PREPARED:
        cloud.simulated.set_power(server_id, PREPARED[kind])
        cloud.take_inventory()
    if kind == "server.delete":
        cloud.ask_for_end(server_id)
    elif kind == "server.reboot":
        cloud.begin(kind, server_id, ServerReboot(server_id=server_id, hard=True))
    else:
        cloud.begin(kind, server_id, ServerTarget(server_id=server_id))
    return server_id


def assert_ended_as_asked(cloud: Cloud, kind: str, server_id: str) -> None:
    server = cloud.server(server_id)
    guests = [guest.server_id for guest in cloud.simulated.estate.guests()]
    if kind == "server.delete":
        assert server.deleted_at is not None
        assert cloud.ports(server_id) == []
        with cloud.database.read() as store:
            [left] = store.port.list(everything())
        assert (left.id, left.device_id, left.device_owner) == (cloud.given, "", "")
        assert cloud.everything() == {"claims": [], "used": [("sim-0001", 0, 0, 0, 0)], "guests": [], "plugged": []}
        return
    assert (server.vm_state, server.power) == ENDS[kind]
    assert server.task_state is None
    assert guests == [server_id]
    assert cloud.everything()["used"] == [("sim-0001", 1, 512, 1, 1)]
    ports = cloud.ports(server_id)
    assert [(port.device_id, port.binding.host, port.binding.vif_type) for port in ports] == [
        (server_id, "sim-0001", "simulated")
    ] * 2
    assert cloud.cards(server_id) == [port.id for port in ports]


def run_until_killed(cloud: Cloud) -> None:
    """Go on until the planted kill strikes."""
    with pytest.raises(Killed):
        cloud.settle()


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("kind", "step"), EVERY_STEP)
def test_a_kill_at_any_step_loses_nothing(cloud: Cloud, kind: str, step: str, moment: str) -> None:
    """The process is gone in the middle of the step; the next one goes on where it was."""
    cloud.kinds = dict(KINDS)
    replaced(cloud.kinds, kind, step, "do", breaking(moment, Killed()))
    cloud.restart()
    server_id = prepare(cloud, kind)
    run_until_killed(cloud)

    cloud.restart()
    cloud.settle()

    assert_ended_as_asked(cloud, kind, server_id)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("kind", "step"), EVERY_STEP)
def test_a_worker_that_never_answers_is_replaced_when_its_lease_runs_out(
    cloud: Cloud, kind: str, step: str, moment: str
) -> None:
    """Nobody says that the worker died: only the clock does."""
    cloud.kinds = dict(KINDS)
    replaced(cloud.kinds, kind, step, "do", breaking(moment, Killed()))
    cloud.restart()
    server_id = prepare(cloud, kind)
    run_until_killed(cloud)

    cloud.wait_out_leases()
    cloud.settle()

    assert_ended_as_asked(cloud, kind, server_id)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("kind", "step"), [each for each in EVERY_STEP if each[0] == "server.create"])
def test_a_failure_leaves_nothing_behind(cloud: Cloud, kind: str, step: str, moment: str) -> None:
    """An error at any step, also one that comes after the effect, unwinds the whole operation."""
    untouched = cloud.everything()
    cloud.kinds = dict(KINDS)
    replaced(cloud.kinds, kind, step, "do", breaking(moment, HypervisorError("it broke"), times=100))
    cloud.restart()
    server_id = prepare(cloud, kind)

    cloud.settle()

    assert cloud.everything() == untouched
    server = cloud.server(server_id)
    assert server.vm_state is VmState.ERROR
    assert server.task_state is None
    assert server.host is None
    assert server.fault is not None
    assert server.fault.message
    assert cloud.operations()[0].state is OperationState.FAILED
    assert "once" not in str(cloud.operations()[0].args)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("step", [step for kind, step in EVERY_STEP if kind == "server.create"][1:4])
def test_a_lost_reply_is_no_failure(cloud: Cloud, step: str, moment: str) -> None:
    """A broken connection at a host's step is tried again, and ends in one guest."""
    cloud.kinds = dict(KINDS)
    replaced(cloud.kinds, "server.create", step, "do", breaking(moment, Unreachable("the reply was lost"), times=3))
    cloud.restart()
    server_id = prepare(cloud, "server.create")

    cloud.settle()

    assert_ended_as_asked(cloud, "server.create", server_id)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("kind", "undo"), EVERY_UNDO)
def test_a_kill_while_undoing_leaves_nothing_behind(cloud: Cloud, kind: str, undo: str, moment: str) -> None:
    """The operation fails at its last step; the process is killed during one of the undos."""
    untouched = cloud.everything()
    cloud.kinds = dict(KINDS)
    replaced(cloud.kinds, kind, "finish", "do", breaking("before", RuntimeError("it broke"), times=100))
    replaced(cloud.kinds, kind, undo, "undo_step", breaking(moment, Killed()))
    cloud.restart()
    prepare(cloud, kind)
    run_until_killed(cloud)

    cloud.restart()
    cloud.settle()

    assert cloud.everything() == untouched


def test_an_undo_that_keeps_failing_is_stuck_and_repeatable(cloud: Cloud) -> None:
    """It is parked, keeps what it could not undo, and a retry ends it."""
    untouched = cloud.everything()
    refusing = [True]

    def refuse(act: Callable[..., Any]) -> Callable[..., Any]:
        def undo(run: Any) -> Any:
            if refusing[0]:
                raise HypervisorError("the datastore is read-only")
            return act(run)

        return undo

    cloud.kinds = dict(KINDS)
    replaced(cloud.kinds, "server.create", "boot", "do", breaking("before", HypervisorError("it broke"), times=100))
    replaced(cloud.kinds, "server.create", "make", "undo_step", refuse)
    cloud.restart()
    prepare(cloud, "server.create")
    cloud.settle()

    [stuck] = cloud.operations(OperationState.STUCK)
    assert stuck.journal[-1].error == "the datastore is read-only"
    assert cloud.everything() != untouched

    refusing[0] = False
    with cloud.database.write() as store:
        retry(store, stuck.id, cloud.now)
    cloud.settle()
    assert cloud.everything() == untouched
    assert cloud.operations(OperationState.STUCK) == []


@pytest.mark.parametrize("turns", range(9))
def test_a_delete_at_any_moment_of_a_create_leaves_nothing(cloud: Cloud, turns: int) -> None:
    """The create is stopped wherever it is, and the delete follows."""
    untouched = cloud.everything()
    server_id = cloud.ask_for_server()
    reports: tuple[Any, ...] = ()
    for _ in range(turns):
        reports = cloud.work(cloud.turn(reports))
    cloud.ask_for_end(server_id)
    cloud.turn(reports)

    cloud.settle()

    assert cloud.everything() == untouched
    assert cloud.server(server_id).deleted_at is not None


def test_a_report_under_an_old_lease_says_nothing(cloud: Cloud) -> None:
    """A worker that was thought dead wakes up: its word comes too late."""
    cloud.ask_for_server()
    cloud.turn(most=0)
    [stale] = cloud.turn()
    cloud.wait_out_leases()
    [fresh] = cloud.turn()
    assert fresh.operation.lease_epoch == stale.operation.lease_epoch + 1

    [late] = cloud.work([stale])
    cloud.turn((late,), most=0)

    [row] = cloud.unfinished()
    assert row.step == stale.operation.step
    assert row.lease_epoch == fresh.operation.lease_epoch


@pytest.mark.parametrize(("kind", "step"), EVERY_STEP)
def test_every_step_may_run_twice(cloud: Cloud, kind: str, step: str) -> None:
    """The second run of a step finds its own work, and does not stand in its own way."""

    def twice(act: Callable[..., Any]) -> Callable[..., Any]:
        def run_twice(run: Any) -> Any:
            act(run)
            return act(run)

        return run_twice

    cloud.kinds = dict(KINDS)
    replaced(cloud.kinds, kind, step, "do", twice)
    cloud.restart()
    server_id = prepare(cloud, kind)

    cloud.settle()

    assert_ended_as_asked(cloud, kind, server_id)


@pytest.mark.parametrize(("kind", "undo"), EVERY_UNDO)
def test_every_undo_may_run_twice(cloud: Cloud, kind: str, undo: str) -> None:
    """An undo that finds nothing left to undo is content."""

    def twice(act: Callable[..., Any]) -> Callable[..., Any]:
        def run_twice(run: Any) -> Any:
            act(run)
            return act(run)

        return run_twice

    untouched = cloud.everything()
    cloud.kinds = dict(KINDS)
    replaced(cloud.kinds, kind, "finish", "do", breaking("before", RuntimeError("it broke"), times=100))
    replaced(cloud.kinds, kind, undo, "undo_step", twice)
    cloud.restart()
    prepare(cloud, kind)

    cloud.settle()

    assert cloud.everything() == untouched


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("step", [step for kind, step in EVERY_STEP if kind == "server.create"])
def test_a_delete_after_a_kill_at_any_step_of_a_create_leaves_nothing(cloud: Cloud, step: str, moment: str) -> None:
    """What the killed step may have done is undone, though nobody knows whether it did."""
    untouched = cloud.everything()
    cloud.kinds = dict(KINDS)
    replaced(cloud.kinds, "server.create", step, "do", breaking(moment, Killed()))
    cloud.restart()
    server_id = prepare(cloud, "server.create")
    run_until_killed(cloud)

    cloud.restart()
    cloud.ask_for_end(server_id)
    cloud.settle()

    assert cloud.everything() == untouched
    assert cloud.server(server_id).deleted_at is not None
