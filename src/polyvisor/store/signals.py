"""Wake-ups after a commit: whoever waits for a subject looks again at once instead of at its next period."""

import threading
from collections import defaultdict
from collections.abc import Callable

MOST_SUBJECTS = 20_000
"""Each operation is a subject of its own: their numbers are not kept for ever."""


class Signals:
    """In-process signals by subject. Losing one costs a wait, never a fact: every waiter also looks on a period."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._counts: dict[str, int] = defaultdict(int)
        self.listeners: list[Callable[[str], None]] = []
        """Called with each subject that is raised, "" for every one, on whichever thread raises it: not to block."""

    def count(self, subject: str) -> int:
        """How often `subject` was raised; take it before looking, and hand it to `wait`."""
        with self._changed:
            return self._counts[subject]

    def wake(self, subject: str) -> None:
        """Raise `subject`."""
        with self._changed:
            if len(self._counts) >= MOST_SUBJECTS:
                self._counts.clear()  # whoever has seen a number looks again
            self._counts[subject] += 1
            self._changed.notify_all()
        for listener in self.listeners:
            listener(subject)

    def wake_all(self) -> None:
        """Raise every subject that anybody has ever waited for: what was raised elsewhere meanwhile is not known."""
        with self._changed:
            for subject in self._counts:
                self._counts[subject] += 1
            self._changed.notify_all()
        for listener in self.listeners:
            listener("")

    def wait(self, subject: str, seen: int, timeout_seconds: float) -> bool:
        """Wait until `subject` was raised after `seen`; False when the time ran out first."""
        with self._changed:
            return self._changed.wait_for(lambda: self._counts[subject] != seen, timeout_seconds)

    def wait_any(self, seen: dict[str, int], timeout_seconds: float) -> bool:
        """Wait until any of the subjects was raised after its number in `seen`; False when the time ran out first."""
        with self._changed:
            return self._changed.wait_for(
                lambda: any(self._counts[subject] != number for subject, number in seen.items()), timeout_seconds
            )
