"""The seal, asked by many threads at once, and across two processes' worth of it."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from polyvisor.api.identity.keys import ensure_keys, replace_all, rotate
from polyvisor.api.kit.seal import Seal, audit_id
from polyvisor.model.errors import Unauthorized, Unavailable
from polyvisor.model.token import Token
from polyvisor.store.database import Database
from polyvisor.store.tables import metadata

NOW = datetime(2026, 11, 21, 4, 5, 6, 789, UTC)
AUDIT = audit_id(bytes(range(16)))
TOKEN = Token(
    user_id="0123456789abcdef0123456789abcdef",
    user_generation=3,
    methods=("password", "token"),
    project_id="default-looking id",
    audit_id=AUDIT,
    audit_chain=audit_id(bytes(16)),
    issued_at=NOW,
    expires_at=NOW + timedelta(hours=1),
)
THREADS = 8


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'keys.db'}")
    metadata.create_all(database.engine)
    with database.write() as store:
        ensure_keys(store, NOW, ("first", "second"))
    yield database
    database.close()


def sealed(database: Database, token: Token = TOKEN) -> str:
    with database.read() as store:
        return Seal(database).seal(store, token)


@pytest.mark.parametrize(
    "scope",
    [
        {"project_id": None},
        {"project_id": "f" * 32},
        {"project_id": "F" * 32},
        {"project_id": None, "domain_id": "default"},
        {"project_id": None, "system": True},
        {"application_credential_id": "a" * 32},
        {"user_id": "ünï"},
    ],
)
def test_what_is_sealed_is_opened_as_it_was(database: Database, scope: dict[str, object]) -> None:
    token = msgspec.structs.replace(TOKEN, **scope)
    assert Seal(database).open(sealed(database, token), NOW) == token


def test_threads_that_come_first_together_all_get_in(database: Database) -> None:
    text = sealed(database)
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(20):
            seal, together = Seal(database), threading.Barrier(THREADS)

            def first(seal: Seal = seal, together: threading.Barrier = together) -> Token:
                together.wait(30)
                return seal.open(text, NOW)

            assert [each.result() for each in [pool.submit(first) for _ in range(THREADS)]] == [TOKEN] * THREADS


def test_a_process_that_did_not_rotate_opens_what_another_seals(database: Database) -> None:
    here, text = Seal(database), sealed(database)
    assert here.open(text, NOW) == TOKEN
    for number in range(3):
        with database.write() as store:
            rotate(store, NOW, f"new-{number}", timedelta(hours=1))
        assert here.open(sealed(database), NOW) == TOKEN
        assert here.open(text, NOW) == TOKEN


def test_a_process_that_did_not_drop_the_keys_opens_nothing_of_before(database: Database) -> None:
    here, text = Seal(database), sealed(database)
    assert here.open(text, NOW) == TOKEN
    with database.write() as store:
        replace_all(store, NOW, ("third", "fourth"))
    with database.read() as store, pytest.raises(Unauthorized):
        here.open_again(store, text, NOW)
    with pytest.raises(Unauthorized):
        here.open(text, NOW)
    assert here.open(sealed(database), NOW) == TOKEN


def test_an_expired_token_is_void(database: Database) -> None:
    seal, text = Seal(database), sealed(database)
    assert seal.open(text, TOKEN.expires_at - timedelta(microseconds=1)) == TOKEN
    with pytest.raises(Unauthorized):
        seal.open(text, TOKEN.expires_at)


def test_without_a_key_nothing_is_sealed(tmp_path: Path) -> None:
    empty = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    metadata.create_all(empty.engine)
    with empty.read() as store, pytest.raises(Unavailable, match="polyvisor up"):
        Seal(empty).seal(store, TOKEN)
    with pytest.raises(Unauthorized):
        Seal(empty).open("gAAAA", NOW)
    empty.close()
