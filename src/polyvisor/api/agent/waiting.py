"""Long polls: agents that wait for work, held on the event loop, woken by signals and by the clock."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import timedelta

from polyvisor.model.errors import Unavailable
from polyvisor.model.link import Timetable
from polyvisor.store.signals import Signals

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often the timetable is read while somebody waits: the net below the signals."""
SOONEST_SECONDS = 0.05
"""How soon it may be read again."""
REST_FACTOR = 10.0
"""For so many times as long as a look took there is no other."""
_MOST_REMEMBERED = 20_000
STOPPING = "This server is stopping: go to another."


class _Waiter:
    """One agent's request for work."""

    def __init__(self, owner: str, places: tuple[str, ...], future: "asyncio.Future[bool]") -> None:
        self.owner, self.places, self.future = owner, places, future
        self.held_by_others: set[str] = set()

    def wake(self) -> None:
        if not self.future.done():
            self.future.set_result(True)


class Waiting:
    """Those who wait, by place. Made and used on one event loop; `heard` alone may be called from any thread."""

    def __init__(
        self,
        signals: Signals,
        timetable: Callable[[], Timetable],
        pool: Executor,
        lagged: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        """`lagged` is told how much later than asked for the event loop came back to what had to be done."""
        self._signals, self._timetable, self._pool, self._lagged = signals, timetable, pool, lagged
        self._loop = asyncio.get_running_loop()
        self._by_place: dict[str, set[_Waiter]] = {}
        self._exchanged: dict[str, float] = {}
        self._raised: dict[str, float] = {}
        self._look = asyncio.Event()
        self._stopping = False
        self.table: Timetable | None = None
        signals.listeners.append(self.heard)
        self._task = self._loop.create_task(self._watch())

    async def close(self) -> None:
        """Answer everybody at once: another server has what they wait for."""
        self._stopping = True
        self._signals.listeners.remove(self.heard)
        for waiter in [each for waiters in self._by_place.values() for each in waiters]:
            if not waiter.future.done():
                waiter.future.set_exception(Unavailable(STOPPING))
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def exchanging(self, owner: str) -> None:
        """`owner` is about to look for work: only what is raised after this is news to it."""
        if len(self._exchanged) > _MOST_REMEMBERED:
            self._exchanged.clear()
        self._exchanged[owner] = self._loop.time()

    async def wait(self, owner: str, places: tuple[str, ...], timeout_seconds: float) -> bool:
        """Whether there may be something to do at `places` before the time is out. Raises Unavailable at the stop."""
        if self._stopping:
            raise Unavailable(STOPPING)
        looked_at = self._exchanged.get(owner)
        if looked_at is not None and any(self._raised.get(place, 0.0) >= looked_at for place in places):
            return True
        waiter = _Waiter(owner, places, self._loop.create_future())
        for place in places:
            self._by_place.setdefault(place, set()).add(waiter)
        self._look.set()
        try:
            async with asyncio.timeout(timeout_seconds):
                return await waiter.future
        except TimeoutError:
            return False
        finally:
            self._forget(waiter)

    def _forget(self, waiter: _Waiter) -> None:
        for place in waiter.places:
            here = self._by_place.get(place, set())
            here.discard(waiter)
            if not here:
                self._by_place.pop(place, None)

    def heard(self, subject: str) -> None:
        """A signal was raised, on whichever thread. Most are about nothing that an agent waits for."""
        if not subject or subject in self._by_place or subject in self._raised:
            self._loop.call_soon_threadsafe(self._wake, subject)

    def _wake(self, subject: str) -> None:
        now = self._loop.time()
        for place in [subject] if subject else list(self._by_place):
            self._raised[place] = now
            for waiter in list(self._by_place.get(place, ())):
                if place not in waiter.held_by_others:
                    waiter.wake()
        self._look.set()

    # The clock

    async def _watch(self) -> None:
        while True:
            pause, began = LOOK_SECONDS, self._loop.time()
            try:
                self.table = await self._loop.run_in_executor(self._pool, self._timetable)
                pause = self._wake_due(self.table)
            except Exception as error:  # noqa: BLE001 - the next look tells
                log.debug("what is due could not be read: %s", error)
            # Where the look is dear, as with thousands of places on a busy database, there are fewer of them.
            rest = min(LOOK_SECONDS, max(SOONEST_SECONDS, (self._loop.time() - began) * REST_FACTOR))
            asleep_at = self._loop.time()
            await asyncio.sleep(rest)
            self._lagged(self._loop.time() - asleep_at - rest)
            try:
                async with asyncio.timeout(max(0.0, pause - rest)):
                    await self._look.wait()
            except TimeoutError:
                pass
            self._look.clear()

    def _wake_due(self, table: Timetable) -> float:
        """Wake those who have something to do by now; returns in how many seconds the next of them has."""
        soonest = table.now + timedelta(seconds=LOOK_SECONDS)
        for place, waiters in list(self._by_place.items()):
            holder, until = table.held.get(place, ("", table.now))
            due = table.due.get(place)
            for waiter in list(waiters):
                if holder == waiter.owner:
                    waiter.held_by_others.discard(place)
                    moment = due if until > table.now else None
                elif until > table.now:
                    waiter.held_by_others.add(place)
                    moment = until
                else:
                    # It may take the place over now; who was told so once beats, and need not be told again.
                    moment = table.now if place in waiter.held_by_others else None
                if moment is not None and moment <= table.now:
                    waiter.wake()
                elif moment is not None:
                    soonest = min(soonest, moment)
        return (soonest - table.now).total_seconds()
