"""Watches who holds each place and how its hosts are, by the cloud's own records and timestamps."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

LOOK_SECONDS = 0.1
_PLACES = "SELECT name, agent_id, epoch, seen_at FROM place"
_HOSTS = "SELECT name, place, state FROM host WHERE NOT gone"


@dataclass(frozen=True)
class Takeover:
    """A place that went to another process."""

    place: str
    epoch: int
    agent_id: str
    last_beat: float
    """Of the holder before, in seconds since 1970, as the cloud noted it."""
    taken_at: float
    """The first beat under the new epoch."""

    @property
    def seconds(self) -> float:
        """How long nobody served the place, at most."""
        return self.taken_at - self.last_beat


class HoldsWatch:
    """A thread that reads the records, from `start` to `stop`; what it saw last is kept while the database is away."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._places: dict[str, tuple[str, int, float]] = {}
        self._states: dict[str, tuple[str, str, float]] = {}
        self.takeovers: list[Takeover] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="holds-watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self._thread.join()

    def holder(self, place: str) -> tuple[str, int, float]:
        """Who holds a place: agent id, epoch, and its last beat in seconds since 1970; ("", 0, 0.0) = nobody yet."""
        with self._lock:
            return self._places.get(place, ("", 0, 0.0))

    def takeover(self, place: str, after_epoch: int) -> Takeover | None:
        """The first takeover of a place beyond an epoch, if there was one."""
        with self._lock:
            return next((each for each in self.takeovers if each.place == place and each.epoch > after_epoch), None)

    def states(self, place: str) -> dict[str, tuple[str, float]]:
        """Of each host of a place: its state, and since when it was seen so (seconds since 1970)."""
        with self._lock:
            return {name: (state, since) for name, (where, state, since) in self._states.items() if where == place}

    def _loop(self) -> None:
        engine = create_engine(self._url, poolclass=NullPool, connect_args={"connect_timeout": 2})
        while not self._stopping.is_set():
            try:
                with engine.connect() as connection:
                    connection = connection.execution_options(isolation_level="AUTOCOMMIT")
                    connection.execute(text("SET statement_timeout = '2s'"))
                    while not self._stopping.wait(LOOK_SECONDS):
                        places = connection.execute(text(_PLACES)).all()
                        hosts = connection.execute(text(_HOSTS)).all()
                        self._note(places, hosts)
            except SQLAlchemyError:
                self._stopping.wait(LOOK_SECONDS)
        engine.dispose()

    def _note(self, places: Sequence[Any], hosts: Sequence[Any]) -> None:
        with self._lock:
            for name, agent_id, epoch, seen_at in places:
                beat = seen_at / 1_000_000
                _, before_epoch, before_beat = self._places.get(name, ("", 0, 0.0))
                if before_epoch and epoch > before_epoch:
                    self.takeovers.append(Takeover(name, epoch, agent_id, before_beat, beat))
                self._places[name] = (agent_id, epoch, beat)
            for name, place, state in hosts:
                known = self._states.get(name)
                if known is None or known[1] != state:
                    self._states[name] = (place, state, time.time())
