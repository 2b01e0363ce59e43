"""Records of identity, for the tests of its nouns."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from polyvisor.model.domain import Domain
from polyvisor.model.group import Group
from polyvisor.model.project import Project
from polyvisor.model.role import Role
from polyvisor.model.user import User
from polyvisor.store.store import Store
from tests.databases import with_tables

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@contextmanager
def stored(url: str) -> Iterator[Store]:
    """A transaction on a database with the domain "bank", the user "ada", the group "traders" and three roles."""
    database = with_tables(url)
    try:
        with database.write() as store:
            store.domain.create(Domain(id="bank", name="Bank"))
            store.user.create(User(id="ada", name="Ada", domain_id="bank"))
            store.group.create(Group(id="traders", name="Traders", domain_id="bank"))
            for name in ("member", "reader", "auditor"):
                store.role.create(Role(id=name, name=name))
            yield store
    finally:
        database.close()


def project(store: Store, name: str, parent: str | None = None, tags: tuple[str, ...] = ()) -> str:
    """A project in the domain "bank"; returns its id, which is its name."""
    store.project.create(Project(id=name, name=name, domain_id="bank", parent_id=parent, tags=tags))
    return name
