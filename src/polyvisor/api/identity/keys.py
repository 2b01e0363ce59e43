"""The keys that seal tokens: made at the first start, rotated without a token being lost."""

from datetime import datetime, timedelta

from cryptography.fernet import Fernet

from polyvisor.model.token_key import TokenKey
from polyvisor.store.store import Store


def ensure_keys(store: Store, now: datetime, ids: tuple[str, str]) -> None:
    """Make a primary and a staged key where there are none. `ids`: two fresh ids."""
    if store.token_key.list():
        return
    store.token_key.add(_new(ids[0], now, primary_at=now))
    store.token_key.add(_new(ids[1], now))


def rotate(store: Store, now: datetime, new_id: str, token_lifetime: timedelta) -> list[TokenKey]:
    """Seal with the staged key from now on, and stage a new one; the keys after it.

    The key so far goes on opening what it has sealed. It is removed by a later rotation, once all of that has expired.
    """
    for key in store.token_key.list():
        if key.state == "primary":
            store.token_key.retire(key.id, now)
        elif key.state == "staged":
            store.token_key.set_primary(key.id, now)
        elif key.retired_at is not None and key.retired_at + token_lifetime < now:
            store.token_key.remove(key.id)
    store.token_key.add(_new(new_id, now))
    return store.token_key.list()


def replace_all(store: Store, now: datetime, ids: tuple[str, str]) -> list[TokenKey]:
    """Drop every key and make new ones: all tokens are void at once. For when somebody may have seen the keys."""
    for key in store.token_key.list():
        store.token_key.remove(key.id)
    ensure_keys(store, now, ids)
    return store.token_key.list()


def _new(key_id: str, now: datetime, primary_at: datetime | None = None) -> TokenKey:
    return TokenKey(id=key_id, secret=Fernet.generate_key().decode(), created_at=now, primary_at=primary_at)
