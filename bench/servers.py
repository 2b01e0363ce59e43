"""Starts `polyvisor serve` as often as it is wanted, on one PostgreSQL, for a measurement."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.client import Cloud, from_clouds_yaml
from testbed.postgres import TestPostgres

START_SECONDS = 120.0


class Servers:
    """Servers that share a database and a folder of images."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder, self.database = folder, database
        self.processes: list[subprocess.Popen[str]] = []
        self.urls: list[str] = []
        """Of their APIs."""
        self.agent_urls: list[str] = []
        (folder / "polyvisor.toml").write_text(
            f'database = "{database}"\n[image]\ndirectory = "{folder / "images"}"\n[metrics]\nlisten = "none"\n',
            encoding="utf-8",
        )

    @property
    def pids(self) -> list[int]:
        """Of the servers."""
        return [process.pid for process in self.processes]

    def start(self) -> None:
        """One more."""
        name = f"server{len(self.processes)}"
        command = [
            sys.executable, "-m", "polyvisor", "serve", "--config", str(self.folder / "polyvisor.toml"),
            "--data", str(self.folder / name), "--name", name, "--listen", "127.0.0.1:0",
            "--agents-listen", "127.0.0.1:0", "--log-level", "warning",
        ]  # fmt: skip
        out = self.folder / f"{name}.out"
        with out.open("w") as stdout, (self.folder / f"{name}.log").open("w") as stderr:
            process = subprocess.Popen(command, stdout=stdout, stderr=stderr, text=True)
        self.processes.append(process)
        deadline = time.monotonic() + START_SECONDS
        while "Metrics:" not in out.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"a server did not start: {(self.folder / f'{name}.log').read_text()[-2000:]}")
            time.sleep(0.05)
        lines = dict(line.partition(": ")[::2] for line in out.read_text().splitlines() if ": " in line)
        self.urls.append(out.read_text().partition("serves at ")[2].partition("\n")[0])
        self.agent_urls.append(lines["Agents"])

    def cloud(self, number: int = 0) -> Cloud:
        """As its administrator, by one of the servers."""
        [passwords] = self.folder.glob("server*/clouds.yaml")
        cloud = from_clouds_yaml(passwords, "polyvisor-admin")
        cloud.log_in()
        first, wanted = cloud.auth_url.partition("/identity")[0], self.urls[number]
        cloud.endpoints = {kind: url.replace(first, wanted) for kind, url in cloud.endpoints.items()}
        return cloud

    def stop(self) -> None:
        """All of them."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(60)


@contextmanager
def servers(folder: Path, count: int) -> Iterator[Servers]:
    """So many, on a PostgreSQL of their own; stopped after the block."""
    with ExitStack() as stack:
        database = stack.enter_context(stack.enter_context(TestPostgres()).database())
        made = Servers(folder, database)
        stack.callback(made.stop)
        for _ in range(count):
            made.start()
        yield made
