"""A thousand agents on one server: what they cost, how soon they are woken, and how many steps go through."""

import argparse
import asyncio
import contextlib
import random
import ssl
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from bench.processes import cpu_seconds, pss_mib
from bench.servers import Servers, servers
from bench.simulated_agent import Connections, NotAnsweredError, SimulatedAgent
from polyvisor.api.agent.authority import ensure
from polyvisor.api.agent.joining import new_token
from polyvisor.model.agent import Authority
from polyvisor.operate.kinds import KINDS
from polyvisor.store.database import Database

KIND = "host.forget_images"
SETTLE_SECONDS = 5.0
LOOK_SECONDS = 1.0
JOINERS = 8
# However slow the machine is, it ends within six minutes: then the table says how far it came.
JOIN_SECONDS = 120.0
FIRST_BEATS_SECONDS = 30.0
WAKE_UPS_SECONDS = 60.0
STEPS_SECONDS = 90.0


class Run:
    """One measurement: a server, its database, and agents in this process."""

    def __init__(self, own: Servers, folder: Path, count: int) -> None:
        self._own, self._folder, self._count = own, folder, count
        self._database = Database(own.database)
        self._database.connect_signals(listen=False)
        self._begun: dict[str, float] = {}
        self._in_hand: dict[str, float] = {}
        self._done = 0
        self._most_down = 0
        self._names: list[str] = []
        self.figures: dict[str, float] = {}

    def close(self) -> None:
        """Let the database go."""
        self._database.close()

    async def all(self, idle_seconds: float, probes: int, steps: int) -> dict[str, float]:
        """Every phase, in order."""
        self.figures["pss_mib_without_agents"] = pss_mib(self._own.pids)
        agents: list[SimulatedAgent] = []
        tasks: list[asyncio.Task[None]] = []
        watching = asyncio.create_task(self._watch_hosts())
        try:
            await self._join(agents, tasks)
            self.figures["agents"] = len(agents)
            if not await self._until(lambda: all(agent.beats for agent in agents), tasks, FIRST_BEATS_SECONDS):
                self.figures["agents_never_answered"] = sum(not agent.beats for agent in agents)
            await asyncio.sleep(SETTLE_SECONDS)
            await self._idle(agents, idle_seconds)
            await self._wake_ups(probes, tasks)
            await self._steps(steps, agents, tasks)
            self.figures["pss_mib"] = pss_mib(self._own.pids)
            self.figures["beats_late"] = sum(agent.beats_late for agent in agents)
            self.figures["holds_run_out"] = sum(agent.holds_run_out for agent in agents)
            self.figures["hosts_down"] = self._most_down
            self.figures["inventories_put_off"] = sum(agent.put_off for agent in agents)
            self.figures["exchanges_asked_again"] = sum(agent.asked_again for agent in agents)
        finally:
            for task in (*tasks, watching):
                task.cancel()
            await asyncio.gather(*tasks, watching, return_exceptions=True)
        return self.figures

    async def _watch_hosts(self) -> None:
        """How many hosts are down at one time, at most."""
        while True:
            self._most_down = max(self._most_down, await asyncio.to_thread(self._hosts_down))
            await asyncio.sleep(LOOK_SECONDS)

    def _hosts_down(self) -> int:
        with self._database.read() as store:
            return len(store.host.places()) - len(store.hypervisor.places_up())

    async def _join(self, agents: list[SimulatedAgent], tasks: list[asyncio.Task[None]]) -> None:
        """Some at a time; each lives from then on, as where machines are set up by and by."""
        now = datetime.now(UTC)
        authority = ensure(self._database, now)
        texts = []
        with self._database.write() as store:
            for _ in range(self._count):
                kept, text = new_token(
                    uuid.uuid4().hex[:12], authority, name="", places=(), now=now, lifetime=timedelta(hours=1)
                )
                store.join_token.add(kept)
                texts.append(text)
        parts = urlsplit(self._own.agent_urls[0])
        host, port = str(parts.hostname), int(parts.port or 443)
        strangers = Connections(host, port, _trusting(authority))
        began = time.perf_counter()

        async def join_some() -> None:
            while texts and time.perf_counter() - began < JOIN_SECONDS:
                agent = SimulatedAgent(f"agent{self._count - len(texts):04d}", self._noted, self._ended)
                try:
                    await agent.join(strangers, texts.pop(), self._folder, host, port)
                except NotAnsweredError:
                    continue
                agents.append(agent)
                tasks.append(asyncio.create_task(agent.live()))

        await asyncio.gather(*(join_some() for _ in range(JOINERS)))
        self._names = [agent.name for agent in agents]
        self.figures["joined_per_second"] = len(agents) / (time.perf_counter() - began)
        strangers.close()

    async def _idle(self, agents: list[SimulatedAgent], seconds: float) -> None:
        """They beat every 2.5 seconds, hand in an inventory every 10, and wait for work."""
        _forget_beats(agents)
        before, began = cpu_seconds(self._own.pids), time.perf_counter()
        await asyncio.sleep(seconds)
        took = time.perf_counter() - began
        self.figures["idle_cores"] = (cpu_seconds(self._own.pids) - before) / took
        self.figures["beats_per_second"] = sum(len(agent.beats) for agent in agents) / took
        self._beats("beat", agents)

    def _beats(self, name: str, agents: list[SimulatedAgent]) -> None:
        took = sorted(seconds for agent in agents for seconds in agent.beats)
        if not took:
            return
        self.figures[f"{name}_seconds_p50"] = statistics.median(took)
        self.figures[f"{name}_seconds_p99"] = took[int(len(took) * 0.99)]

    async def _wake_ups(self, count: int, tasks: list[asyncio.Task[None]]) -> None:
        """One step at a time: from the commit that makes it due until its agent has it in hand."""
        took: list[float] = []
        deadline = time.monotonic() + WAKE_UPS_SECONDS
        while len(took) < count and (left := deadline - time.monotonic()) > 0:
            [id] = await asyncio.to_thread(self._begin, 1)
            if not await self._until(lambda id=id: id in self._in_hand, tasks, left, 0.0005):  # type: ignore[misc]
                break
            took.append(self._in_hand[id] - self._begun[id])
            await asyncio.sleep(0.1)
        self.figures["wake_ups"] = len(took)
        if not took:
            return
        took.sort()
        self.figures["wake_up_seconds_p50"] = statistics.median(took)
        self.figures["wake_up_seconds_p99"] = took[min(len(took) - 1, int(len(took) * 0.99))]

    async def _steps(self, count: int, agents: list[SimulatedAgent], tasks: list[asyncio.Task[None]]) -> None:
        """Many at once, spread over all agents: from the commit that makes them due until the last report is taken."""
        await self._until(lambda: self._done >= len(self._begun), tasks, SETTLE_SECONDS)
        _forget_beats(agents)
        done, before = self._done, cpu_seconds(self._own.pids)
        began = self._begun[(await asyncio.to_thread(self._begin, count))[0]]
        await self._until(lambda: self._done - done >= count, tasks, STEPS_SECONDS)
        took, through = time.perf_counter() - began, self._done - done
        self.figures["steps_not_done"] = count - through
        self.figures["steps_per_second"] = through / took
        self.figures["cpu_milliseconds_per_step"] = 1000 * (cpu_seconds(self._own.pids) - before) / max(1, through)
        self._beats("beat_meanwhile", agents)

    def _begin(self, count: int) -> list[str]:
        """Operations whose last step is due at places by chance, in one transaction."""
        ids = [str(uuid.uuid4()) for _ in range(count)]
        now, last = datetime.now(UTC), len(KINDS[KIND].steps) - 1
        with self._database.write() as store:
            rows = []
            for id in ids:
                place = random.choice(self._names)
                row = store.operation.begin(
                    id=id, kind=KIND, target_id=id, project_id="", user_id="", request_id="", args={"host": place},
                    now=now, alone=True,
                )  # fmt: skip
                rows.append(msgspec.structs.replace(row, place=place, step=last))
                store.wake(place)
            store.operation.save(rows)
        at = time.perf_counter()
        self._begun.update(dict.fromkeys(ids, at))
        return ids

    def _noted(self, id: str) -> None:
        self._in_hand[id] = time.perf_counter()

    def _ended(self, _id: str) -> None:
        self._done += 1

    async def _until(
        self,
        done: Callable[[], bool],
        tasks: list[asyncio.Task[None]],
        patience_seconds: float,
        pause_seconds: float = 0.02,
    ) -> bool:
        """Whether it came to that in time."""
        deadline = time.monotonic() + patience_seconds
        while not done():
            for task in tasks:
                if task.done():
                    task.result()  # an agent that has ended says why
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(pause_seconds)
        return True


def _forget_beats(agents: list[SimulatedAgent]) -> None:
    for agent in agents:
        agent.beats.clear()


def measure(agents: int, idle_seconds: float = 30.0, probes: int = 100, steps: int = 5000) -> dict[str, float]:
    """The figures by name."""
    with tempfile.TemporaryDirectory(prefix="polyvisor-bench-") as name:
        folder = Path(name)
        with servers(folder, 1) as own, contextlib.closing(Run(own, folder, agents)) as run:
            return asyncio.run(run.all(idle_seconds, probes, steps))


def _trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority.certificate)


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.agents", description=__doc__)
    parser.add_argument("--agents", type=int, default=1000, help="simulated agents (default: 1000)")
    parser.add_argument("--idle-seconds", type=float, default=30.0, help="how long they only beat (default: 30)")
    parser.add_argument("--steps", type=int, default=5000, help="steps at once (default: 5000)")
    options = parser.parse_args()
    for name, value in measure(options.agents, options.idle_seconds, steps=options.steps).items():
        print(f"{name:36}{value:12.4g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
