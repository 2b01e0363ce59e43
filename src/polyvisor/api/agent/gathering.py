"""Gathers what many agents ask into few transactions."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from polyvisor.api.agent.gate import Answer, Asked
from polyvisor.model.errors import PolyvisorError

MOST_AT_ONCE = 256
PATIENCE_SECONDS = 0.1
"""How long a beat may wait for others to share its transaction."""


class Gatherer:
    """One transaction at a time: what comes meanwhile goes into the next one together."""

    def __init__(self, answer: Callable[[Sequence[Asked]], list[Answer]], pool: Executor) -> None:
        self._answer, self._pool = answer, pool
        self._waiting: list[tuple[Asked, asyncio.Future[Answer]]] = []
        self._running = False
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, asked: Asked, *, at_once: bool) -> Answer:
        """The answer, with whatever else is waiting. Raises the PolyvisorError that it is, or what the gate raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((asked, future))
        if at_once or len(self._waiting) >= MOST_AT_ONCE:
            self._go(loop)
        elif self._timer is None:
            self._timer = loop.call_later(PATIENCE_SECONDS, self._go, loop)
        answer = await future
        if isinstance(answer, PolyvisorError):
            raise answer
        return answer

    def _go(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._running:
            self._running = True
            self._task = loop.create_task(self._run(loop))

    async def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                try:
                    answers = await loop.run_in_executor(self._pool, self._answer, [asked for asked, _ in batch])
                except Exception as error:  # noqa: BLE001 - each of those who wait is to meet it
                    for _, future in batch:
                        if not future.done():
                            future.set_exception(error)
                    continue
                for (_, future), answer in zip(batch, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)
        finally:
            self._running = False
