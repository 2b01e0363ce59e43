"""However much there is to do, signs of life are answered first, and nobody pays for what another has asked."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from polyvisor.api.agent.gate import Answer, Asked
from polyvisor.api.agent.gathering import FEWEST_EXCHANGES, MOST_EXCHANGES, PATIENCE_SECONDS, ROUND_SECONDS, Gatherer
from polyvisor.model.agent import Party
from polyvisor.model.errors import Unavailable
from polyvisor.model.link import Beat, Exchange, Held
from tests.api.agent.bed import PATIENCE_SECONDS as LONG


class Slow:
    """A gate that takes its time, by a clock of its own, and stops at the first call until it is let go."""

    def __init__(self) -> None:
        self.now = 0.0
        self.seconds_each = 0.0
        self.batches: list[list[str]] = []
        """Who was served together, transaction by transaction."""
        self.broken_by = ""
        self.error: Exception = RuntimeError("a step that nobody foresaw")
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.waiting_since: list[float | None] = []
        self._pool = ThreadPoolExecutor(1)
        self.gatherer = Gatherer(self._answer, self._pool, self.waiting_since.append, lambda: self.now)

    def _answer(self, asked: Sequence[Asked]) -> list[Answer]:
        names = [party.session for party, _ in asked]
        self.batches.append(names)
        self.begun.set()
        assert self.go_on.wait(LONG)
        self.now += self.seconds_each * len(asked)
        if self.broken_by in names:
            raise self.error
        return [Held() if isinstance(each, Beat) else [] for _, each in asked]

    def beat(self, name: str) -> "asyncio.Task[Answer]":
        return _begun(self.gatherer.sign((Party(session=name), Beat(places=()))))

    def exchange(self, name: str, *, reports: bool = False) -> "asyncio.Task[Answer]":
        return _begun(self.gatherer.exchange((Party(session=name), Exchange()), reports=reports))

    async def at_work(self) -> None:
        """Until the first transaction is under way; what is asked from now on has to wait for it."""
        assert await asyncio.to_thread(self.begun.wait, LONG)

    def close(self) -> None:
        self.go_on.set()
        self._pool.shutdown()


def _begun(asking: Coroutine[Any, Any, Answer]) -> "asyncio.Task[Answer]":
    return asyncio.get_running_loop().create_task(asking)


async def _came(*tasks: "asyncio.Task[Answer]") -> None:
    """Each has run until it waits for its answer: they began in this order."""
    await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)


@pytest.fixture
def slow() -> Iterator[Slow]:
    made = Slow()
    yield made
    made.close()


def test_beats_are_answered_while_exchanges_wait_in_line(slow: Slow) -> None:
    async def act() -> None:
        first = slow.exchange("first")
        await slow.at_work()
        slow.gatherer.most_exchanges = 10
        exchanges = [slow.exchange(f"x{n}") for n in range(100)]
        beats = [slow.beat(f"b{n}") for n in range(300)]
        await _came(*exchanges, *beats)
        slow.go_on.set()
        await asyncio.wait_for(asyncio.gather(*beats), LONG)
        assert sum(not each.done() for each in exchanges) >= 90
        assert slow.batches[:2] == [["first"], [f"b{n}" for n in range(300)]]
        await asyncio.wait_for(asyncio.gather(first, *exchanges), LONG)

    asyncio.run(act())


def test_beats_that_come_in_the_midst_of_it_go_before_the_next_exchanges(slow: Slow) -> None:
    async def act() -> None:
        slow.gatherer.most_exchanges, slow.seconds_each = FEWEST_EXCHANGES, ROUND_SECONDS / FEWEST_EXCHANGES
        exchanges = [slow.exchange(f"x{n}") for n in range(6 * FEWEST_EXCHANGES)]
        await slow.at_work()
        late = slow.beat("late")
        await _came(late, *exchanges)
        slow.go_on.set()
        await asyncio.wait_for(asyncio.gather(late, *exchanges), LONG)

    asyncio.run(act())
    assert slow.batches[1] == ["late"]
    assert len(slow.batches) == 7


def test_so_many_exchanges_share_a_transaction_as_it_does_in_time(slow: Slow) -> None:
    slow.seconds_each = ROUND_SECONDS / 20

    async def act() -> None:
        slow.go_on.set()
        await asyncio.wait_for(asyncio.gather(*(slow.exchange(f"x{n}") for n in range(600))), LONG)
        assert [len(batch) for batch in slow.batches[:2]] == [MOST_EXCHANGES, 20]
        assert sum(len(batch) for batch in slow.batches) == 600
        slow.seconds_each = 10 * ROUND_SECONDS
        await asyncio.wait_for(slow.exchange("a slow one"), LONG)
        assert slow.gatherer.most_exchanges == FEWEST_EXCHANGES
        slow.seconds_each, slow.now = 0.0, 0.0
        await asyncio.wait_for(asyncio.gather(*(slow.exchange(f"y{n}") for n in range(600))), LONG)
        assert slow.gatherer.most_exchanges == MOST_EXCHANGES

    asyncio.run(act())


def test_what_has_ended_goes_in_before_more_is_given_out_and_nobody_starves(slow: Slow) -> None:
    async def act() -> None:
        first = slow.exchange("first")
        await slow.at_work()
        slow.gatherer.most_exchanges = 8
        asking = [slow.exchange(f"asks{n}") for n in range(8)]
        reporting = [slow.exchange(f"reports{n}", reports=True) for n in range(8)]
        await _came(*asking, *reporting)
        slow.go_on.set()
        await asyncio.wait_for(asyncio.gather(first, *asking, *reporting), LONG)

    asyncio.run(act())
    assert slow.batches[1] == [*(f"reports{n}" for n in range(6)), "asks0", "asks1"]
    assert slow.batches[2][:2] == ["reports6", "reports7"]


def test_nothing_is_done_for_an_exchange_whose_agent_is_about_to_give_up(slow: Slow) -> None:
    async def act() -> None:
        first = slow.exchange("first")
        await slow.at_work()
        old, beat = slow.exchange("old", reports=True), slow.beat("beat")
        await _came(old, beat)
        slow.now += PATIENCE_SECONDS + 1
        young = slow.exchange("young")
        await _came(young)
        slow.go_on.set()
        await asyncio.wait_for(asyncio.gather(first, young, beat), LONG)
        with pytest.raises(Unavailable, match="more to do"):
            await old

    asyncio.run(act())
    assert slow.batches == [["first"], ["beat"], ["young"]]


def test_one_that_breaks_its_transaction_fails_alone(slow: Slow) -> None:
    slow.broken_by = "x13"

    async def act() -> list[Answer | BaseException]:
        slow.go_on.set()
        asking = (slow.exchange(f"x{n}") for n in range(40))
        return await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), LONG)

    answers = asyncio.run(act())
    assert answers[13] is slow.error
    assert [each for n, each in enumerate(answers) if n != 13] == [[]] * 39


def test_when_the_database_is_away_everybody_is_told_at_once(slow: Slow) -> None:
    slow.broken_by, slow.error = "x13", OperationalError("SELECT 1", {}, Exception("the server has gone"))

    async def act() -> list[Answer | BaseException]:
        slow.go_on.set()
        asking = (slow.exchange(f"x{n}") for n in range(40))
        return await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), LONG)

    assert asyncio.run(act()) == [slow.error] * 40
    assert len(slow.batches) == 1


def test_since_when_the_oldest_sign_of_life_waits_is_told(slow: Slow) -> None:
    async def act() -> None:
        first = slow.exchange("first")
        await slow.at_work()
        slow.now = 3.0
        beat = slow.beat("one")
        await _came(beat)
        slow.now = 4.0
        other = slow.beat("two")
        await _came(other)
        assert slow.waiting_since == [3.0]
        slow.go_on.set()
        await asyncio.wait_for(asyncio.gather(first, beat, other), LONG)

    asyncio.run(act())
    assert slow.waiting_since == [3.0, None]
