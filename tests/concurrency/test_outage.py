"""While the database is away: an answer in each service's own form, and afterwards all is as before."""

import logging
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from polyvisor.api.compute.service import service as compute
from polyvisor.api.identity.passwords import Passwords
from polyvisor.api.identity.service import service as identity
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.settings import ComputeSettings
from polyvisor.operate.controller import Controller
from polyvisor.operate.engine import Engine
from polyvisor.operate.kinds import KINDS
from polyvisor.operate.tools import ControlTools
from polyvisor.schedule.settings import ScheduleSettings
from testbed.postgres import TestPostgres
from testbed.process import wait_for
from tests.api.cloud import ApiCloud
from tests.api.compute.test_server import SERVERS
from tests.api.identity.conftest import CHEAP
from tests.databases import with_tables

PATIENCE_SECONDS = 180
AWAY = "The database does not answer at this moment. Try again in a few seconds."


def test_requests_get_503_in_their_service_s_form_until_the_database_is_back(tmp_path: Path) -> None:
    with TestPostgres() as server:
        url = server.create_database("cloud")
        parts = [Passwords(CHEAP), CHEAP, ComputeSettings(), NetworkSettings(backend="none")]
        with ApiCloud(tmp_path, [identity, compute], parts, database_url=url) as cloud:
            assert cloud.member.get(SERVERS).status == 200
            server.stop()
            for answer in (cloud.member.get(SERVERS), cloud.member.post(f"{SERVERS}/x/metadata", {"metadata": {}})):
                assert (answer.status, answer.headers["retry-after"]) == (503, "3")
                assert answer.body == {"serviceUnavailable": {"code": 503, "message": AWAY}}
            users = cloud.admin.get("/identity/v3/users")
            assert users.body["error"] == {"code": 503, "message": AWAY, "title": "Service Unavailable"}
            server.start()
            assert cloud.member.get(SERVERS).status == 200
            made = cloud.admin.post("/identity/v3/roles", {"role": {"name": "auditor"}})
            assert made.status == 201


def test_a_request_whose_connections_have_all_died_is_worked_on_again(tmp_path: Path) -> None:
    """The server is back before anybody notices that it was away; no request fails for it."""
    with TestPostgres() as server:
        url = server.create_database("cloud")
        with ApiCloud(tmp_path, [identity, compute], [Passwords(CHEAP), CHEAP], database_url=url) as cloud:
            for number in range(3):
                assert cloud.admin.get("/identity/v3/users").status == 200
                server.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'cloud'")
                made = cloud.admin.post("/identity/v3/roles", {"role": {"name": f"role-{number}"}})
                assert made.status == 201


def test_the_control_loop_goes_on_when_the_database_is_back_and_has_not_filled_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with TestPostgres() as server:
        database = with_tables(server.create_database("cloud"))
        turns = threading.Semaphore(0)
        engine = Engine(KINDS, ControlTools(ComputeSettings(), ScheduleSettings()))
        loop = Controller(database, engine, lambda: datetime.now(UTC), "here", turned=turns.release)
        loop.start()

        def turned(number: int) -> None:
            for _ in range(number):
                assert turns.acquire(timeout=PATIENCE_SECONDS)

        try:
            turned(1)
            server.stop()
            database.signals.wake("control")
            wait_for(lambda: database.outage.away, PATIENCE_SECONDS, lambda: "the loop has not noticed")
            turned(3)
            server.start()
            wait_for(lambda: not database.outage.away, PATIENCE_SECONDS, lambda: "the loop has not gone on")
        finally:
            loop.stop()
            database.close()
    logged = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.levelname for record in logged] == ["ERROR", "WARNING"], caplog.text
