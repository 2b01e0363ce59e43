"""The body of a request for a token."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

Text = Annotated[str, Meta(max_length=255)]
Secret = Annotated[str, Meta(max_length=4096)]


class DomainRef(msgspec.Struct, forbid_unknown_fields=True):
    """A domain by id or by name."""

    id: Text | None = None
    name: Text | None = None


class PasswordUser(msgspec.Struct, forbid_unknown_fields=True):
    """A user by id, or by name and domain, with its password."""

    password: Secret
    id: Text | None = None
    name: Text | None = None
    domain: DomainRef | None = None


class PasswordProof(msgspec.Struct, forbid_unknown_fields=True):
    """The method "password"."""

    user: PasswordUser


class TokenProof(msgspec.Struct, forbid_unknown_fields=True):
    """The method "token"."""

    id: Annotated[str, Meta(max_length=4096)]


class UserRef(msgspec.Struct, forbid_unknown_fields=True):
    """A user by id, or by name and domain."""

    id: Text | None = None
    name: Text | None = None
    domain: DomainRef | None = None


class CredentialProof(msgspec.Struct, forbid_unknown_fields=True):
    """The method "application_credential": the credential by id, or by name and user."""

    secret: Secret
    id: Text | None = None
    name: Text | None = None
    user: UserRef | None = None


class Identity(msgspec.Struct):
    """The proofs, by method. Those of methods that are not named are passed over."""

    methods: Annotated[list[str], Meta(max_length=8)]
    password: PasswordProof | None = None
    token: TokenProof | None = None
    application_credential: CredentialProof | None = None


class ProjectRef(msgspec.Struct, forbid_unknown_fields=True):
    """A project by id, or by name and domain."""

    id: Text | None = None
    name: Text | None = None
    domain: DomainRef | None = None


class Scope(msgspec.Struct, forbid_unknown_fields=True):
    """What the token is to be for: one of these."""

    project: ProjectRef | None = None
    domain: DomainRef | None = None
    system: dict[str, bool] | None = None
    unscoped: dict[str, Any] | None = None


class Auth(msgspec.Struct, forbid_unknown_fields=True):
    """Who asks, and for what scope; without a scope the user's default project, or none."""

    identity: Identity
    scope: Scope | str | None = None
