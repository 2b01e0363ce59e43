"""`polyvisor database`: upgrade, check and backup, on both databases."""

import contextlib
import os
import sqlite3
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from polyvisor.cli.main import cli
from polyvisor.model.errors import PolyvisorError
from polyvisor.serve.schema import bring_up_to_date, look
from polyvisor.store.database import Database
from polyvisor.store.migrations import NEWEST
from testbed.postgres import TestPostgres


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'polyvisor.db'}"
        return
    server: TestPostgres = request.getfixturevalue("postgres")
    with server.database() as made:
        yield made


def run(url: str, *words: str) -> Result:
    """The command, on that database."""
    return CliRunner().invoke(cli, ["database", "--database", url, *words])


def said(result: Result) -> str:
    """What it printed, or the sentence that it failed with."""
    error = result.exception
    return error.sentence if isinstance(error, PolyvisorError) else result.output


def made(url: str) -> Database:
    database = Database(url)
    bring_up_to_date(database)
    return database


def test_an_empty_database_is_upgraded_and_again_there_is_nothing_to_do(url: str) -> None:
    first = run(url, "upgrade")
    assert first.exit_code == 0, first.exception
    assert f"The schema is at {NEWEST}." in first.output
    assert "There was nothing to do." in run(url, "upgrade").output


def test_upgrades_that_are_asked_for_at_once_are_done_once(url: str) -> None:
    outcomes: list[str] = []
    line = threading.Barrier(3)

    def one() -> None:
        database = Database(url)
        line.wait(60)
        bring_up_to_date(database)
        outcomes.append(look(database).revision or "")
        database.close()

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert outcomes == [NEWEST] * 3


def test_a_sound_database_is_found_sound(url: str) -> None:
    made(url).close()
    found = run(url, "check")
    # The test server does without what guards against power cuts: that must be said of it.
    wrong = [line for line in found.output.splitlines() if "WRONG" in line]
    if url.startswith("sqlite"):
        assert (found.exit_code, wrong) == (0, [])
        assert "every page and every reference whole" in found.output
    else:
        assert found.exit_code == 1
        assert len(wrong) == 2
        assert "fsync is off" in found.output
        assert "full_page_writes is off" in found.output
        assert "connections: enough for" in found.output
    assert f"The schema is at {NEWEST}" in found.output
    assert "tables, their columns and indexes are as this version makes them" in found.output


def test_a_missing_step_a_missing_index_and_a_strange_table_are_named(url: str) -> None:
    database = made(url)
    with database.engine.begin() as connection:
        connection.execute(text("DROP INDEX ix_operation_due"))
        connection.execute(text("CREATE TABLE somebody (id INTEGER PRIMARY KEY)"))
    found = run(url, "check")
    assert found.exit_code == 1
    assert "lacks the index ix_operation_due" in found.output
    assert "has a table somebody that is not the program's" in found.output
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    database.close()
    assert "Step 0002 is missing" in run(url, "check").output


def test_a_reference_to_nothing_is_found(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'polyvisor.db'}"
    made(url).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "polyvisor.db")) as raw:
        raw.execute("INSERT INTO claim (server_id, host_id, vcpus, memory_mib, disk_gib) VALUES ('x', 77, 1, 1, 1)")
        raw.commit()
    found = run(url, "check")
    assert found.exit_code == 1
    assert "of the table claim refers to a row of host that is not there" in found.output


def test_a_standby_is_refused_and_told_so(tmp_path: Path) -> None:
    with TestPostgres() as primary:
        primary.create_database("cloud")
        made(primary.url("cloud")).close()
        standby = primary.standby()
        refused = run(standby.url("cloud"), "check")
        assert refused.exit_code == 1
        assert "does not answer" in said(refused)
        assert "primary" in said(refused)


def test_a_backup_under_load_is_one_state_and_can_be_restored(url: str, tmp_path: Path, postgres: TestPostgres) -> None:
    """Two counters always move together; a copy that was torn would show them apart."""
    database = made(url)
    ending = threading.Event()

    def write() -> None:
        while not ending.is_set():
            with database.write() as store:
                store.change.next("one")
                store.change.next("two")

    writer = threading.Thread(target=write)
    writer.start()
    file = tmp_path / "copy"
    try:
        for _ in range(3):
            done = run(url, "backup", str(file), "--force")
            assert done.exit_code == 0, done.exception
    finally:
        ending.set()
        writer.join()
        database.close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    with _restored(url, file, postgres) as restored:
        copy = Database(restored)
        with copy.read() as store:
            assert store.change.value("one") == store.change.value("two") > 0
        assert look(copy).revision == NEWEST
        copy.close()
        checked = run(restored, "check")
        assert "tables, their columns and indexes are as this version makes them" in checked.output


@contextlib.contextmanager
def _restored(url: str, file: Path, server: TestPostgres) -> Iterator[str]:
    if url.startswith("sqlite"):
        yield f"sqlite:///{file}"
        return
    with server.database() as target:
        subprocess.run(
            ["pg_restore", "--no-owner", "--exit-on-error", f"--dbname={target.replace('+psycopg', '')}", str(file)],
            check=True,
        )
        yield target


def test_a_backup_replaces_nothing_unasked(url: str, tmp_path: Path) -> None:
    made(url).close()
    file = tmp_path / "copy"
    file.write_text("precious")
    refused = run(url, "backup", str(file))
    assert "exists already" in said(refused)
    assert file.read_text() == "precious"
    assert "Nothing can be written" in said(run(url, "backup", str(tmp_path / "nowhere" / "copy")))


def test_without_pg_dump_a_sentence_says_what_to_install(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    refused = run(postgresql_url, "backup", str(tmp_path / "copy"))
    assert "postgresql-client" in said(refused)
    assert list(tmp_path.iterdir()) == []


def test_a_password_is_taken_from_a_file_or_the_environment_and_never_shown(
    postgres: TestPostgres, postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = postgresql_url.replace("polyvisor@", "polyvisor:a-secret@")
    refused = run(shown, "check")
    assert "can be read by everybody" in said(refused)
    assert "a-secret" not in said(refused)

    # pg_dump stands in for a program that tells what it was given.
    told = tmp_path / "told"
    program = tmp_path / "pg_dump"
    program.write_text(f'#!/bin/sh\necho "$@" > {told}\necho "password=$PGPASSWORD" >> {told}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "password").write_text("from-a-file\n")
    (tmp_path / "polyvisor.toml").write_text(
        f'database = "{postgresql_url}"\ndatabase_password_file = "{tmp_path / "password"}"\n'
    )
    words = ["database", "--config", str(tmp_path / "polyvisor.toml"), "backup", str(tmp_path / "copy")]
    for secret, environment in (("from-a-file", ""), ("a-secret", shown)):
        (tmp_path / "copy").unlink(missing_ok=True)
        if environment:
            (tmp_path / "polyvisor.toml").write_text("")
            monkeypatch.setenv("POLYVISOR_DATABASE", environment)
        done = CliRunner().invoke(cli, words)
        assert done.exit_code == 0, done.exception
        arguments, password = told.read_text().splitlines()
        assert password == f"password={secret}"
        assert secret not in arguments + done.output


def test_a_database_that_is_not_there_says_where_to_look(tmp_path: Path) -> None:
    refused = CliRunner().invoke(cli, ["database", "--data", str(tmp_path), "check"])
    assert "There is no database in" in said(refused)
    away = CliRunner().invoke(cli, ["database", "--database", "postgresql://nobody@127.0.0.1:1/x", "check"])
    assert "does not answer" in said(away)
    wrong = CliRunner().invoke(cli, ["database", "--database", "mysql://x/y", "check"])
    assert "use sqlite or postgresql" in said(wrong)
