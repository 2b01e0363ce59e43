"""The engine: order, retries, patience, other hosts, and how many statements it takes."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from polyvisor.hypervisor.driver import HypervisorError, Unreachable
from polyvisor.hypervisor.simulated import SimulatedSettings
from polyvisor.model.link import Report
from polyvisor.model.operation import OperationState
from polyvisor.model.order import ServerTarget
from polyvisor.model.power import Power
from polyvisor.model.server import VmState
from polyvisor.operate.kinds import KINDS
from tests.operate.cloud import Cloud, replaced


@pytest.fixture
def wide(tmp_path: Path, database_url: str) -> Iterator[Cloud]:
    """Three hosts with room enough."""
    made = Cloud(tmp_path, SimulatedSettings(hosts=3), database_url=database_url)
    yield made
    made.close()


def failing_on(hosts: set[str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A step that refuses on some hosts."""

    def wrap(act: Callable[..., Any]) -> Callable[..., Any]:
        def step(run: Any) -> Any:
            host = run.outputs["claim"]["host"]
            if host in hosts:
                raise HypervisorError(f"{host} has no room on its datastore.")
            return act(run)

        return step

    return wrap


def test_a_create_that_fails_on_one_host_is_tried_on_another(wide: Cloud) -> None:
    wide.kinds = dict(KINDS)
    replaced(wide.kinds, "server.create", "make", "do", failing_on({"sim-0001", "sim-0002"}))
    wide.restart()
    ids = [wide.ask_for_server(f"server-{number}") for number in range(6)]
    wide.settle()
    assert {wide.server(id).host for id in ids} == {"sim-0003"}
    assert {wide.server(id).vm_state for id in ids} == {VmState.ACTIVE}


def test_a_create_that_fails_everywhere_tells_every_reason(wide: Cloud) -> None:
    wide.kinds = dict(KINDS)
    replaced(wide.kinds, "server.create", "make", "do", failing_on({"sim-0001", "sim-0002", "sim-0003"}))
    wide.restart()
    untouched = wide.everything()
    server = wide.server(wide.ask_for_server())
    wide.settle()
    fault = wide.server(server.id).fault
    assert fault is not None
    for host in ("sim-0001", "sim-0002", "sim-0003"):
        assert f"{host} has no room on its datastore." in fault.details
    assert wide.everything() == untouched


def test_a_hypervisor_that_is_away_for_a_while_is_waited_for(cloud: Cloud) -> None:
    id = cloud.ask_for_server()
    cloud.turn(most=0)
    cloud.simulated.reachable = False
    reports: tuple[Report, ...] = ()
    for _ in range(60):
        reports = cloud.work(cloud.turn(reports))
        cloud.now += timedelta(seconds=2)
    assert cloud.server(id).vm_state is VmState.BUILDING
    [row] = cloud.unfinished()
    assert (row.due_at - cloud.now).total_seconds() <= 30

    cloud.simulated.reachable = True
    cloud.settle()
    assert cloud.server(id).vm_state is VmState.ACTIVE


def test_a_create_gives_up_when_its_patience_is_out(cloud: Cloud) -> None:
    cloud.kinds = dict(KINDS)

    def away(_act: Callable[..., Any]) -> Callable[..., Any]:
        def step(_run: Any) -> Any:
            raise Unreachable("vc1 does not answer.")

        return step

    replaced(cloud.kinds, "server.create", "boot", "do", away)
    cloud.restart()
    untouched = cloud.everything()
    id = cloud.ask_for_server()
    cloud.settle(most_turns=5000)
    fault = cloud.server(id).fault
    assert fault is not None
    assert "300 seconds" in fault.details
    assert "vc1 does not answer." in fault.details
    assert cloud.everything() == untouched


def test_operations_on_one_server_run_one_after_the_other(cloud: Cloud) -> None:
    id = cloud.ask_for_server()
    stop = cloud.begin("server.stop", id, ServerTarget(server_id=id))
    start = cloud.begin("server.start", id, ServerTarget(server_id=id))
    with cloud.database.read() as store:
        assert store.operation.get(stop).state is OperationState.WAITING
    cloud.settle()
    ended = {row.id: row for row in cloud.operations()}
    assert ended[stop].journal[0].started_at >= ended[start].created_at
    assert ended[start].journal[0].started_at >= ended[stop].journal[-1].finished_at
    assert cloud.server(id).power is Power.ON


def test_a_step_whose_worker_dies_every_time_fails(cloud: Cloud) -> None:
    untouched = cloud.everything()
    id = cloud.ask_for_server()
    cloud.turn(most=0)
    for _ in range(12):
        rows = cloud.unfinished()
        if not rows or rows[0].state is not OperationState.RUNNING:
            break
        cloud.turn()
        cloud.wait_out_leases()
    cloud.settle()
    fault = cloud.server(id).fault
    assert fault is not None
    assert "ended several times" in fault.details
    assert cloud.everything() == untouched


def test_a_refusal_tells_the_user_one_sentence_and_the_administrator_each_host(cloud: Cloud) -> None:
    cloud.ask_for_server("first")
    cloud.settle()
    id = cloud.ask_for_server("second")
    cloud.settle()
    fault = cloud.server(id).fault
    assert fault is not None
    assert "No host can run this server" in fault.message
    assert "sim-0001" not in fault.message
    assert "sim-0001: " in fault.details


def test_a_secret_is_wiped_once_the_operation_has_ended(cloud: Cloud) -> None:
    cloud.ask_for_server()
    cloud.settle()
    [row] = cloud.operations()
    assert row.args["admin_password"] == ""


def test_an_unknown_kind_is_stuck_and_harms_nobody(cloud: Cloud) -> None:
    cloud.begin("server.of_tomorrow", "x", ServerTarget(server_id="x"))
    id = cloud.ask_for_server()
    cloud.settle()
    [stuck] = cloud.operations(OperationState.STUCK)
    assert "knows no operation" in stuck.error
    assert cloud.server(id).vm_state is VmState.ACTIVE


def test_a_turn_writes_all_its_operations_in_one_statement(tmp_path: Path, database_url: str) -> None:
    cloud = Cloud(tmp_path, SimulatedSettings(hosts=3), database_url=database_url)
    counts = []
    for number in (1, 20):
        for each in range(number):
            cloud.ask_for_server(f"server-{number}-{each}")
        cloud.turn(most=0)
        statements: list[str] = []
        listener = lambda c, u, statement, p, x, m, statements=statements: statements.append(statement)  # noqa: E731
        event.listen(cloud.database.engine, "before_cursor_execute", listener)
        leases = cloud.turn(most=64)
        event.remove(cloud.database.engine, "before_cursor_execute", listener)
        assert len(leases) == number
        counts.append(len(statements))
        cloud.turn(cloud.work(leases), most=0)
        cloud.settle()
    assert counts[0] == counts[1]
    cloud.close()


def test_the_same_seed_replays_the_same_history(tmp_path: Path) -> None:
    histories = []
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        settings = SimulatedSettings(hosts=4, fault_rate=0.3, lost_reply_rate=0.3, seed=7)
        cloud = Cloud(tmp_path / run, settings, seed=7)
        for number in range(10):
            cloud.ask_for_server(f"server-{number}")
        cloud.settle(most_turns=5000)
        histories.append([(row.id, row.state, row.journal) for row in cloud.operations()])
        cloud.close()
    assert histories[0] == histories[1]
