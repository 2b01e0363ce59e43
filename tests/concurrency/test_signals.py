"""Wake-ups between processes: heard at once where both sides run, and not needed where they do not."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from polyvisor.store import postgresql
from polyvisor.store.database import Database
from polyvisor.store.notify import MOST_BYTES, payloads
from polyvisor.store.outage import is_outage
from polyvisor.store.postgresql import DEFAULT_LIMITS, Limits
from testbed.postgres import TestPostgres, many_hosts
from testbed.process import wait_for
from tests.concurrency.race import PATIENCE_SECONDS
from tests.databases import with_tables

ROOT = Path(__file__).parents[2]
HOURS = 3600.0

# Raises each subject that it reads a line of, once its own transaction is committed.
TELLS = """
import sys
from polyvisor.store.database import Database
database = Database(sys.argv[1])
database.connect_signals(listen=False)
print("ready", flush=True)
for line in sys.stdin:
    with database.write() as store:
        store.wake(line.strip())
database.close()
"""


def listening(url: str) -> Database:
    made = Database(url)
    made.connect_signals()
    assert made.notifier is not None
    assert made.notifier.listening.wait(PATIENCE_SECONDS)
    return made


def test_another_process_s_commit_wakes_who_would_have_waited_for_hours(postgresql_url: str) -> None:
    database = listening(postgresql_url)
    with subprocess.Popen(
        [sys.executable, "-c", TELLS, postgresql_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        for number in range(20):
            seen = database.signals.count("control")
            other.stdin.write("control\n")
            other.stdin.flush()
            assert database.signals.wait("control", seen, HOURS), f"the {number}th wake-up did not come"
            assert database.signals.count("control") == seen + 1
        other.stdin.close()
    database.close()


def test_a_process_that_ends_right_after_its_commit_has_told_of_it(postgresql_url: str) -> None:
    """As `polyvisor operations retry` does."""
    database = listening(postgresql_url)
    seen = database.signals.count("kvm")
    subprocess.run([sys.executable, "-c", TELLS, postgresql_url], input="kvm\n", text=True, check=True, cwd=ROOT)
    assert database.signals.wait("kvm", seen, PATIENCE_SECONDS)
    database.close()


def test_a_wake_up_of_one_s_own_is_heard_once(postgresql_url: str) -> None:
    """At the commit, and not again when the notification comes round."""
    one, two = listening(postgresql_url), listening(postgresql_url)
    counts = {database: database.signals.count("control") for database in (one, two)}
    with one.write() as store:
        store.wake("control")
    assert two.signals.wait("control", counts[two], PATIENCE_SECONDS)
    with two.write() as store:
        store.wake("the last")
    assert one.signals.wait("the last", 0, PATIENCE_SECONDS)
    assert one.signals.count("control") == counts[one] + 1
    assert two.signals.count("control") == counts[two] + 1
    one.close()
    two.close()


def test_nothing_is_told_of_what_was_undone(postgresql_url: str) -> None:
    one, two = listening(postgresql_url), listening(postgresql_url)
    with pytest.raises(ZeroDivisionError), one.write() as store:  # noqa: PT012
        store.wake("undone")
        raise ZeroDivisionError
    with one.write() as store:
        store.wake("done")
    assert two.signals.wait("done", 0, PATIENCE_SECONDS)
    assert two.signals.count("undone") == 0
    one.close()
    two.close()


def test_many_subjects_fit_into_few_notifications() -> None:
    subjects = [f"place-{number:05}" for number in range(2000)]
    parts = list(payloads("me", subjects))
    assert all(len(part.encode()) <= MOST_BYTES for part in parts)
    assert len(parts) == 4
    assert [subject for part in parts for subject in part.split("\n")[1:]] == subjects
    assert {part.split("\n")[0] for part in parts} == {"me"}


def test_after_the_primary_moved_the_next_request_works_and_wake_ups_are_heard_again() -> None:
    """Nobody restarts anything: the URL names both servers."""
    with TestPostgres() as primary:
        primary.create_database("cloud")
        with_tables(primary.url("cloud")).close()
        standby = primary.standby(synchronous=True)
        url = many_hosts([primary, standby], "cloud")
        one, two = listening(url), listening(url)
        with one.write() as store:
            kept = store.change.next("kept")
        assert kept == 1
        primary.kill()
        with pytest.raises(Exception) as refused, one.write() as store:
            store.change.next("kept")
        assert is_outage(refused.value)
        away = [one.outage.away]
        standby.promote()
        with one.write() as store:
            assert store.change.next("kept") == 2
        assert [*away, one.outage.away] == [True, False]

        def heard() -> bool:
            seen = two.signals.count("control")
            with one.write() as store:
                store.wake("control")
            return two.signals.wait("control", seen, 1.0)

        wait_for(heard, PATIENCE_SECONDS, lambda: "no wake-up is heard on the new primary")
        one.close()
        two.close()


def test_a_connection_that_lay_idle_while_the_server_was_restarted_is_not_used(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "IDLE_SECONDS", 0.0)  # what was used a moment ago is believed to be alive
    with TestPostgres() as server:
        server.create_database("cloud")
        database = with_tables(server.url("cloud"))
        for _ in range(2):
            with database.write() as store:
                store.change.next("x")
            server.stop()
            server.start()
        with database.write() as store:
            assert store.change.next("x") == 3
        assert not caplog.records
        database.close()


def test_an_outage_is_logged_when_it_begins_and_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    with TestPostgres() as server:
        server.create_database("cloud")
        database = with_tables(server.url("cloud"))

        def look() -> None:
            with database.read() as store:
                store.change.value("x")

        look()
        server.stop()
        for _ in range(5):
            with pytest.raises(Exception, match=r".") as refused:
                look()
            assert is_outage(refused.value)
        server.start()
        for _ in range(3):
            look()
        database.close()
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "a-secret" not in caplog.text


def test_a_stopped_process_holds_up_the_others_for_ten_seconds_at_most(postgresql_url: str) -> None:
    """Its transaction is ended by the server; when it goes on, it learns that nothing of it has become true."""
    assert DEFAULT_LIMITS.idle_seconds == 10
    stopped, other = Database(postgresql_url, Limits(idle_seconds=2.0)), Database(postgresql_url)
    went_on = threading.Event()
    began = time.monotonic()

    def hang() -> None:
        with pytest.raises(Exception) as refused, stopped.write() as store:  # noqa: PT012
            store.change.next("row")
            held.set()
            went_on.wait(PATIENCE_SECONDS)
            store.change.next("another")
        assert is_outage(refused.value)

    held = threading.Event()
    thread = threading.Thread(target=hang)
    thread.start()
    assert held.wait(PATIENCE_SECONDS)
    while True:
        try:
            with other.write() as store:
                number = store.change.next("row")
            break
        except Exception as error:  # noqa: BLE001 - a row that stays locked is refused after eight seconds
            assert type(error).__name__ == "OperationalError"  # noqa: PT017
            assert time.monotonic() - began < PATIENCE_SECONDS
    went_on.set()
    thread.join()
    assert number == 1
    stopped.close()
    other.close()


def test_a_server_that_falls_silent_is_given_up() -> None:
    """Its sockets stay open and its machine answers: only the clock tells."""
    with TestPostgres() as server:
        server.create_database("cloud")
        database = Database(server.url("cloud"), Limits(silence_seconds=1.0))
        with pytest.raises(Exception, match="has said nothing for 1 seconds") as refused, database.write() as store:  # noqa: PT012
            store.connection.exec_driver_sql("SELECT 1")
            server.freeze()
            store.connection.exec_driver_sql("SELECT 1")
        assert is_outage(refused.value)
        server.thaw()

        def answers() -> bool:
            try:
                with database.write() as store:
                    return store.connection.exec_driver_sql("SELECT 1").scalar() == 1
            except OperationalError:  # a second is little for it on a slow machine
                return False

        wait_for(answers, PATIENCE_SECONDS, lambda: "it is not used again")
        database.close()


def test_a_look_sees_one_state_and_can_change_nothing(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    with database.read() as before:
        assert before.change.value("x") == 0
        with database.write() as store:
            store.change.next("x")
        assert before.change.value("x") == 0
    with pytest.raises(Exception, match="read-only transaction"), database.read() as store:
        store.change.next("x")
    with database.read() as store:
        assert store.change.value("x") == 1
    database.close()


def test_an_error_names_no_value_of_its_statement(postgresql_url: str) -> None:
    """What is logged of it may have been a password."""
    database = Database(postgresql_url)
    with pytest.raises(Exception) as refused, database.write() as store:
        store.change.next("s" * 100)
    assert "ssss" not in str(refused.value)
    database.close()
