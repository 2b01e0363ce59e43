"""The simulated machine room: virtual time, one queue of events, and processes whose threads are greenlets.

Exactly one greenlet runs at a time, and another goes on only where this one waits: for a lock, a reply, a moment. So
what happens is a function of the queue alone, and the queue's order of (time, number) is a function of the seed.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet

from simulation.trace import Trace


class Killed(BaseException):
    """The process is gone: nothing after this moment happens in it."""


class OutOfTime(Exception):
    """Virtual time or the number of events ran out before the history came to its end."""


class Timer:
    """Something that happens at a moment, unless it is cancelled before."""

    __slots__ = ("act", "cancelled")

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act
        self.cancelled = False

    def cancel(self) -> None:
        """It does not happen."""
        self.cancelled = True


class Process:
    """What a kill ends and a stop pauses: a group of tasks with one wall clock."""

    def __init__(self, hub: Hub, name: str) -> None:
        self.hub = hub
        self.name = name
        self.alive = True
        self.paused = False
        self.wall_offset_seconds = 0.0
        """How far its machine's clock is off."""
        self.tasks: dict[Task, None] = {}
        self._held_up: list[tuple[Task, Any]] = []

    def spawn(self, act: Callable[[], Any], name: str) -> Task:
        """A thread of this process; it begins at this moment, after what is due before it."""
        task = Task(self, act, name)
        if self.alive:
            self.tasks[task] = None
            self.hub.soon(lambda: task.resume(None))
        return task

    def kill(self) -> None:
        """As kill -9 does: its threads end where they stand, and none of their clean-up has an effect."""
        if not self.alive:
            return
        self.alive = False
        self._held_up.clear()
        self.hub.soon(self._end_tasks)
        if self.hub.current is not None and self.hub.current.process is self:
            raise Killed

    def _end_tasks(self) -> None:
        for task in list(self.tasks):
            task.end()
        self.tasks.clear()

    def pause(self) -> None:
        """As SIGSTOP does: time goes on without it."""
        self.paused = True

    def go_on(self) -> None:
        """As SIGCONT does."""
        self.paused = False
        held_up, self._held_up = self._held_up, []
        for task, value in held_up:
            self.hub.soon(lambda task=task, value=value: task.resume(value))  # type: ignore[misc]

    def hold_up(self, task: Task, value: Any) -> None:
        """Keep a task's wake-up until the process goes on."""
        self._held_up.append((task, value))


class Task:
    """One thread of a process."""

    __slots__ = ("ended", "greenlet", "name", "process", "waiting")

    def __init__(self, process: Process, act: Callable[[], Any], name: str) -> None:
        self.process = process
        self.name = name
        self.waiting = 0
        """Grows with each wait, so that a wake-up meant for an earlier one is not taken for this one's."""
        self.ended = False

        def run(_value: Any = None) -> None:
            try:
                act()
            except Killed:
                pass
            except Exception as error:  # noqa: BLE001 - a thread that dies of it is found out
                process.hub.died.append((process.name, name, error))
            finally:
                self.ended = True
                process.tasks.pop(self, None)

        self.greenlet = greenlet(run, parent=process.hub.greenlet)

    def resume(self, value: Any) -> None:
        """Go on until it waits again."""
        process = self.process
        if self.ended or not process.alive:
            return
        if process.paused:
            process.hold_up(self, value)
            return
        hub = process.hub
        before, hub.current = hub.current, self
        try:
            self.greenlet.switch(value)
        finally:
            hub.current = before

    def end(self) -> None:
        """Unwind it, its process being dead: every wait in its clean-up raises Killed at once."""
        if not self.ended and self.greenlet:
            before, self.process.hub.current = self.process.hub.current, self
            try:
                self.greenlet.throw(Killed)
            finally:
                self.process.hub.current = before
        self.ended = True


class Hub:
    """Virtual time and the queue of events."""

    def __init__(self, seed: int | str, trace: Trace) -> None:
        self.now = 0.0
        """Virtual seconds since the history began."""
        self.chance = random.Random(seed)
        self.trace = trace
        self.events = 0
        self.current: Task | None = None
        self.greenlet = getcurrent()
        self.died: list[tuple[str, str, Exception]] = []
        """Threads that ended by an error: process, thread, error."""
        self.in_transaction = False
        """Nothing may wait while a transaction is open: it would hold up the whole cloud."""
        self.after_event: Callable[[], None] = lambda: None
        self._queue: list[tuple[float, int, Timer]] = []
        self._number = 0

    def at(self, when: float, act: Callable[[], None]) -> Timer:
        """Have `act` called at a moment, outside all processes."""
        timer = Timer(act)
        self._number += 1
        heapq.heappush(self._queue, (max(when, self.now), self._number, timer))
        return timer

    def after(self, seconds: float, act: Callable[[], None]) -> Timer:
        """Have `act` called after a while."""
        return self.at(self.now + seconds, act)

    def soon(self, act: Callable[[], None]) -> Timer:
        """Have `act` called at this moment, after what is due before it."""
        return self.at(self.now, act)

    def process(self) -> Process:
        """The process that runs now."""
        if self.current is None:
            raise RuntimeError("No simulated process runs now.")
        return self.current.process

    def wait(self, timeout_seconds: float | None, enrol: Callable[[Callable[[Any], None]], None]) -> Any:
        """Wait until what was enrolled is called with a value, which is returned; None when the time is out."""
        task = self.current
        if task is None:
            raise RuntimeError("Only a simulated process can wait.")
        if not task.process.alive:
            raise Killed
        if self.in_transaction:
            raise RuntimeError(f"{task.process.name} would wait inside a transaction.")
        task.waiting += 1
        number = task.waiting

        def wake(value: Any) -> None:
            if task.waiting == number and not task.ended:
                task.waiting += 1
                self.soon(lambda: task.resume(value))

        enrol(wake)
        timer = None
        if timeout_seconds is not None:
            timer = self.after(max(0.0, timeout_seconds), lambda: wake(None))
        value = self.greenlet.switch()
        if timer is not None:
            timer.cancel()
        if not task.process.alive:
            raise Killed
        return value

    def sleep(self, seconds: float) -> None:
        """Wait for a while."""
        self.wait(seconds, lambda _wake: None)

    def check_alive(self) -> None:
        """Raise Killed in what is left of a dead process."""
        if self.current is not None and not self.current.process.alive:
            raise Killed

    def run(self, until: float, done: Callable[[], bool], most_events: int) -> bool:
        """Let things happen until `done` says so, looked at after each event; whether it did before `until`."""
        while self._queue and self._queue[0][0] <= until:
            when, _, timer = heapq.heappop(self._queue)
            if timer.cancelled:
                continue
            self.now = when
            self.events += 1
            if self.events > most_events:
                raise OutOfTime(f"more than {most_events} events")
            timer.act()
            self.after_event()
            if done():
                return True
        self.now = max(self.now, until)
        return done()
