"""A loop's sign of life: it says at each turn that it lives, and health and metrics ask when it last did."""

import time
from collections.abc import Callable


class Pulse:
    """Called by the loop itself, once a turn, whether the turn succeeds or not."""

    def __init__(self, name: str, sentence: str, limit_seconds: float) -> None:
        """`sentence`: what does not happen while it hangs. After `limit_seconds` without a turn it counts as hung."""
        self.name, self.sentence, self.limit_seconds = name, sentence, limit_seconds
        self._turned_at = time.monotonic()

    def __call__(self) -> None:
        """The loop turns."""
        self._turned_at = time.monotonic()

    def silent_seconds(self, now: float) -> float:
        """Since when it has not turned; `now` by time.monotonic()."""
        return max(0.0, now - self._turned_at)


class Followed(Pulse):
    """Of a loop that notes for itself when it last turned."""

    def __init__(self, name: str, sentence: str, limit_seconds: float, silent: Callable[[], float]) -> None:
        """`silent`: since when it has not turned, in seconds."""
        super().__init__(name, sentence, limit_seconds)
        self._silent = silent

    def silent_seconds(self, now: float) -> float:
        """Since when it has not turned, by its own clock."""
        return max(0.0, self._silent())
