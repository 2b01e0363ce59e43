"""Who somebody is: the proofs that a request for a token brings, checked without telling what exists."""

import hashlib
from datetime import datetime, timedelta

import msgspec

from polyvisor.api.identity.login_body import CredentialProof, Identity, PasswordUser
from polyvisor.api.identity.passwords import Passwords
from polyvisor.api.identity.settings import IdentitySettings
from polyvisor.api.kit import Call
from polyvisor.api.kit.authenticate import Authenticator
from polyvisor.api.kit.call import UNIDENTIFIED
from polyvisor.model.application_credential import ApplicationCredential
from polyvisor.model.errors import Forbidden, Invalid, NotFound, Unauthorized
from polyvisor.model.record import Record
from polyvisor.model.token import Token
from polyvisor.model.user import LoginFailures, User
from polyvisor.store.store import Store


class Proven(Record):
    """Who has been proven, and how."""

    user: User
    methods: tuple[str, ...]
    earlier: Token | None = None
    """The token that was the proof: the new one ends with it and carries its chain on."""
    credential: ApplicationCredential | None = None


def prove(call: Call, identity: Identity) -> Proven:
    """Check every proof of the request; all must be of one user. Opens its own transactions.

    Raises Unauthorized with one sentence for every reason, so that nothing is learned from it.
    """
    proven: list[Proven] = []
    for method in identity.methods:
        if method == "password" and identity.password is not None:
            proven.append(_by_password(call, identity.password.user))
        elif method == "token" and identity.token is not None:
            proven.append(_by_token(call, identity.token.id))
        elif method == "application_credential" and identity.application_credential is not None:
            proven.append(_by_credential(call, identity.application_credential))
        elif method in ("password", "token", "application_credential"):
            raise Invalid(f"The field 'auth.identity.{method}' is required: the method {method} is named.")
        else:
            raise Unauthorized("Attempted to authenticate with an unsupported method.")
    if not proven or any(other.user.id != proven[0].user.id for other in proven):
        raise Unauthorized(UNIDENTIFIED)
    methods = tuple(dict.fromkeys(method for one in proven for method in one.methods))
    earlier = next((one.earlier for one in proven if one.earlier is not None), None)
    credential = next((one.credential for one in proven if one.credential is not None), None)
    return Proven(user=proven[0].user, methods=methods, earlier=earlier, credential=credential)


class _Account(Record):
    """Whose secret is checked."""

    key: str
    """What failures are counted by: the user's id, or a digest of the name where there is no such user."""
    user: User | None
    failures: LoginFailures | None


def _by_password(call: Call, asked: PasswordUser) -> Proven:
    with call.database.read() as store:
        account = _account(store, asked)
    check_password(call, account.key, account.user, account.failures, asked.password)
    if account.user is None:
        raise Unauthorized(UNIDENTIFIED)
    return Proven(user=account.user, methods=("password",))


def check_password(call: Call, account: str, user: User | None, failures: LoginFailures | None, password: str) -> None:
    """Raise Unauthorized unless the password opens the account. An unknown user costs as much as a known one."""
    settings, passwords = call.part(IdentitySettings), call.part(Passwords)
    if _locked(settings, failures, call.now):
        raise Unauthorized(UNIDENTIFIED)
    hashed = user.password_hash if user is not None else None
    if not passwords.check(account, hashed, password, call.now):
        if settings.lockout_failures:
            with call.database.write() as store:
                store.user.note_failure(account, call.now, call.now - timedelta(seconds=settings.lockout_seconds))
        raise Unauthorized(UNIDENTIFIED)
    if user is None or hashed is None:
        raise Unauthorized(UNIDENTIFIED)
    if failures is not None or passwords.outdated(hashed):
        newer = passwords.hash(password) if passwords.outdated(hashed) else None
        with call.database.write() as store:
            store.user.forget_failures(account)
            if newer is not None:
                store.user.rehash(user.id, hashed, newer)


def _account(store: Store, asked: PasswordUser) -> _Account:
    user, key = _find(store, asked)
    # Every account takes the same statements and one password check: one that is unknown, disabled, or good.
    home = store.domain.find(user.domain_id if user is not None else "")
    if user is not None and (not user.enabled or home is None or not home.enabled):
        user = msgspec.structs.replace(user, password_hash=None)
    return _Account(key=key, user=user, failures=store.user.failures(key))


def _find(store: Store, asked: PasswordUser) -> tuple[User | None, str]:
    if asked.id is not None:
        user = store.user.find(asked.id)
        return user, user.id if user is not None else _stand_in("id", asked.id)
    if asked.name is None or asked.domain is None:
        raise Invalid("The field 'auth.identity.password.user' names a user by its id, or by its name and domain.")
    domain_id = asked.domain.id
    if domain_id is None:
        home = store.domain.named(asked.domain.name or "")
        domain_id = home.id if home is not None else None
    user = store.user.named(domain_id or "", asked.name)
    return user, user.id if user is not None else _stand_in(domain_id or asked.domain.name or "", asked.name)


def _stand_in(*parts: str) -> str:
    """A key of fixed length for an account that does not exist."""
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=24).hexdigest()


def _locked(settings: IdentitySettings, failures: LoginFailures | None, now: datetime) -> bool:
    if failures is None or not settings.lockout_failures:
        return False
    lasting = failures.last_at + timedelta(seconds=settings.lockout_seconds) > now
    return lasting and failures.count >= settings.lockout_failures


def _by_token(call: Call, text: str) -> Proven:
    authenticator = call.part(Authenticator)
    try:
        authenticator.check_seal(text, call.now)
        with call.database.read() as store:
            caller = authenticator.caller(store, text, call.now)
            user = store.user.get(caller.user_id)
    except Unauthorized:
        # The token is what the request is about, as in GET: Keystone's clients expect the same answer.
        raise NotFound("Could not find token: it is not valid, or no longer.") from None
    if caller.token.application_credential_id is not None:
        raise Forbidden("A token of an application credential cannot be exchanged for another: use the credential.")
    return Proven(user=user, methods=("token", *caller.token.methods), earlier=caller.token)


def _by_credential(call: Call, asked: CredentialProof) -> Proven:
    with call.database.read() as store:
        credential = _credential(store, asked)
        user = store.user.find(credential.user_id if credential is not None else "")
        key = credential.id if credential is not None else _stand_in(asked.id or "", asked.name or "")
        failures = store.user.failures(key)
    settings, passwords = call.part(IdentitySettings), call.part(Passwords)
    if _locked(settings, failures, call.now):
        raise Unauthorized(UNIDENTIFIED)
    hashed = credential.secret_hash if credential is not None and user is not None else None
    if not passwords.check(key, hashed, asked.secret, call.now) or credential is None or user is None:
        if settings.lockout_failures:
            with call.database.write() as store:
                store.user.note_failure(key, call.now, call.now - timedelta(seconds=settings.lockout_seconds))
        raise Unauthorized(UNIDENTIFIED)
    if credential.expires_at is not None and credential.expires_at <= call.now:
        raise Unauthorized(UNIDENTIFIED)
    return Proven(user=user, methods=("application_credential",), credential=credential)


def _credential(store: Store, asked: CredentialProof) -> ApplicationCredential | None:
    if asked.id is not None:
        return store.application_credential.find(asked.id)
    if asked.name is None or asked.user is None:
        raise Invalid(
            "The field 'auth.identity.application_credential' names a credential by its id, or by its name and user."
        )
    user, _ = _find(store, PasswordUser(id=asked.user.id, name=asked.user.name, domain=asked.user.domain, password=""))
    return store.application_credential.named(user.id if user is not None else "", asked.name)
