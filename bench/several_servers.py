"""Servers ACTIVE a second on PostgreSQL, with one API process, two and four."""

import argparse
import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.compute import Bench
from bench.servers import Servers, servers

AGENTS = 2


class Spread(Bench):
    """As Bench, each request for a server to the next of several API processes."""

    def __init__(self, own: Servers, concurrency: int) -> None:
        self._clouds = [own.cloud(number) for number in range(len(own.urls))]
        self._next = itertools.count()
        super().__init__(self._clouds[0], own.pids, concurrency)

    def boot(self, name: str) -> str:
        """Ask for one server; returns its id."""
        cloud = self._clouds[next(self._next) % len(self._clouds)]
        body = {"name": name, "flavorRef": self.flavor, "imageRef": self.image, "networks": "none"}
        return str(cloud.call("compute", "POST", "/servers", {"server": body})["server"]["id"])


def measure(counts: tuple[int, ...] = (1, 2, 4), count: int = 200, concurrency: int = 16) -> dict[str, float]:
    """The figures by name, for each number of API processes; the same agents serve simulated hosts each time."""
    figures: dict[str, float] = {}
    for number in counts:
        with tempfile.TemporaryDirectory(prefix="polyvisor-bench-") as name, servers(Path(name), number) as own:
            agents = [_agent(own, f"agent{each}") for each in range(AGENTS)]
            try:
                bench = Spread(own, concurrency)
                bench._until(lambda bench=bench: _hosts(bench) == 8 * AGENTS, 0.2)  # type: ignore[misc]
                bench.prepare()
                bench.boot_many(20, name="warm")
                bench.boot_many(count)
                for what in ("accepted_per_second", "active_per_second", "cpu_seconds_per_server"):
                    figures[f"{what}_by_{number}"] = bench.figures[what]
            finally:
                for agent in agents:
                    agent.terminate()
                for agent in agents:
                    agent.wait(60)
    return figures


def _hosts(bench: Bench) -> int:
    return len(bench.cloud.call("compute", "GET", "/os-hypervisors")["hypervisors"])


def _agent(own: Servers, name: str) -> subprocess.Popen[str]:
    """A real agent with eight simulated hosts, joined by a token as any is."""
    program = [sys.executable, "-m", "polyvisor"]
    config, data = own.folder / f"{name}.toml", own.folder / name
    config.write_text(
        f'[[hypervisor]]\nname = "{name}"\ndriver = "simulated"\nhosts = 8\n[metrics]\nlisten = "none"\n',
        encoding="utf-8",
    )
    token = subprocess.run(
        [*program, "token", "--database", own.database, "create"], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    join = [*program, "agent", "join", own.agent_urls[0], "-", "--data", str(data), "--name", name]
    subprocess.run([*join, "--config", str(config)], input=token, text=True, check=True, capture_output=True)
    return subprocess.Popen(
        [*program, "agent", "run", "--data", str(data)], text=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.several_servers", description=__doc__)
    parser.add_argument("--servers", type=int, default=200, help="servers booted at once (default: 200)")
    parser.add_argument("--concurrency", type=int, default=16, help="clients at once (default: 16)")
    options = parser.parse_args()
    for name, value in measure(count=options.servers, concurrency=options.concurrency).items():
        print(f"{name:36}{value:12.4g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
