"""Users in the store, their groups, and their failed logins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    delete,
    select,
    update,
)

from polyvisor.model.errors import Conflict, NotFound
from polyvisor.model.user import LoginFailures, User, UserFilter
from polyvisor.store.group import group_member
from polyvisor.store.identity_changes import changed
from polyvisor.store.locking import one_at_a_time
from polyvisor.store.records import Records
from polyvisor.store.tables import Json, Moment, metadata
from polyvisor.store.upsert import insert_missing

if TYPE_CHECKING:
    from polyvisor.store.store import Store

user = Table(
    "user",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("domain_id", String(64), ForeignKey("domain.id"), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("description", Text),
    Column("email", String(255)),
    Column("default_project_id", String(64)),
    Column("password_hash", String(255)),
    Column("generation", Integer, nullable=False),
    Column("extra", Json(dict[str, Any]), nullable=False),
    UniqueConstraint("domain_id", "name"),
)
login_failure = Table(
    "login_failure",
    metadata,
    Column("account", String(64), primary_key=True),
    Column("count", Integer, nullable=False),
    Column("last_at", Moment, nullable=False, index=True),
)
_rows = Records(user, User)
_failures = select(login_failure.c.count, login_failure.c.last_at).where(login_failure.c.account == bindparam("of"))


class Users:
    """The statements on users."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def create(self, record: User) -> None:
        """A new user. Raises Conflict where the name is taken in its domain."""
        self._check_name(record.domain_id, record.name)
        _rows.add(self._sql, record)
        changed(self._store)

    def find(self, user_id: str) -> User | None:
        """A user, or None."""
        return _rows.get(self._sql, user_id)

    def get(self, user_id: str) -> User:
        """A user. Raises NotFound."""
        record = self.find(user_id)
        if record is None:
            raise NotFound(f"Could not find user: {user_id}.")
        return record

    def named(self, domain_id: str, name: str) -> User | None:
        """A user by domain and name."""
        return _rows.first(self._sql, user.c.domain_id == domain_id, user.c.name == name)

    def list(self, by: UserFilter, *, limit: int | None = None, marker: str | None = None) -> list[User]:
        """Users, by name. One statement."""
        where: list[ColumnElement[bool]] = []
        if by.ids is not None:
            where.append(user.c.id.in_(by.ids))
        if by.domain_id is not None:
            where.append(user.c.domain_id == by.domain_id)
        if by.group_id is not None:
            members = select(group_member.c.user_id).where(group_member.c.group_id == by.group_id)
            where.append(user.c.id.in_(members))
        if by.name is not None:
            where.append(user.c.name == by.name)
        if by.enabled is not None:
            where.append(user.c.enabled == by.enabled)
        return _rows.list(self._sql, where, [user.c.name, user.c.id], limit, marker)

    def update(self, record: User, changes: dict[str, Any]) -> User:
        """The user with other fields; a new password or being disabled voids the user's tokens. Raises Conflict."""
        if "name" in changes and changes["name"] != record.name:
            self._check_name(record.domain_id, changes["name"])
        if "password_hash" in changes or (changes.get("enabled") is False and record.enabled):
            changes = {**changes, "generation": record.generation + 1}
        _rows.update(self._sql, record.id, changes)
        changed(self._store)
        return self.get(record.id)

    def rehash(self, user_id: str, old: str, new: str) -> None:
        """Replace the hash of the same password, unless the password has changed meanwhile."""
        same = (user.c.id == user_id) & (user.c.password_hash == old)
        self._sql.execute(update(user).where(same).values(password_hash=new))

    def remove(self, user_id: str) -> None:
        """Remove a user and what hangs on it."""
        self._store.assignment.remove_of(user_id=user_id)
        self._store.application_credential.remove_of(user_id=user_id)
        self._sql.execute(delete(group_member).where(group_member.c.user_id == user_id))
        self.forget_failures(user_id)
        _rows.delete(self._sql, user_id)
        changed(self._store)

    def of_domain(self, domain_id: str) -> Sequence[str]:
        """The ids of a domain's users."""
        return self._sql.execute(select(user.c.id).where(user.c.domain_id == domain_id)).scalars().all()

    def failures(self, account: str) -> LoginFailures | None:
        """Failed logins since the last good one; None = none. `account`: a user's id, or what stands for one."""
        row = self._sql.execute(_failures, {"of": account}).first()
        return None if row is None else LoginFailures(count=row[0], last_at=row[1])

    def note_failure(self, account: str, now: datetime, since: datetime) -> int:
        """Count a failed login, and forget all those before `since`; the failures in a row, this one included."""
        # Two that forget the same rows in another order each must not wait for each other.
        one_at_a_time(self._sql, "login_failure")
        self._sql.execute(delete(login_failure).where(login_failure.c.last_at < since))
        insert_missing(self._sql, login_failure, [{"account": account, "count": 0, "last_at": now}])
        again = update(login_failure).where(login_failure.c.account == account)
        again = again.values(count=login_failure.c.count + 1, last_at=now)
        return int(self._sql.execute(again.returning(login_failure.c.count)).scalar_one())

    def forget_failures(self, account: str) -> None:
        """A good login: the row of failures ends."""
        self._sql.execute(delete(login_failure).where(login_failure.c.account == account))

    def _check_name(self, domain_id: str, name: str) -> None:
        if self.named(domain_id, name) is not None:
            raise Conflict(f"A user with the name {name} exists already in this domain.")
