"""Passwords and secrets: hashed with argon2id, and a short memory of those that were right."""

import hashlib
import secrets
import threading
from collections import OrderedDict
from datetime import datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from polyvisor.api.identity.settings import IdentitySettings

_MEMORY = 4096


class Passwords:
    """Hashes and checks. Checks take CPU and memory on purpose: they never run inside a transaction."""

    def __init__(self, settings: IdentitySettings) -> None:
        self._settings = settings
        self._hasher = PasswordHasher(
            time_cost=settings.argon2_passes,
            memory_cost=settings.argon2_memory_kib,
            parallelism=settings.argon2_lanes,
        )
        self._at_once = threading.BoundedSemaphore(settings.password_checks_at_once)
        self._lock = threading.Lock()
        # See docs/decisions/0002-password-check-cache.md.
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, datetime] = OrderedDict()
        self._nobody = self._hasher.hash(secrets.token_urlsafe(16))

    def hash(self, password: str) -> str:
        """argon2's encoded form of a password, with a fresh salt."""
        with self._at_once:
            return self._hasher.hash(password)

    def check(self, account: str, hashed: str | None, password: str, now: datetime) -> bool:
        """Whether the password is the one that was hashed. Without a hash it costs the same, and is wrong."""
        if hashed is None:
            self._verify(self._nobody, password)
            return False
        token = self._token(account, hashed, password)
        if self._remembered(token, now):
            return True
        if not self._verify(hashed, password):
            return False
        self._remember(token, now)
        return True

    def outdated(self, hashed: str) -> bool:
        """Whether the hash was made with other parameters than those of the settings."""
        return self._hasher.check_needs_rehash(hashed)

    def _verify(self, hashed: str, password: str) -> bool:
        with self._at_once:
            try:
                return self._hasher.verify(hashed, password)
            except (VerifyMismatchError, VerificationError, InvalidHashError):
                return False

    def _token(self, account: str, hashed: str, password: str) -> bytes:
        digest = hashlib.blake2b(key=self._key, digest_size=32)
        for part in (account, hashed, password):
            raw = part.encode("utf-8", "surrogatepass")
            digest.update(len(raw).to_bytes(8, "big"))
            digest.update(raw)
        return digest.digest()

    def _remembered(self, token: bytes, now: datetime) -> bool:
        with self._lock:
            until = self._right.get(token)
            if until is None:
                return False
            if until <= now:
                del self._right[token]
                return False
            return True

    def _remember(self, token: bytes, now: datetime) -> None:
        if self._settings.password_memory_seconds <= 0:
            return
        with self._lock:
            self._right[token] = now + timedelta(seconds=self._settings.password_memory_seconds)
            if len(self._right) > _MEMORY:
                self._right.popitem(last=False)
