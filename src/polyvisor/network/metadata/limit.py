"""How often somebody may ask: a burst at once, then so many in a second."""

from collections import OrderedDict


class Limit:
    """Counts by key. Time is the caller's; of many keys those that asked last are remembered."""

    def __init__(self, burst: int, per_second: float, most_keys: int = 10_000) -> None:
        self._burst, self._per_second, self._most_keys = float(burst), per_second, most_keys
        self._left: OrderedDict[object, tuple[float, float]] = OrderedDict()

    def wait(self, key: object, now: float) -> float:
        """0 where `key` may go on, which is counted; else after how many seconds it may. `now` in seconds."""
        left, since = self._left.pop(key, (self._burst, now))
        left = min(self._burst, left + max(0.0, now - since) * self._per_second)
        allowed = left >= 1
        self._left[key] = (left - 1 if allowed else left, now)
        if len(self._left) > self._most_keys:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._per_second
