"""Runs `polyvisor up` on the test beds, as a person would: with a configuration file and a data directory."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from demo.beds import Beds
from demo.terminal import DemoFailed, Terminal

START_TIMEOUT_SECONDS = 180
STOP_TIMEOUT_SECONDS = 180


class Cloud:
    """The running program; leaving it stops the program and keeps its log from the one who has no use for it."""

    def __init__(self, terminal: Terminal, folder: Path, beds: Beds) -> None:
        self._terminal = terminal
        self._data = folder / "cloud"
        self._configuration = folder / "polyvisor.toml"
        self._configuration.write_text(beds.configuration())
        self._log = folder / "polyvisor.log"
        self._beds = beds
        self._process: subprocess.Popen[bytes] | None = None
        self.clouds_file = self._data / "clouds.yaml"

    def __enter__(self) -> Self:
        command = self._command()
        self._terminal.say(
            "The cloud: one process on SQLite, with these two hypervisors in its configuration.",
            self._configuration.read_text(),
            f"$ {' '.join(command)} &",
        )
        with self._log.open("wb") as log:
            # Its own process group, so that Ctrl-C reaches the demo first, and the cloud through it.
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0)
        try:
            self._wait_until_up(self._process)
        except BaseException:
            self._stop()
            raise
        self._terminal.say("From here on the `openstack` client speaks: unmodified, loaded once, forked per command.")
        self._terminal.export(
            OS_CLIENT_CONFIG_FILE=str(self.clouds_file), OS_CLOUD="polyvisor", OS_COMPUTE_API_VERSION="2.74"
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        status = self._stop()
        if kind is not None and issubclass(kind, DemoFailed):
            self._terminal.say("The end of the cloud's log:", *self._tail())
        elif kind is None and status != 0:
            raise DemoFailed(f"polyvisor ended with status {status} when it was asked to stop: {self._tail()}")

    def _command(self) -> list[str]:
        program = str(Path(sys.executable).parent / "polyvisor")
        arguments = [program, "up", "--data", str(self._data), "--config", str(self._configuration), "--listen"]
        if self._beds.ground is None:
            return [*arguments, "127.0.0.1:0"]
        machine = self._beds.ground.machine
        return machine.command(*arguments, f"{machine.address}:0")

    def _wait_until_up(self, process: subprocess.Popen[bytes]) -> None:
        start = time.monotonic()
        while "Polyvisor is up at" not in self._log.read_text():
            if process.poll() is not None or time.monotonic() - start > START_TIMEOUT_SECONDS:
                raise DemoFailed("`polyvisor up` did not come up: " + "\n".join(self._tail()))
            time.sleep(0.05)
        told = [line for line in self._log.read_text().splitlines() if line.startswith("Networks: ")]
        self._terminal.say(f"It is up after {time.monotonic() - start:.1f} s.", *told)
        if self._beds.ground and "Networks: OVN, started by polyvisor" not in told[0]:
            raise DemoFailed("`polyvisor up` has not started OVN")

    def _tail(self) -> list[str]:
        return self._log.read_text(errors="replace").splitlines()[-30:]

    def _stop(self) -> int:
        if self._process is None:
            return 0
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGINT)
        try:
            return self._process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
