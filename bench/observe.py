"""What metrics cost: two clouds side by side, one that counts and one that does not, asked in turns.

`python -m bench.observe` prints, for requests and for whole servers, the CPU time of each cloud and the medians' ratio.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from bench.compute import Bench
from bench.own import Own, own_cloud
from bench.processes import cpu_seconds

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
    options = parser.parse_args(arguments)
    with own_cloud(8, WITHOUT) as plain, own_cloud(8, WITH) as counting:
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


if __name__ == "__main__":
    sys.exit(main())
