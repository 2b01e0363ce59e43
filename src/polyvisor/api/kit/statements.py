"""How many SQL statements a request takes, counted where they are executed."""

import threading
from typing import Any

from sqlalchemy import Engine, event


class StatementCount:
    """Counts per thread: a request is worked on by one thread."""

    def __init__(self, engine: Engine) -> None:
        self._local = threading.local()
        event.listen(engine, "before_cursor_execute", self._count)

    def _count(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("BEGIN"):
            return
        self._local.count = getattr(self._local, "count", 0) + 1

    def reset(self) -> None:
        """Begin a request on this thread."""
        self._local.count = 0

    @property
    def value(self) -> int:
        """Statements since `reset` on this thread."""
        return getattr(self._local, "count", 0)
