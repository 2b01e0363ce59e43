"""Tokens sealed with Fernet: small, opaque to clients, opened without a look into the database."""

import re
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from polyvisor.model.errors import Unauthorized, Unavailable
from polyvisor.model.token import Token
from polyvisor.model.token_key import TokenKey
from polyvisor.store.database import Database
from polyvisor.store.identity_changes import SUBJECT
from polyvisor.store.store import Store
from polyvisor.store.token import VOID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MEMORY = 10_000
_LONGEST = 1024
_HEX = re.compile("[0-9a-f]{32}")
Id = bytes
"""An id in a token: "#" and the 16 bytes of a UUID in hexadecimal, or "=" and the text of any other."""


class _Packed(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    user: Id
    generation: int
    project: Id | None
    domain: Id | None
    system: bool
    credential: Id | None
    methods: tuple[str, ...]
    audit: bytes
    chain: bytes
    issued_us: int
    lifetime_us: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Packed).decode


class _Ring:
    """The keys as they were at one count of identity's changes, and what was opened with them."""

    def __init__(self, counter: int, keys: Sequence[TokenKey]) -> None:
        self.counter = counter
        self.keys = keys
        self.opened: dict[str, Token] = {}
        usable = bool(keys) and keys[0].state == "primary"
        self.fernet = MultiFernet([Fernet(key.secret) for key in keys]) if usable else None

    def open(self, text: str) -> Token | None:
        """The token in a text that one of the keys has sealed."""
        token = self.opened.get(text)
        if token is None and self.fernet is not None and len(text) <= _LONGEST:
            token = _unsealed(self.fernet, text)
            if token is not None:
                if len(self.opened) >= _MEMORY:
                    self.opened.clear()
                self.opened[text] = token
        return token


class Seal:
    """Seals tokens with the primary key, and opens those of every key that is kept."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        # Replaced as a whole: who holds a ring has keys and memory that belong together.
        self._ring = _Ring(-1, ())

    def seal(self, store: Store, token: Token) -> str:
        """The token as text for its holder."""
        fernet = self._newest(store).fernet
        if fernet is None:
            raise Unavailable(
                "There is no key to seal tokens with: start `polyvisor up` or `serve` once; it makes one."
            )
        return fernet.encrypt(_encode(_pack(token))).decode().rstrip("=")

    def open(self, text: str, now: datetime) -> Token:
        """The token in a text that we sealed. Raises Unauthorized for others, and for expired ones."""
        token = self._ring.open(text)
        if token is None:
            # Perhaps there are newer keys, from this process or from another.
            with self._database.read() as store:
                token = self._newest(store).open(text)
        return _valid(token, now)

    def open_again(self, store: Store, text: str, now: datetime) -> Token:
        """As `open`, with the keys that the transaction sees: a token whose key is gone is void."""
        return _valid(self._newest(store).open(text), now)

    def _newest(self, store: Store) -> _Ring:
        counter = store.change.value(SUBJECT)
        with self._lock:
            ring = self._ring
            if counter > ring.counter:
                keys = store.token_key.list()
                if keys == ring.keys:
                    ring.counter = counter
                else:
                    ring = self._ring = _Ring(counter, keys)
            return ring


def _valid(token: Token | None, now: datetime) -> Token:
    if token is None or token.expires_at <= now:
        raise Unauthorized(VOID)
    return token


def _unsealed(fernet: MultiFernet, text: str) -> Token | None:
    try:
        sealed = text.encode("ascii") + b"=" * (-len(text) % 4)
        # Base64 has several texts for the same bytes; a token has one.
        if urlsafe_b64encode(urlsafe_b64decode(sealed)).rstrip(b"=") != text.encode("ascii"):
            return None
        return _unpack(_decode(fernet.decrypt(sealed)))
    except (InvalidToken, ValueError, msgspec.DecodeError):
        return None


def _pack(token: Token) -> _Packed:
    return _Packed(
        user=_short(token.user_id),
        generation=token.user_generation,
        project=None if token.project_id is None else _short(token.project_id),
        domain=None if token.domain_id is None else _short(token.domain_id),
        system=token.system,
        credential=None if token.application_credential_id is None else _short(token.application_credential_id),
        methods=token.methods,
        audit=_audit(token.audit_id),
        chain=_audit(token.audit_chain),
        issued_us=(token.issued_at - _EPOCH) // _MICROSECOND,
        lifetime_us=(token.expires_at - token.issued_at) // _MICROSECOND,
    )


def _unpack(packed: _Packed) -> Token:
    issued_at = _EPOCH + packed.issued_us * _MICROSECOND
    return Token(
        user_id=_long(packed.user),
        user_generation=packed.generation,
        methods=packed.methods,
        project_id=None if packed.project is None else _long(packed.project),
        domain_id=None if packed.domain is None else _long(packed.domain),
        system=packed.system,
        application_credential_id=None if packed.credential is None else _long(packed.credential),
        audit_id=audit_id(packed.audit),
        audit_chain=audit_id(packed.chain),
        issued_at=issued_at,
        expires_at=issued_at + packed.lifetime_us * _MICROSECOND,
    )


def _short(text: str) -> Id:
    raw = bytes.fromhex(text) if _HEX.fullmatch(text) else None
    return b"=" + text.encode() if raw is None else b"#" + raw


def _long(packed: Id) -> str:
    return packed[1:].hex() if packed[:1] == b"#" else packed[1:].decode()


def audit_id(raw: bytes) -> str:
    """An audit id of 16 random bytes, as Keystone writes them: URL-safe base64 without its padding."""
    return urlsafe_b64encode(raw).decode().rstrip("=")


def _audit(text: str) -> bytes:
    return urlsafe_b64decode(text + "==")
