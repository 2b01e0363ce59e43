"""The network of a history: messages between users, agents and servers, late, lost, twice, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulation.hub import Hub, Process

SMALLEST_DELAY_SECONDS = 0.001
LARGEST_DELAY_SECONDS = 0.01


class NoAnswer(OSError):
    """The other side cannot be reached, or its answer did not come in time."""


class Network:
    """Who reaches whom, and how well."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.cuts: set[frozenset[str]] = set()
        """Pairs of names between which nothing passes."""
        self.loss_rate = self.double_rate = self.late_rate = 0.0
        self.late_seconds = 8.0

    def cut(self, one: str, other: str) -> None:
        """Nothing passes between these two any more."""
        self.cuts.add(frozenset((one, other)))

    def mend(self, one: str, other: str) -> None:
        """They reach each other again."""
        self.cuts.discard(frozenset((one, other)))

    def send(self, source: str, target: str, arrive: Callable[[], None]) -> None:
        """One message on its way."""
        if frozenset((source, target)) in self.cuts:
            return
        chance = self.hub.chance
        if self.loss_rate and chance.random() < self.loss_rate:
            return
        copies = 2 if self.double_rate and chance.random() < self.double_rate else 1
        for _ in range(copies):
            delay = chance.uniform(SMALLEST_DELAY_SECONDS, LARGEST_DELAY_SECONDS)
            if self.late_rate and chance.random() < self.late_rate:
                delay += chance.uniform(0.0, self.late_seconds)
            self.hub.after(delay, arrive)

    def call(self, caller: Process, callee: Process, act: Callable[[], Any], timeout_seconds: float, what: str) -> Any:
        """Have `act` run in another process, and wait for its result.

        Raises NoAnswer, and whatever `act` raised. An answer that comes too late is lost.
        """
        hub = self.hub
        hub.check_alive()

        def enrol(wake: Callable[[Any], None]) -> None:
            def serve() -> None:
                try:
                    answer: tuple[Any, Exception | None] = (act(), None)
                except Exception as error:  # noqa: BLE001 - the caller's to judge
                    answer = (None, error)
                self.send(callee.name, caller.name, lambda: wake(answer))

            def arrive() -> None:
                if callee.alive:
                    callee.spawn(serve, what)
                else:
                    self.send(callee.name, caller.name, lambda: wake((None, NoAnswer("connection refused"))))

            self.send(caller.name, callee.name, arrive)

        answer = hub.wait(timeout_seconds, enrol)
        if answer is None:
            raise NoAnswer(f"{callee.name} did not answer in {timeout_seconds:g} seconds")
        result, error = answer
        if error is not None:
            raise error
        return result
