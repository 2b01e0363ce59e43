"""Assignments in the store: exactly what was granted, and the roles that follow on a project."""

from collections.abc import Iterator

import pytest

from polyvisor.model.assignment import Assignment, AssignmentFilter
from polyvisor.model.errors import NotFound
from polyvisor.store.database import Database
from polyvisor.store.identity_changes import SUBJECT
from polyvisor.store.store import Store
from tests.store.identity import project, stored


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with stored(database_url) as store:
        project(store, "top")
        project(store, "low", "top")
        yield store


EVERY = [
    Assignment(role_id="member", user_id="ada", project_id="low"),
    Assignment(role_id="member", group_id="traders", project_id="low"),
    Assignment(role_id="member", user_id="ada", domain_id="bank"),
    Assignment(role_id="member", user_id="ada", domain_id="bank", inherited=True),
    Assignment(role_id="member", user_id="ada", project_id="top", inherited=True),
    Assignment(role_id="member", user_id="ada", system=True),
]


@pytest.mark.parametrize("granted", EVERY)
def test_an_assignment_is_exactly_what_was_granted(store: Store, granted: Assignment) -> None:
    store.assignment.grant(granted)
    store.assignment.grant(granted)
    assert store.assignment.list(AssignmentFilter()) == [granted]
    assert [other for other in EVERY if store.assignment.has(other)] == [granted]
    store.assignment.revoke(granted)
    with pytest.raises(NotFound):
        store.assignment.revoke(granted)


def on(store: Store, name: str) -> set[str]:
    above = tuple(record.id for record in store.project.above(name))
    return store.assignment.roles_on_project("ada", name, above, "bank")


def test_roles_on_a_project_are_direct_by_group_and_inherited(store: Store) -> None:
    store.assignment.grant(Assignment(role_id="member", user_id="ada", project_id="low"))
    assert (on(store, "low"), on(store, "top")) == ({"member"}, set())
    store.assignment.grant(Assignment(role_id="reader", group_id="traders", project_id="low"))
    assert on(store, "low") == {"member"}
    store.group.join("traders", "ada")
    assert on(store, "low") == {"member", "reader"}
    store.assignment.grant(Assignment(role_id="auditor", group_id="traders", project_id="top", inherited=True))
    assert (on(store, "low"), on(store, "top")) == ({"member", "reader", "auditor"}, set())
    store.assignment.grant(Assignment(role_id="auditor", user_id="ada", domain_id="bank", inherited=True))
    assert on(store, "top") == {"auditor"}
    assert store.assignment.roles_on_domain("ada", "bank") == set()


def test_a_filter_joins_actors_and_targets(store: Store) -> None:
    for granted in EVERY:
        store.assignment.grant(granted)
    mine = store.assignment.list(AssignmentFilter(user_id="ada", group_ids=("traders",), project_ids=("low",)))
    assert mine == [EVERY[1], EVERY[0]]
    assert store.assignment.list(AssignmentFilter(system=True)) == [EVERY[5]]
    assert store.assignment.list(AssignmentFilter(domain_ids=("bank",), inherited=True)) == [EVERY[3]]
    assert store.assignment.list(AssignmentFilter(user_id="ada", group_ids=())) == [
        one for one in store.assignment.list(AssignmentFilter()) if one.user_id == "ada"
    ]


def test_an_assignment_has_one_actor_and_one_target(store: Store) -> None:
    with pytest.raises(ValueError, match="one actor and one target"):
        store.assignment.grant(Assignment(role_id="member", user_id="ada"))
    with pytest.raises(ValueError, match="one actor and one target"):
        store.assignment.grant(Assignment(role_id="member", project_id="low"))


def test_every_change_moves_the_identity_counter(database_url: str) -> None:
    with stored(database_url) as store:
        project(store, "p")
        before = store.change.value(SUBJECT)
    assert before > 0
    database = Database(database_url)
    granted = Assignment(role_id="member", user_id="ada", project_id="p")
    for change in ("grant", "revoke"):
        with database.write() as store:
            getattr(store.assignment, change)(granted)
        with database.read() as store:
            after = store.change.value(SUBJECT)
        assert after == before + 1
        before = after
    database.close()
