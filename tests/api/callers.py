"""Callers for tests: users with one role on one project, and real tokens for them, without a password's cost."""

import secrets
import uuid
from datetime import UTC, datetime, timedelta

from polyvisor.api.identity.bootstrap import DEFAULT_DOMAIN, IMPLIED
from polyvisor.api.identity.keys import ensure_keys
from polyvisor.api.kit.seal import Seal, audit_id
from polyvisor.model.assignment import Assignment
from polyvisor.model.domain import Domain
from polyvisor.model.project import Project
from polyvisor.model.role import Role
from polyvisor.model.token import Token
from polyvisor.model.user import User
from polyvisor.store.database import Database
from polyvisor.store.store import Store

ROLES = ("admin", "manager", "member", "reader")


class Callers:
    """Makes users, projects and tokens as they are asked for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seal = Seal(database)
        with database.write() as store:
            ensure_keys(store, datetime.now(UTC), ("first", "second"))
            store.domain.create(Domain(id=DEFAULT_DOMAIN, name="Default"))
            roles = {name: Role(id=_id("role", name), name=name) for name in ROLES}
            for role in roles.values():
                store.role.create(role)
            for prior, implied in IMPLIED:
                store.role.imply(roles[prior], roles[implied])

    def project_id(self, project: str) -> str:
        """The id of a project by name."""
        return _id("project", project)

    def user_id(self, project: str, role: str) -> str:
        """The id of the user that has a role on a project."""
        return _id("user", f"{project}-{role}")

    def token(self, project: str, role: str) -> str:
        """A token for the project, of a user with the role there."""
        user_id, project_id = self.user_id(project, role), self.project_id(project)
        with self._database.write() as store:
            if store.project.find(project_id) is None:
                store.project.create(Project(id=project_id, name=project, domain_id=DEFAULT_DOMAIN))
            if store.user.find(user_id) is None:
                store.user.create(User(id=user_id, name=f"{project}-{role}", domain_id=DEFAULT_DOMAIN))
            store.assignment.grant(Assignment(role_id=_id("role", role), user_id=user_id, project_id=project_id))
            return self.seal(store, user_id=user_id, project_id=project_id)

    def scoped(self, user_id: str, *, domain_id: str | None = None, system: bool = False) -> str:
        """A token of a user for a domain, for the system, or without a scope."""
        with self._database.read() as store:
            return self.seal(store, user_id=user_id, domain_id=domain_id, system=system)

    def seal(
        self,
        store: Store,
        *,
        user_id: str,
        project_id: str | None = None,
        domain_id: str | None = None,
        system: bool = False,
    ) -> str:
        """A token as the Identity service would seal it."""
        now = datetime.now(UTC)
        audit = audit_id(secrets.token_bytes(16))
        token = Token(
            user_id=user_id,
            user_generation=store.user.get(user_id).generation,
            methods=("password",),
            project_id=project_id,
            domain_id=domain_id,
            system=system,
            audit_id=audit,
            audit_chain=audit,
            issued_at=now,
            expires_at=now + timedelta(hours=1),
        )
        return self._seal.seal(store, token)


def _id(kind: str, name: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.{kind}").hex
