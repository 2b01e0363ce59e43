"""The guests that an agent's fence has turned off, until the cloud has heard of it and starts them again."""

import threading


class TurnedOff:
    """Ids of servers, by place. Fence and observers share it between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: dict[str, frozenset[str]] = {}

    def add(self, place: str, server_id: str) -> None:
        """This guest ran, and is turned off."""
        with self._lock:
            self._ids[place] = self._ids.get(place, frozenset()) | {server_id}

    def of(self, place: str) -> frozenset[str]:
        """Those of a place that the cloud has not heard of yet."""
        with self._lock:
            return self._ids.get(place, frozenset())

    def told(self, place: str, server_ids: frozenset[str]) -> None:
        """The cloud has heard of these."""
        with self._lock:
            left = self._ids.pop(place, frozenset()) - server_ids
            if left:
                self._ids[place] = left

    def all(self) -> dict[str, tuple[str, ...]]:
        """All of them, to be kept in a file."""
        with self._lock:
            return {place: tuple(sorted(ids)) for place, ids in sorted(self._ids.items())}
