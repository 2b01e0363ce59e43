"""The server's side of agents' calls: the product's gate, and the wait that its HTTPS listener does for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from polyvisor.operate.engine import Engine
from polyvisor.operate.gate import Gate
from polyvisor.store.database import Database

SOONEST_SECONDS = 0.05
"""As the listener's own net below the signals has it."""


class Desk:
    """Takes agents' calls in one server."""

    def __init__(self, database: Database, engine: Engine, clock: Callable[[], datetime]) -> None:
        self.database, self.clock = database, clock
        self.gate = Gate(database, engine, clock)

    def wait(self, places: tuple[str, ...], timeout_seconds: float) -> None:
        """Until there may be something new for `places`, or the next step there is due, or the time is out."""
        seen = {place: self.database.signals.count(place) for place in places}
        with self.database.read() as store:
            due = store.operation.next_due(places)
        if due is not None:
            timeout_seconds = min(timeout_seconds, max(0.0, (due - self.clock()).total_seconds()))
        self.database.signals.wait_any(seen, max(SOONEST_SECONDS, timeout_seconds))
