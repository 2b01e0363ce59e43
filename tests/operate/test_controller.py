"""The control process says that it lives."""

import time
from datetime import UTC, datetime, timedelta

from polyvisor.model.control import Control
from polyvisor.model.operation import CONTROL
from polyvisor.model.settings import ComputeSettings
from polyvisor.operate.controller import Controller
from polyvisor.operate.engine import Engine
from polyvisor.operate.kinds import KINDS
from polyvisor.operate.tools import ControlTools
from polyvisor.schedule.settings import ScheduleSettings
from polyvisor.store.database import Database
from tests.databases import with_tables

_TIMEOUT_SECONDS = 180


def _only(database: Database) -> Control:
    with database.read() as store:
        [found] = store.control.list()
    return found


def test_a_control_process_is_alive_while_it_runs_and_keeps_its_id(database_url: str) -> None:
    database = with_tables(database_url)
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    ids = set()
    for _ in range(2):
        controller = Controller(
            database, Engine(KINDS, ControlTools(ComputeSettings(), ScheduleSettings())), lambda: now[0], name="here"
        )
        controller.start()
        try:
            now[0] += timedelta(seconds=90)
            deadline = time.monotonic() + _TIMEOUT_SECONDS
            while _only(database).seen_at != now[0] and time.monotonic() < deadline:
                database.signals.wake(CONTROL)
                time.sleep(0.01)
        finally:
            controller.stop()
        seen = _only(database)
        assert seen.alive(now[0])
        assert not seen.alive(now[0] + timedelta(seconds=90))
        assert seen.started_at == now[0] - timedelta(seconds=90)
        ids.add(seen.uuid)
    database.close()
    assert len(ids) == 1
