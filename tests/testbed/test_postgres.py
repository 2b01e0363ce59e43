"""The test bed's PostgreSQL servers: private, gone without a trace, and followed by standbys that lose nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from testbed.postgres import PREFIX, TestPostgres
from testbed.process import alive, wait_for

PATIENCE_SECONDS = 180

OWNER = """
import time
from testbed.postgres import TestPostgres
with TestPostgres() as server:
    print(server.directory, *server.processes(), flush=True)
    time.sleep(1000)
"""


@pytest.fixture
def server() -> Iterator[TestPostgres]:
    with TestPostgres() as made:
        yield made


def table(server: TestPostgres, name: str) -> None:
    server.create_database(name)
    server.ask("CREATE TABLE kept (number integer)", name)


def test_what_was_committed_outlives_a_kill_and_a_stop(server: TestPostgres) -> None:
    table(server, "x")
    for number, end in enumerate((server.kill, server.stop)):
        server.ask(f"INSERT INTO kept VALUES ({number})", "x")
        end()
        assert server.processes() == []
        with pytest.raises(psycopg.OperationalError):
            server.connect()
        server.start()
    assert server.ask("SELECT number FROM kept ORDER BY number", "x") == [(0,), (1,)]


def test_a_database_is_gone_after_its_block_whoever_is_connected(server: TestPostgres) -> None:
    with server.database() as url:
        connection = server.connect(url.rpartition("/")[2])
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()
    assert server.ask("SELECT count(*) FROM pg_database WHERE datname LIKE 't%' AND NOT datistemplate") == [(0,)]


def test_a_frozen_server_answers_once_it_is_thawed(server: TestPostgres) -> None:
    table(server, "x")
    server.freeze()
    question = subprocess.Popen(
        [sys.executable, "-c", (f"import psycopg; psycopg.connect(host={str(server.directory)!r}, port={server.port}, "
         "user='polyvisor', dbname='x').execute('SELECT 1')")]
    )  # fmt: skip
    with pytest.raises(subprocess.TimeoutExpired):
        question.wait(2)
    server.thaw()
    assert question.wait(PATIENCE_SECONDS) == 0


def test_a_promoted_standby_has_every_commit_that_was_answered(server: TestPostgres) -> None:
    table(server, "x")
    standby = server.standby(synchronous=True)
    for number in range(20):
        server.ask(f"INSERT INTO kept VALUES ({number})", "x")
    server.kill()
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        standby.ask("INSERT INTO kept VALUES (100)", "x")
    standby.promote()
    standby.ask("INSERT INTO kept VALUES (100)", "x")
    assert standby.ask("SELECT count(*) FROM kept", "x") == [(21,)]


def test_nothing_is_left_of_a_server_whose_owner_was_killed() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    directory, *processes = owner.stdout.readline().split()
    assert Path(directory).name.startswith(PREFIX)
    assert len(processes) > 1
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    wait_for(
        lambda: not Path(directory).exists() and not any(alive(int(pid)) for pid in processes),
        PATIENCE_SECONDS,
        lambda: f"{directory} is still there, or one of {processes}",
    )
