"""Gathers what many agents ask into few transactions, so that signs of life never wait for work."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from polyvisor.api.agent.gate import Answer, Asked
from polyvisor.model.errors import PolyvisorError, Unavailable
from polyvisor.store.outage import is_busy, is_outage

MOST_SIGNS = 512
COMPANY_SECONDS = 0.1
"""How long a beat may wait for others to share its transaction."""
MOST_EXCHANGES = 256
FEWEST_EXCHANGES = 8
ROUND_SECONDS = 0.25
"""How long a transaction of exchanges is to take: beats that come meanwhile wait for its end."""
PATIENCE_SECONDS = 12.0
"""How long an exchange waits for its turn: less than an agent waits for the answer (`agent/link.py`)."""
OVERLOADED = "This server has more to do than it can: ask again, or another one."


class _Waiter:
    """Somebody who has asked."""

    def __init__(self, asked: Asked, came_at: float, future: "asyncio.Future[Answer]") -> None:
        self.asked, self.came_at, self.future = asked, came_at, future

    def answer(self, answer: Answer) -> None:
        if self.future.done():
            return
        if isinstance(answer, PolyvisorError):
            self.future.set_exception(answer)
        else:
            self.future.set_result(answer)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Gatherer:
    """One transaction at a time: what comes meanwhile goes into the next one together.

    Signs of life go first, all of them, in a transaction of their own, which no operation can break: places are not to
    be lost because there is much to do. Then come as many exchanges as are done in ROUND_SECONDS, those that report
    ahead of those that only ask for more.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Asked]], list[Answer]],
        pool: Executor,
        waits_since: Callable[[float | None], None] = lambda _moment: None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`waits_since` is told when the oldest sign of life that is not answered came, None where all are."""
        self._answer, self._pool = answer, pool
        self._waits_since, self._steady = waits_since, steady
        self._signs: deque[_Waiter] = deque()
        self._reporting: deque[_Waiter] = deque()
        self._asking: deque[_Waiter] = deque()
        self._suspects: deque[list[_Waiter]] = deque()
        """Exchanges whose transaction failed: served in halves, until the one that breaks it is alone."""
        self.most_exchanges = MOST_EXCHANGES
        """As many as are taken at once, by what the last ones took."""
        self._running = False
        self._serving_signs = False
        self._timer: asyncio.TimerHandle | None = None

    async def sign(self, asked: Asked, *, at_once: bool = False) -> Answer:
        """The answer to a sign of life: a Beat, or an Exchange that neither brings nor takes anything.

        Raises the PolyvisorError that the answer is, or what the gate raises.
        """
        waiter = self._join(self._signs, asked)
        if not self._serving_signs and len(self._signs) == 1:
            self._waits_since(waiter.came_at)
        if at_once or len(self._signs) >= MOST_SIGNS:
            self._go()
        elif self._timer is None and not self._running:
            self._timer = asyncio.get_running_loop().call_later(COMPANY_SECONDS, self._go)
        return await waiter.future

    async def exchange(self, asked: Asked, *, reports: bool) -> Answer:
        """The answer to an Exchange. Raises as `sign`; Unavailable where its turn has not come in PATIENCE_SECONDS."""
        waiter = self._join(self._reporting if reports else self._asking, asked)
        self._go()
        return await waiter.future

    def _join(self, line: deque[_Waiter], asked: Asked) -> _Waiter:
        waiter = _Waiter(asked, self._steady(), asyncio.get_running_loop().create_future())
        line.append(waiter)
        return waiter

    def _go(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._running:
            self._running = True
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._signs or self._suspects or self._reporting or self._asking:
                if self._signs:
                    await self._serve_signs()
                if self._suspects:
                    await self._serve(self._suspects.popleft())
                elif self._reporting or self._asking:
                    await self._serve_exchanges()
        finally:
            self._running = False

    async def _serve_signs(self) -> None:
        batch = _taken(self._signs, MOST_SIGNS)
        self._serving_signs = True
        await self._serve(batch)
        self._serving_signs = False
        self._waits_since(self._signs[0].came_at if self._signs else None)

    async def _serve_exchanges(self) -> None:
        self._turn_away()
        # Who works on reports all the time; who has no work yet is not to wait for the end of it.
        kept = min(len(self._asking), self.most_exchanges // 4)
        batch = _taken(self._reporting, self.most_exchanges - kept)
        batch += _taken(self._asking, self.most_exchanges - len(batch))
        if not batch:
            return
        began = self._steady()
        await self._serve(batch)
        self._adapt(len(batch), self._steady() - began)

    def _adapt(self, count: int, took_seconds: float) -> None:
        """Take so many at once that they are done in ROUND_SECONDS; one quick round says little, so it grows slowly."""
        fitting = int(count * ROUND_SECONDS / max(took_seconds, 0.001))
        if fitting < count:
            self.most_exchanges = max(FEWEST_EXCHANGES, fitting)
        elif count == self.most_exchanges:
            self.most_exchanges = min(MOST_EXCHANGES, fitting, 2 * count)

    def _turn_away(self) -> None:
        """Answer those whose agents are about to give up: what is done for nobody would keep others waiting."""
        latest = self._steady() - PATIENCE_SECONDS
        for line in (self._reporting, self._asking):
            while line and line[0].came_at < latest:
                line.popleft().fail(Unavailable(OVERLOADED))

    async def _serve(self, batch: list[_Waiter]) -> None:
        """One transaction for all. Where one of them breaks it, the others are not to suffer."""
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._pool, self._answer, [waiter.asked for waiter in batch])
        except Exception as error:  # noqa: BLE001 - each of those who wait is to meet it
            if len(batch) == 1 or is_outage(error) or is_busy(error):
                for waiter in batch:
                    waiter.fail(error)
            else:
                half = len(batch) // 2
                self._suspects.extend((batch[:half], batch[half:]))
            return
        for waiter, answer in zip(batch, answers, strict=True):
            waiter.answer(answer)


def _taken(line: deque[_Waiter], most: int) -> list[_Waiter]:
    return [line.popleft() for _ in range(min(most, len(line)))]
