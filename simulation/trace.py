"""What happened in a history, event by event, to be read by people and compared byte by byte."""

import hashlib
from typing import Any

Line = tuple[float, str, str, tuple[Any, ...]]


class Trace:
    """Collects lines; they are put into words only when somebody reads them."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def add(self, now: float, who: str, what: str, *details: Any) -> None:
        """One event: who did what. `details` are formatted into `what` by %."""
        self.lines.append((now, who, what, details))

    def text(self) -> str:
        """All of it, a line an event."""
        return "\n".join(
            f"{now:10.3f}  {who:<12} {what % details if details else what}" for now, who, what, details in self.lines
        )

    def digest(self) -> str:
        """A fingerprint of the whole history."""
        return hashlib.sha256(self.text().encode()).hexdigest()
