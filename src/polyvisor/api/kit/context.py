"""What all requests share: the database, the settings, the policy, and the parts that `serve` has wired."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from polyvisor.api.kit.authenticate import Authenticator
from polyvisor.api.kit.policy import Policy
from polyvisor.api.kit.settings import ApiSettings
from polyvisor.api.kit.trace import Tracing
from polyvisor.store.database import Database

Part = TypeVar("Part")
Clock = Callable[[], datetime]


class Context:
    """Made once, when the application is built."""

    def __init__(
        self,
        database: Database,
        settings: ApiSettings,
        policy: Policy,
        parts: Sequence[object],
        authenticator: Authenticator,
        clock: Clock,
        tracing: Tracing | None = None,
    ) -> None:
        self.database = database
        self.settings = settings
        self.policy = policy
        self.authenticator = authenticator
        self.tracing = tracing
        """Who records traces; None where nobody does."""
        self.clock = clock
        """The time, aware, in UTC."""
        self._parts: dict[type, object] = {}
        for part in parts:
            for kind in type(part).__mro__[:-1]:
                self._parts.setdefault(kind, part)

    def part(self, kind: type[Part]) -> Part:
        """The part that is of this class, or of a class below it."""
        found = self._parts.get(kind)
        if not isinstance(found, kind):
            raise LookupError(f"No part of type {kind.__name__} was wired into the API.")
        return found
