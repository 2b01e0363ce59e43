"""Passwords: lock-out, no telling of users, the memory of right ones, and hashes that follow the settings."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from polyvisor.api.identity.passwords import Passwords
from polyvisor.api.identity.service import service
from tests.api.cloud import ApiCloud
from tests.api.identity.conftest import CHEAP, Clock
from tests.api.identity.person import Person

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def test_an_account_is_locked_after_failures_in_a_row_and_opens_again(ada: Person, clock: Clock) -> None:
    for _ in range(3):
        assert ada.ask(password="wrong").status == 401
    assert ada.ask().status == 401
    clock.ahead = timedelta(seconds=601)
    assert ada.ask().status == 201


def test_a_good_login_ends_the_row_of_failures(ada: Person) -> None:
    for _ in range(3):
        assert ada.ask(password="wrong").status == 401
        break
    assert ada.ask(password="wrong").status == 401
    assert ada.ask().status == 201
    assert ada.ask(password="wrong").status == 401
    assert ada.ask(password="wrong").status == 401
    assert ada.ask().status == 201


def test_an_administrator_unlocks_with_a_new_password(cloud: ApiCloud, ada: Person) -> None:
    for _ in range(3):
        ada.ask(password="wrong")
    cloud.admin.patch(f"/identity/v3/users/{ada.id}", {"user": {"password": "new one"}})
    assert ada.ask(password="new one").status == 201


def test_unknown_users_are_answered_and_locked_as_known_ones(cloud: ApiCloud, ada: Person) -> None:
    nobody = Person(cloud, "nobody", "x", role=None)
    cloud.admin.delete(f"/identity/v3/users/{nobody.id}")
    for _ in range(4):
        known, unknown = ada.ask(password="wrong"), nobody.ask(password="wrong")
        assert (known.status, known.body) == (unknown.status, unknown.body)
        assert known.statements == unknown.statements


def test_an_unknown_user_costs_a_password_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = msgspec.structs.replace(CHEAP, argon2_memory_kib=1024)
    passwords = Passwords(settings)
    checked: list[str] = []
    verify = passwords._verify

    def counted(hashed: str, password: str) -> bool:
        checked.append(hashed)
        return verify(hashed, password)

    monkeypatch.setattr(passwords, "_verify", counted)
    with ApiCloud(tmp_path, [service], [passwords, settings]) as cloud:
        body = {"user": {"name": "nobody", "domain": {"id": "default"}, "password": "x"}}
        auth = {"identity": {"methods": ["password"], "password": body}}
        assert cloud.anyone.post("/identity/v3/auth/tokens", {"auth": auth}).status == 401
    assert len(checked) == 1
    assert "m=1024" in checked[0]


def test_a_right_password_is_remembered_for_a_while_and_a_wrong_one_never() -> None:
    passwords = Passwords(CHEAP)
    hashed = passwords.hash("secret")
    calls = _counting(passwords)
    for _ in range(3):
        assert passwords.check("ada", hashed, "secret", NOW)
    assert len(calls) == 1
    for _ in range(2):
        assert not passwords.check("ada", hashed, "wrong", NOW)
    assert len(calls) == 3
    assert passwords.check("ada", hashed, "secret", NOW + timedelta(seconds=301))
    assert len(calls) == 4


def test_what_is_remembered_is_bound_to_account_and_hash() -> None:
    passwords = Passwords(CHEAP)
    hashed = passwords.hash("secret")
    assert passwords.check("ada", hashed, "secret", NOW)
    calls = _counting(passwords)
    assert passwords.check("bob", hashed, "secret", NOW)
    assert not passwords.check("ada", passwords.hash("another"), "secret", NOW)
    assert len(calls) == 2


def test_the_memory_can_be_turned_off() -> None:
    passwords = Passwords(msgspec.structs.replace(CHEAP, password_memory_seconds=0))
    hashed = passwords.hash("secret")
    calls = _counting(passwords)
    assert passwords.check("ada", hashed, "secret", NOW)
    assert passwords.check("ada", hashed, "secret", NOW)
    assert len(calls) == 2


def test_a_hash_made_with_other_settings_is_renewed_at_the_next_login(cloud: ApiCloud, ada: Person) -> None:
    older = Passwords(msgspec.structs.replace(CHEAP, argon2_memory_kib=32)).hash(ada.password)
    with cloud.database.write() as store:
        store.user.update(store.user.get(ada.id), {"password_hash": older})
    assert ada.ask().status == 201
    with cloud.database.read() as store:
        renewed = store.user.get(ada.id).password_hash
    assert renewed is not None
    assert "m=64" in renewed
    assert ada.ask().status == 201


def test_a_user_without_a_password_cannot_log_in(cloud: ApiCloud) -> None:
    made = cloud.admin.post("/identity/v3/users", {"user": {"name": "robot"}}).body["user"]
    body = {"user": {"id": made["id"], "password": ""}}
    auth = {"identity": {"methods": ["password"], "password": body}}
    assert cloud.anyone.post("/identity/v3/auth/tokens", {"auth": auth}).status == 401


def test_a_remembered_login_is_far_cheaper_than_a_check() -> None:
    passwords = Passwords(msgspec.structs.replace(CHEAP, argon2_memory_kib=19_456, argon2_passes=2))
    hashed = passwords.hash("secret")
    assert passwords.check("ada", hashed, "secret", NOW)
    started = time.process_time()
    for _ in range(100):
        assert passwords.check("ada", hashed, "secret", NOW)
    remembered = (time.process_time() - started) / 100
    started = time.process_time()
    assert not passwords.check("ada", hashed, "wrong", NOW)
    assert remembered * 10 < time.process_time() - started


def _counting(passwords: Passwords) -> list[str]:
    calls: list[str] = []
    verify = passwords._verify

    def counted(hashed: str, password: str) -> bool:
        calls.append(password)
        return verify(hashed, password)

    passwords._verify = counted  # type: ignore[method-assign]
    return calls
