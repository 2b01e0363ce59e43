"""From a token's text to its caller: what was looked up is remembered until something of identity changes."""

import threading
from datetime import datetime

from polyvisor.api.kit.seal import Seal
from polyvisor.model.caller import Caller
from polyvisor.store.identity_changes import SUBJECT
from polyvisor.store.store import Store

_MEMORY = 10_000


class Authenticator:
    """Knows who a token stands for, now: one small statement per request, and revocation holds at once everywhere."""

    def __init__(self, seal: Seal) -> None:
        self.seal = seal
        self._lock = threading.Lock()
        self._counter = -1
        self._callers: dict[str, Caller] = {}

    def check_seal(self, text: str, now: datetime) -> None:
        """Raise Unauthorized for a token that we did not make or that has expired. Needs no open transaction."""
        self.seal.open(text, now)

    def caller(self, store: Store, text: str, now: datetime) -> Caller:
        """The caller, as the transaction sees it. To be asked before the transaction has changed anything.

        Raises Unauthorized.
        """
        counter = store.change.value(SUBJECT)
        with self._lock:
            known = self._callers.get(text) if counter == self._counter else None
        if known is not None and known.token.expires_at > now:
            return known
        caller = store.token.caller(self.seal.open_again(store, text, now))
        with self._lock:
            if counter > self._counter or len(self._callers) >= _MEMORY:
                self._counter = counter
                self._callers = {}
            if counter == self._counter:
                self._callers[text] = caller
        return caller
