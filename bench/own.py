"""Starts this cloud for a measurement, in a directory of its own, with simulated hosts."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.client import Cloud, from_clouds_yaml

START_SECONDS = 60.0


class Own:
    """A running `polyvisor up --simulated N`."""

    def __init__(self, data: Path, process: subprocess.Popen[str], started: float) -> None:
        self.data, self.process = data, process
        self.started = started
        """When the process was started, by time.perf_counter()."""

    @property
    def cloud(self) -> Cloud:
        """As its administrator."""
        return from_clouds_yaml(self.data / "clouds.yaml", "polyvisor-admin")


@contextmanager
def own_cloud(hosts: int, settings: str = "") -> Iterator[Own]:
    """Up until the block ends; nothing of it stays. `settings`: its polyvisor.toml."""
    data = Path(tempfile.mkdtemp(prefix="polyvisor-bench-"))
    (data / "polyvisor.toml").write_text(settings, encoding="utf-8")
    command = [sys.executable, "-m", "polyvisor", "up", "--data", str(data), "--listen", "127.0.0.1:0"]
    command += ["--simulated", str(hosts), "--log-level", "warning"]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        _wait_until_up(process)
        yield Own(data, process, started)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(data)


def _wait_until_up(process: subprocess.Popen[str]) -> None:
    up = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Polyvisor is up"):
                up.set()

    threading.Thread(target=read, daemon=True).start()
    if not up.wait(START_SECONDS):
        raise RuntimeError("polyvisor did not come up")
