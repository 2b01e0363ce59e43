"""/healthz and /readyz: what hangs, stops or is missing is said, in bounded time, and heals by itself."""

import signal
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests

from polyvisor.api.kit.edge import Receive, Scope, Send
from polyvisor.model.operation import OperationState
from polyvisor.model.record import Record
from polyvisor.model.settings import ComputeSettings
from polyvisor.observe.health import Check, Health, Unready, with_health
from polyvisor.observe.pulse import Followed, Pulse
from polyvisor.operate.controller import Controller
from polyvisor.operate.definition import Operation, Run, control
from polyvisor.operate.engine import Engine
from polyvisor.operate.tools import ControlTools
from polyvisor.schedule.settings import ScheduleSettings
from polyvisor.serve.readiness import checks
from polyvisor.serve.schema import bring_up_to_date
from polyvisor.store.database import Database
from polyvisor.store.migrations import NEWEST
from testbed.postgres import TestPostgres
from tests import databases
from tests.api.callers import Callers
from tests.clients.cloud import RunningCloud
from tests.observe.observed import wait_for

PATIENCE_SECONDS = 0.5


def states(answer: tuple[int, bytes]) -> dict[str, tuple[str, str]]:
    """Check → its state and sentence; the status must agree with them."""
    status, body = answer
    found = msgspec.json.decode(body)
    by_name = {each["name"]: (each["state"], each["sentence"]) for each in found["checks"]}
    well = all(state == "ok" for state, _ in by_name.values())
    assert (status, found["status"]) == ((200, "ok") if well else (503, "failed"))
    return by_name


@pytest.fixture
def postgres() -> Iterator[TestPostgres]:
    """A server of the test's own, which it may stop."""
    with TestPostgres() as server:
        yield server


def test_a_database_that_stops_is_said_and_its_return_too(postgres: TestPostgres) -> None:
    database = Database(postgres.create_database("health"))
    bring_up_to_date(database)
    Callers(database)  # makes the keys that seal tokens
    health = Health([], checks(database), patience_seconds=180)
    impatient = Health([], checks(database), patience_seconds=1)
    try:
        assert states(health.ready())["database"] == ("ok", f"It answers, at schema {NEWEST}.")

        postgres.stop()
        for name in ("database", "token_keys"):
            state, sentence = states(health.ready())[name]
            assert state == "failed"
            assert sentence
        assert states(health.alive()) == {}, "a process whose database is down is to live on"

        postgres.start()
        wait_for(lambda: health.ready()[0] == 200, "it is ready again")

        postgres.freeze()
        state, sentence = states(impatient.ready())["database"]
        assert (state, sentence.startswith("It has not answered")) == ("failed", True)
        postgres.thaw()
        wait_for(lambda: impatient.ready()[0] == 200, "it is ready again")
    finally:
        postgres.thaw()
        database.close()


def test_an_old_schema_and_missing_keys_are_said(tmp_path: Path) -> None:
    database = databases.with_tables(databases.sqlite_url(tmp_path))
    with database.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('0001')")
    health = Health([], checks(database), patience_seconds=30)
    found = states(health.ready())
    assert found["database"] == (
        "failed", f"The database is at schema 0001, and this program needs {NEWEST}: run `polyvisor database upgrade`."
    )  # fmt: skip
    assert found["token_keys"][0] == "failed"
    assert "no key to seal tokens with" in found["token_keys"][1]
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert states(health.ready())["database"][0] == "ok", "a newer program has only added to it"
    database.close()


class _Nothing(Record):
    pass


def test_a_control_loop_that_hangs_is_said_and_its_return_too(tmp_path: Path) -> None:
    """A step that never ends: /healthz fails until it does."""
    database = databases.with_tables(databases.sqlite_url(tmp_path))
    hangs, let_go = threading.Event(), threading.Event()
    kind = Operation("test.hang", _Nothing)

    @kind.step(at=control)
    def hang(_run: Run[_Nothing]) -> None:
        hangs.set()
        let_go.wait(60)

    pulse = Pulse("control_loop", "no operation moves on.", limit_seconds=PATIENCE_SECONDS)
    health = Health([pulse], [])
    engine = Engine({kind.kind: kind}, ControlTools(ComputeSettings(), ScheduleSettings()))
    controller = Controller(database, engine, lambda: datetime.now(UTC), name="test", turned=pulse)
    with database.write() as store:
        store.operation.begin(
            id="one", kind=kind.kind, target_id="one", project_id="", user_id="", request_id="", args={},
            now=datetime.now(UTC),
        )  # fmt: skip
    controller.start()
    try:
        assert hangs.wait(60)
        wait_for(lambda: health.alive()[0] == 503, "the loop counts as hung")
        state, sentence = states(health.alive())["control_loop"]
        assert state == "failed"
        assert "no operation moves on. Restart this process." in sentence
        assert health.ready()[0] == 503
        let_go.set()
        wait_for(lambda: health.alive()[0] == 200, "it turns again")
        with database.read() as store:
            assert store.operation.get("one").state is OperationState.DONE
    finally:
        let_go.set()
        controller.stop()
        database.close()


def test_a_check_that_hangs_is_asked_once_and_holds_up_nobody() -> None:
    let_go, asked = threading.Event(), []

    def ask() -> str:
        asked.append(1)
        let_go.wait(60)
        return "It answers."

    health = Health([], [Check(name="slow", ask=ask)], patience_seconds=0.05)
    for _ in range(3):
        assert states(health.ready())["slow"][0] == "failed"
    assert len(asked) == 1
    let_go.set()
    wait_for(lambda: health.ready()[0] == 200, "it answers")


def test_what_a_check_raises_is_not_shown_unless_it_is_meant_to_be() -> None:
    def secret() -> str:
        raise RuntimeError("postgresql://user:password@host")

    def meant() -> str:
        raise Unready("Do this.")

    health = Health([], [Check(name="secret", ask=secret), Check(name="meant", ask=meant)])
    status, body = health.ready()
    assert status == 503
    assert b"password" not in body
    assert states((status, body))["meant"] == ("failed", "Do this.")


def test_a_loop_may_note_its_turns_itself() -> None:
    silent = 5.0
    pulse = Followed("heartbeat", "its places go to others.", 60, lambda: silent)
    health = Health([pulse], [])
    assert health.alive()[0] == 200
    silent = 61.0
    assert health.alive()[0] == 503


def test_before_the_end_readyz_says_so_and_requests_are_still_taken(tmp_path: Path) -> None:
    """SIGTERM: /readyz turns 503, and the API answers on; a second SIGTERM ends the process at once, and well."""
    config = tmp_path / "polyvisor.toml"
    config.write_text('[api]\ndrain_seconds = 600\n[metrics]\nlisten = "none"\n')
    cloud = RunningCloud(tmp_path, "--config", str(config))
    try:
        cloud.start()
        assert "Metrics: none" in cloud.logged()
        wait_for(lambda: requests.get(f"{cloud.url}/readyz", timeout=30).status_code == 200, "it is ready")
        assert cloud.process is not None
        cloud.process.send_signal(signal.SIGTERM)
        wait_for(lambda: requests.get(f"{cloud.url}/readyz", timeout=30).status_code == 503, "/readyz says so")
        said = requests.get(f"{cloud.url}/readyz", timeout=30).json()["checks"]
        assert {"name": "draining", "state": "failed", "sentence": "This process is about to stop."} in said
        assert requests.get(f"{cloud.url}/healthz", timeout=30).status_code == 200
        assert requests.get(f"{cloud.url}/identity/v3", timeout=30).status_code == 200
        assert "requests are taken for 600 seconds more" in cloud.logged()
        cloud.process.send_signal(signal.SIGTERM)
        assert cloud.wait() == 0
    finally:
        cloud.__exit__()
        print(cloud.logged())


def test_it_ends_by_itself_when_its_time_for_requests_is_over(tmp_path: Path) -> None:
    config = tmp_path / "polyvisor.toml"
    config.write_text('[api]\ndrain_seconds = 1\n[metrics]\nlisten = "none"\n')
    with RunningCloud(tmp_path, "--config", str(config)) as cloud:
        assert cloud.stop() == 0
        assert "requests are taken for 1 seconds more" in cloud.logged()


def test_other_paths_and_methods_go_to_the_api() -> None:
    """A path that only begins so is the API's."""
    import asyncio

    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["path"])

    health = Health([], [])
    wrapped = with_health(app, health)

    async def ask(method: str, path: str) -> list[Any]:
        sent: list[Any] = []

        async def receive() -> Any:
            raise AssertionError("nothing is read")

        async def send(message: Any) -> None:
            sent.append(message)

        await wrapped({"type": "http", "method": method, "path": path}, receive, send)
        return sent

    assert asyncio.run(ask("GET", "/healthz"))[0]["status"] == 200
    assert asyncio.run(ask("HEAD", "/readyz"))[1]["body"] == b""
    for method, path in (("POST", "/healthz"), ("GET", "/healthz/"), ("GET", "/identity/v3")):
        asyncio.run(ask(method, path))
    assert seen == ["/healthz", "/healthz/", "/identity/v3"]


def test_many_who_ask_at_once_are_given_one_answer() -> None:
    import asyncio

    begun, let_go, asked = threading.Event(), threading.Event(), []

    def ask() -> str:
        asked.append(1)
        begun.set()
        let_go.wait(60)
        return "It answers."

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("the API is not asked")

    wrapped = with_health(app, Health([], [Check(name="slow", ask=ask)], patience_seconds=60))

    async def one() -> int:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            raise AssertionError("nothing is read")

        await wrapped({"type": "http", "method": "GET", "path": "/readyz"}, receive, send)
        return int(sent[0]["status"])

    async def many() -> list[int]:
        tasks = [asyncio.create_task(one()) for _ in range(50)]
        broken = asyncio.create_task(one())
        assert await asyncio.to_thread(begun.wait, 60)
        broken.cancel()
        let_go.set()
        return await asyncio.gather(*tasks)

    before = threading.active_count()
    assert asyncio.run(many()) == [200] * 50
    assert len(asked) == 1
    assert threading.active_count() <= before + 4


def test_a_port_that_is_taken_does_not_stop_the_usual_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes on one machine: `auto` takes a free port, a port that was named is refused in a sentence."""
    from polyvisor.model.errors import Invalid
    from polyvisor.observe.settings import MetricsSettings
    from polyvisor.serve import observation

    assert observation.USUAL == ("127.0.0.1", 9464)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        usual = taken.getsockname()
        monkeypatch.setattr(observation, "USUAL", usual)  # other tests may come and go at the real one
        found, host = observation._socket(MetricsSettings())
        assert found is not None
        assert host == "127.0.0.1"
        assert found.getsockname() != usual
        found.close()
        with pytest.raises(Invalid, match="Cannot listen on"):
            observation._socket(MetricsSettings(listen=f"{usual[0]}:{usual[1]}"))
