"""Users in the store: failures in a row, generations, what goes with a user."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from polyvisor.model.application_credential import ApplicationCredential
from polyvisor.model.assignment import Assignment, AssignmentFilter
from polyvisor.model.errors import Conflict
from polyvisor.model.user import User, UserFilter
from polyvisor.store.store import Store
from tests.store.identity import NOW, project, stored


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with stored(database_url) as store:
        yield store


def test_failures_are_counted_in_a_row_until_they_are_too_old(store: Store) -> None:
    window = timedelta(minutes=30)
    assert store.user.failures("ada") is None
    for expected in (1, 2, 3):
        moment = NOW + timedelta(minutes=expected)
        assert store.user.note_failure("ada", moment, moment - window) == expected
    found = store.user.failures("ada")
    assert found is not None
    assert (found.count, found.last_at) == (3, NOW + timedelta(minutes=3))
    later = NOW + timedelta(hours=2)
    assert store.user.note_failure("somebody else", later, later - window) == 1
    assert store.user.failures("ada") is None
    store.user.forget_failures("somebody else")
    assert store.user.failures("somebody else") is None


def test_a_new_password_and_being_disabled_begin_a_new_generation(store: Store) -> None:
    ada = store.user.get("ada")
    assert ada.generation == 0
    assert store.user.update(ada, {"description": "first"}).generation == 0
    changed = store.user.update(ada, {"password_hash": "x"})
    assert changed.generation == 1
    disabled = store.user.update(changed, {"enabled": False})
    assert disabled.generation == 2
    assert store.user.update(disabled, {"enabled": False}).generation == 2
    assert store.user.update(disabled, {"enabled": True}).generation == 2


def test_a_hash_is_renewed_only_for_the_password_that_was_checked(store: Store) -> None:
    store.user.update(store.user.get("ada"), {"password_hash": "old"})
    store.user.rehash("ada", "another", "new")
    assert store.user.get("ada").password_hash == "old"
    store.user.rehash("ada", "old", "new")
    renewed = store.user.get("ada")
    assert (renewed.password_hash, renewed.generation) == ("new", 1)


def test_a_name_is_taken_once_in_a_domain(store: Store) -> None:
    with pytest.raises(Conflict, match="Ada"):
        store.user.create(User(id="other", name="Ada", domain_id="bank"))
    store.user.create(User(id="other", name="ada", domain_id="bank"))
    assert [user.id for user in store.user.list(UserFilter(domain_id="bank"))] == ["ada", "other"]


def test_what_hangs_on_a_user_goes_with_it(store: Store) -> None:
    project(store, "p")
    store.group.join("traders", "ada")
    store.assignment.grant(Assignment(role_id="member", user_id="ada", project_id="p"))
    store.user.note_failure("ada", NOW, NOW)
    store.application_credential.create(
        ApplicationCredential(id="c", name="robot", user_id="ada", project_id="p", secret_hash="x",
                              role_ids=("member",), created_at=NOW)
    )  # fmt: skip
    store.user.remove("ada")
    assert store.user.find("ada") is None
    assert store.group.of_user("ada") == []
    assert store.assignment.list(AssignmentFilter()) == []
    assert store.application_credential.find("c") is None
    assert store.user.failures("ada") is None
