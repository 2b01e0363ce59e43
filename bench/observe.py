"""What metrics cost: the CPU time of counting itself, and two clouds side by side, of which one counts nothing.

`python -m bench.observe` prints both. Two equal clouds differ too: `--same` shows by how much on this machine.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import msgspec
from prometheus_client import CollectorRegistry

from bench.compute import Bench
from bench.own import Own, own_cloud
from bench.processes import cpu_seconds
from polyvisor.api.kit.log import Access
from polyvisor.model.operation import Entry, Operation, OperationState
from polyvisor.observe.requests import Requests
from polyvisor.observe.telemetry import Telemetry
from polyvisor.operate.watch import UNWATCHED, Watch, running, tell

WITHOUT = '[metrics]\nlisten = "none"\n'
WITH = '[metrics]\nlisten = "127.0.0.1:0"\n'
CLIENTS = 8


class Side:
    """One of the two clouds."""

    def __init__(self, own: Own) -> None:
        self._pid = own.process.pid
        self.bench = Bench(own.cloud, [self._pid], CLIENTS)
        self.bench.cloud.log_in()
        self.bench.prepare()
        self.server = self.bench.boot("shown")

    def requests(self, count: int) -> tuple[float, float]:
        """Show one server so many times: requests a second, and CPU seconds a request."""
        show = lambda _: self.bench.cloud.call("compute", "GET", f"/servers/{self.server}")  # noqa: E731
        return self._measured(count, lambda pool: list(pool.map(show, range(count))))

    def servers(self, count: int) -> tuple[float, float]:
        """Boot so many servers and delete them: servers a second, and CPU seconds a server."""
        return self._measured(count, lambda _pool: self._live_and_die(count))

    def _live_and_die(self, count: int) -> None:
        self.bench.boot_many(count, name="counted")
        self.bench.delete_all()

    def _measured(self, count: int, act: Callable[[ThreadPoolExecutor], object]) -> tuple[float, float]:
        cpu, began = cpu_seconds([self._pid]), time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            act(pool)
        return count / (time.perf_counter() - began), (cpu_seconds([self._pid]) - cpu) / count


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.observe", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="how often each is asked (default: 9)")
    parser.add_argument("--requests", type=int, default=1000, help="requests a round (default: 1000)")
    parser.add_argument("--servers", type=int, default=50, help="servers a round (default: 50)")
    parser.add_argument("--same", action="store_true", help="compare two clouds that both count nothing")
    parser.add_argument("--alone", action="store_true", help="only the CPU time of counting itself")
    options = parser.parse_args(arguments)
    _alone()
    if options.alone:
        return 0
    with own_cloud(8, WITHOUT) as plain, own_cloud(8, WITHOUT if options.same else WITH) as counting:
        sides = Side(plain), Side(counting)
        for side in sides:  # what is compiled and cached at the first use is no part of it
            side.requests(options.requests)
            side.servers(options.servers)
        print(f"{'':12}{'':16}{'without':>12}{'with':>12}{'with/without':>14}")
        _compare("requests", sides, options.rounds, lambda side: side.requests(options.requests))
        _compare("servers", sides, options.rounds, lambda side: side.servers(options.servers))
    return 0


def _compare(what: str, sides: tuple[Side, Side], rounds: int, measure: Callable[[Side], tuple[float, float]]) -> None:
    taken = [[measure(side) for side in (sides if turn % 2 else sides[::-1])] for turn in range(rounds)]
    pairs = [pair if turn % 2 else pair[::-1] for turn, pair in enumerate(taken)]
    for index, label in enumerate(("per second", "CPU ms each")):
        scale = 1000 if index else 1
        without, with_it = (statistics.median(pair[side][index] * scale for pair in pairs) for side in (0, 1))
        ratio = statistics.median(pair[1][index] / pair[0][index] for pair in pairs)
        print(f"{what:12}{label:16}{without:12.3f}{with_it:12.3f}{ratio:14.3f}")


def _alone() -> None:
    """CPU time of what is counted for one request, one run of a step, and the end of an operation of five steps."""
    now = datetime.now(UTC)
    begun = Operation(
        id="o", kind="server.create", target_id="s", project_id="p", user_id="u", request_id="r", args={},
        state=OperationState.RUNNING, step=0, place="estate", due_at=now, created_at=now, updated_at=now,
    )  # fmt: skip
    entry = Entry(step="make", outcome="done", started_at=now, finished_at=now)
    done = msgspec.structs.replace(begun, state=OperationState.DONE, journal=(entry,) * 5)
    access = Access(
        request_id="r", global_request_id=None, method="GET", path="/", status=200, duration_seconds=0.003,
        statements=2, route="GET /servers/{id}", service="compute", user_id=None, project_id=None, version=(2, 1),
    )  # fmt: skip
    counting, requests = Telemetry(CollectorRegistry(), None), Requests(CollectorRegistry())

    def step(watch: Watch) -> None:
        with running(watch, begun, "make", undo=False):
            pass

    print(f"a request: {_microseconds(lambda: requests(access)):.1f} µs of CPU")
    run = _microseconds(lambda: step(counting)) - _microseconds(lambda: step(UNWATCHED))
    print(f"a run of a step: {run:.1f} µs")
    end = _microseconds(lambda: tell(counting, [(begun, done)])) - _microseconds(
        lambda: tell(UNWATCHED, [(begun, done)])
    )
    print(f"the end of an operation of five steps: {end:.1f} µs")


def _microseconds(act: Callable[[], object], times: int = 20_000) -> float:
    """CPU time of one, the best of five."""
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for _ in range(times):
            act()
        best = min(best, time.process_time() - began)
    return best / times * 1e6


if __name__ == "__main__":
    sys.exit(main())
