"""Ports are plugged into servers and taken out of them, and every step of it is broken: killed, refused, run twice."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.model.operation import OperationState
from polyvisor.model.port import Port
from polyvisor.operate.kinds import KINDS
from tests.crash.breaking import INTERFACES, breaking, twice
from tests.operate.cloud import Cloud, Killed, replaced

ATTACH, DETACH = INTERFACES
MOMENTS = ("before", "after")
EVERY_STEP = [(kind, step.name) for kind in INTERFACES for step in KINDS[kind].steps]
EVERY_UNDO = [(kind, step.name) for kind in INTERFACES for step in KINDS[kind].steps if step.undo_step is not None]
WAYS = [(*each, number % 2 == 0) for number, each in enumerate(EVERY_STEP)]
BROKEN = [breaking("before", Killed()), breaking("after", Killed()), twice]
BROKEN_IDS = ["killed before", "killed after", "twice"]


@pytest.fixture
def cloud(tmp_path: Path, database_url: str) -> Iterator[Cloud]:
    made = Cloud(tmp_path, database_url=database_url, networked=True)
    yield made
    made.close()


@pytest.fixture
def server_id(cloud: Cloud) -> str:
    """A server that runs, with two ports."""
    id = cloud.ask_for_server()
    cloud.settle()
    return id


def port_of(cloud: Cloud, id: str) -> Port | None:
    with cloud.database.read() as store:
        return store.port.of_ids([id]).get(id)


def break_step(cloud: Cloud, kind: str, step: str, part: str, by: Callable[..., Any]) -> None:
    cloud.kinds = dict(KINDS)
    replaced(cloud.kinds, kind, step, part, by)
    cloud.restart()


def settle_over_a_kill(cloud: Cloud) -> None:
    try:
        cloud.settle()
    except Killed:
        cloud.restart()
        cloud.settle()


def assert_plugged(cloud: Cloud, server_id: str, *port_ids: str) -> None:
    """These ports, in this order: in the record, at the host, and in the guest."""
    ports = cloud.ports(server_id)
    assert [port.id for port in ports] == list(port_ids)
    assert {(port.device_id, port.binding.host) for port in ports} == {(server_id, "sim-0001")}
    assert cloud.cards(server_id) == list(port_ids)


def assert_free(cloud: Cloud, id: str, *, made: bool) -> None:
    """A port that was made for the server is gone; one that was given is nobody's."""
    port = port_of(cloud, id)
    if made:
        assert port is None
    else:
        assert port is not None
        assert (port.device_id, port.device_owner, port.binding.host) == ("", "", "")


def begin(cloud: Cloud, kind: str, server_id: str, *, made: bool) -> str:
    """Ask for it; returns the port's id."""
    if kind == ATTACH:
        return cloud.ask_to_attach(server_id, made=made)
    port = next(each for each in cloud.server(server_id).ports if each.made is made)
    cloud.ask_to_detach(server_id, port.port_id)
    return port.port_id


@pytest.mark.parametrize("by", BROKEN, ids=BROKEN_IDS)
@pytest.mark.parametrize(("kind", "step", "made"), WAYS)
def test_whatever_happens_meanwhile_it_ends_as_asked(
    cloud: Cloud, server_id: str, kind: str, step: str, made: bool, by: Callable[..., Any]
) -> None:
    before = [port.port_id for port in cloud.server(server_id).ports]
    break_step(cloud, kind, step, "do", by)
    port_id = begin(cloud, kind, server_id, made=made)
    settle_over_a_kill(cloud)
    if kind == ATTACH:
        assert_plugged(cloud, server_id, *before, port_id)
        assert cloud.server(server_id).ports[-1].made is made
    else:
        assert_plugged(cloud, server_id, *(each for each in before if each != port_id))
        assert_free(cloud, port_id, made=made)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("kind", "step", "made"), WAYS)
def test_a_failure_leaves_the_server_as_it_was(
    cloud: Cloud, server_id: str, kind: str, step: str, made: bool, moment: str
) -> None:
    before = [port.port_id for port in cloud.server(server_id).ports]
    break_step(cloud, kind, step, "do", breaking(moment, HypervisorError("it broke"), times=100))
    port_id = begin(cloud, kind, server_id, made=made)
    cloud.settle()
    [failed] = cloud.operations(OperationState.FAILED)
    assert failed.kind == kind
    assert [port.id for port in cloud.ports(server_id)] == before
    assert sorted(cloud.cards(server_id)) == sorted(before)
    if kind == ATTACH:
        assert_free(cloud, port_id, made=made)


@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize("kind", INTERFACES)
def test_ports_that_were_made_for_it_go_and_given_ones_stay(
    cloud: Cloud, server_id: str, kind: str, made: bool
) -> None:
    port_id = begin(cloud, kind, server_id, made=made)
    cloud.settle()
    if kind == ATTACH:
        cloud.ask_to_detach(server_id, port_id)
        cloud.settle()
    assert_free(cloud, port_id, made=made)


@pytest.mark.parametrize("by", BROKEN, ids=BROKEN_IDS)
@pytest.mark.parametrize(("kind", "undo"), EVERY_UNDO)
def test_an_undo_that_is_killed_or_runs_twice_leaves_the_server_as_it_was(
    cloud: Cloud, server_id: str, kind: str, undo: str, by: Callable[..., Any]
) -> None:
    before = [port.port_id for port in cloud.server(server_id).ports]
    break_step(cloud, kind, undo, "undo_step", by)
    last = KINDS[kind].steps[-1].name
    replaced(cloud.kinds, kind, last, "do", breaking("before", RuntimeError("it broke"), times=100))
    cloud.restart()
    begin(cloud, kind, server_id, made=True)
    settle_over_a_kill(cloud)
    assert sorted(cloud.cards(server_id)) == sorted(before)
    assert [port.id for port in cloud.ports(server_id)] == before


@pytest.mark.parametrize("turns", range(5))
@pytest.mark.parametrize("kind", INTERFACES)
def test_a_delete_at_any_moment_leaves_nothing(cloud: Cloud, server_id: str, kind: str, turns: int) -> None:
    port_id = begin(cloud, kind, server_id, made=True)
    reports: tuple[Any, ...] = ()
    for _ in range(turns):
        reports = cloud.work(cloud.turn(reports))
    cloud.ask_for_end(server_id)
    cloud.turn(reports)
    cloud.settle()
    assert cloud.server(server_id).deleted_at is not None
    assert cloud.server(server_id).ports == ()
    assert_free(cloud, port_id, made=True)
    assert_free(cloud, cloud.given, made=False)
    assert cloud.simulated.estate.guests() == []


def test_a_port_that_was_removed_meanwhile_is_not_plugged_in(cloud: Cloud, server_id: str) -> None:
    before = [port.port_id for port in cloud.server(server_id).ports]
    port_id = cloud.ask_to_attach(server_id)
    with cloud.database.write() as store:
        store.port.delete([port_id], cloud.now)
    cloud.settle()
    assert_plugged(cloud, server_id, *before)
    [failed] = cloud.operations(OperationState.FAILED)
    assert "was removed before it was plugged in" in failed.error


def test_a_card_whose_port_was_removed_meanwhile_can_be_taken_out(cloud: Cloud, server_id: str) -> None:
    made, given = (port.port_id for port in cloud.server(server_id).ports)
    with cloud.database.write() as store:
        store.port.delete([made], cloud.now)
    cloud.ask_to_detach(server_id, made)
    cloud.settle()
    assert_plugged(cloud, server_id, given)
