"""Workers: what they are at when they stop is done again by the next one, never lost and never reported half-done."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from polyvisor.hypervisor.driver import Driver
from polyvisor.model.link import Report
from polyvisor.model.server import VmState
from polyvisor.operate.gate import Gate
from polyvisor.operate.kinds import KINDS
from polyvisor.operate.link import LinkDown
from polyvisor.operate.local_link import LocalLink
from polyvisor.operate.station import Station
from tests.operate.cloud import Cloud, replaced

PATIENCE_SECONDS = 180


@pytest.fixture
def cloud(tmp_path: Path, database_url: str) -> Iterator[Cloud]:
    """Its worker is a real one here."""
    made = Cloud(tmp_path, database_url=database_url)
    yield made
    made.close()


def working(cloud: Cloud, owner: str, threads: int = 2) -> Station:
    """A worker with threads, at work."""
    link = LocalLink(Gate(cloud.database, cloud.engine, lambda: cloud.now), owner, lambda: cloud.now)
    drivers: dict[str, Driver] = {"sim": cloud.driver}
    source: Any = object()
    station = Station(
        link, drivers, {}, cloud.kinds, lambda _step: source, lambda: cloud.now, time.monotonic, threads=threads
    )
    station.start()
    return station


def holding(begun: threading.Event, go_on: threading.Event) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A step that waits within its first run, and then says how far it is."""
    first = [True]

    def wrap(act: Callable[..., Any]) -> Callable[..., Any]:
        def step(run: Any) -> Any:
            if first[0]:
                first[0] = False
                begun.set()
                assert go_on.wait(PATIENCE_SECONDS)
                run.progress(0.5, "image")
            return act(run)

        return step

    return wrap


def test_a_step_under_way_at_the_stop_is_done_again_by_the_next_worker(cloud: Cloud) -> None:
    begun, go_on = threading.Event(), threading.Event()
    cloud.kinds = dict(KINDS)
    replaced(cloud.kinds, "server.create", "prepare_image", "do", holding(begun, go_on))
    cloud.restart()
    id = cloud.ask_for_server()
    worker = working(cloud, "up:one")
    assert begun.wait(PATIENCE_SECONDS)

    assert worker.stop(patience_seconds=0.1) is False
    go_on.set()
    assert cloud.server(id).vm_state is VmState.BUILDING
    [row] = cloud.unfinished()
    assert [entry.step for entry in row.journal] == ["claim"]

    cloud.restart()
    cloud.settle()
    assert cloud.server(id).vm_state is VmState.ACTIVE


def test_a_stop_waits_for_steps_that_end_in_time(cloud: Cloud) -> None:
    begun, go_on = threading.Event(), threading.Event()
    cloud.kinds = dict(KINDS)
    replaced(cloud.kinds, "server.create", "prepare_image", "do", holding(begun, go_on))
    cloud.restart()
    cloud.ask_for_server()
    worker = working(cloud, "up:one")
    assert begun.wait(PATIENCE_SECONDS)
    threading.Timer(0.2, go_on.set).start()

    assert worker.stop(patience_seconds=PATIENCE_SECONDS) is True
    [row] = cloud.unfinished()
    assert [entry.step for entry in row.journal] == ["claim", "prepare_image"]


def test_a_worker_with_its_hands_full_waits_for_its_own_steps_alone(cloud: Cloud) -> None:
    """What else is due at its place would end each wait at once."""
    begun, go_on, waited = threading.Event(), threading.Event(), threading.Event()
    cloud.kinds = dict(KINDS)
    replaced(cloud.kinds, "server.create", "prepare_image", "do", holding(begun, go_on))
    cloud.restart()
    cloud.ask_for_server()
    worker = working(cloud, "up:one", threads=1)
    link = worker.worker._link
    usual = link.wait

    def wait(places: tuple[str, ...], timeout_seconds: float) -> None:
        if not places:
            waited.set()
        usual(places, timeout_seconds)

    link.wait = wait  # type: ignore[method-assign]
    try:
        assert begun.wait(PATIENCE_SECONDS)
        link.poke()
        assert waited.wait(PATIENCE_SECONDS)
    finally:
        go_on.set()
        assert worker.stop(patience_seconds=PATIENCE_SECONDS) is True


def test_what_could_not_be_handed_in_is_told_until_it_is(cloud: Cloud) -> None:
    cloud.restart()
    id = cloud.ask_for_server()
    worker = working(cloud, "up:one")
    link = worker.worker._link
    usual, told, down = link.exchange, threading.Event(), threading.Event()
    unreported: list[tuple[str, ...]] = []

    def exchange(places: tuple[str, ...], reports: list[Report], most: int, running: tuple[str, ...] = ()) -> Any:
        if not reports or told.is_set():
            return usual(places, reports, most, running)
        unreported.append(worker.worker.unreported())
        if down.is_set():
            told.set()
        down.set()
        raise LinkDown("This server has more to do than it can.")

    link.exchange = exchange  # type: ignore[method-assign]
    try:
        assert told.wait(PATIENCE_SECONDS)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while cloud.server(id).vm_state is not VmState.ACTIVE and time.monotonic() < deadline:
            cloud.turn(most=0)
            time.sleep(0.02)
        assert cloud.server(id).vm_state is VmState.ACTIVE
        while worker.worker.unreported() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert worker.worker.unreported() == ()
    finally:
        assert worker.stop(patience_seconds=PATIENCE_SECONDS) is True
    [operation_id] = set(unreported[0])
    assert unreported == [(operation_id,), (operation_id,)]
