"""Application credentials in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    String,
    Table,
    Text,
    UniqueConstraint,
    delete,
)

from polyvisor.model.application_credential import ApplicationCredential
from polyvisor.model.errors import Conflict, NotFound
from polyvisor.store.identity_changes import changed
from polyvisor.store.records import Records
from polyvisor.store.tables import Json, Moment, metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

credential = Table(
    "application_credential",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("user_id", String(64), ForeignKey("user.id"), nullable=False),
    Column("project_id", String(64), ForeignKey("project.id"), nullable=False, index=True),
    Column("secret_hash", String(255), nullable=False),
    Column("description", Text),
    Column("role_ids", Json(tuple[str, ...]), nullable=False),
    Column("expires_at", Moment),
    Column("unrestricted", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    UniqueConstraint("user_id", "name"),
)
_rows = Records(credential, ApplicationCredential)


class ApplicationCredentials:
    """The statements on application credentials."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def create(self, record: ApplicationCredential) -> None:
        """A new credential. Raises Conflict where the user has one of that name."""
        if self.named(record.user_id, record.name) is not None:
            raise Conflict(f"The user has an application credential with the name {record.name} already.")
        _rows.add(self._sql, record)

    def find(self, credential_id: str) -> ApplicationCredential | None:
        """A credential, or None."""
        return _rows.get(self._sql, credential_id)

    def get(self, user_id: str, credential_id: str) -> ApplicationCredential:
        """A user's credential. Raises NotFound."""
        record = self.find(credential_id)
        if record is None or record.user_id != user_id:
            raise NotFound(f"Could not find application credential: {credential_id}.")
        return record

    def named(self, user_id: str, name: str) -> ApplicationCredential | None:
        """A user's credential by name."""
        return _rows.first(self._sql, credential.c.user_id == user_id, credential.c.name == name)

    def list(
        self, user_id: str, *, name: str | None = None, limit: int | None = None, marker: str | None = None
    ) -> list[ApplicationCredential]:
        """A user's credentials, by name. One statement."""
        where: list[ColumnElement[bool]] = [credential.c.user_id == user_id]
        if name is not None:
            where.append(credential.c.name == name)
        return _rows.list(self._sql, where, [credential.c.name, credential.c.id], limit, marker)

    def remove(self, credential_id: str) -> None:
        """Remove a credential: its tokens are void with it."""
        _rows.delete(self._sql, credential_id)
        changed(self._store)

    def remove_of(self, *, user_id: str | None = None, project_id: str | None = None) -> None:
        """Remove all credentials of a user or a project that goes."""
        if user_id is not None:
            self._sql.execute(delete(credential).where(credential.c.user_id == user_id))
        if project_id is not None:
            self._sql.execute(delete(credential).where(credential.c.project_id == project_id))
        changed(self._store)
