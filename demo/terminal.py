"""A terminal that somebody types into: shows each command, what it answers and how long it took."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from testbed.openstack_client import Shell

COMMAND_TIMEOUT_SECONDS = 30
"""For all but `openstack`, which has its own."""
STOPPED = 124
"""The status of a command that took longer, as timeout(1) has it."""
LOOK_SECONDS = 0.5
ADMIN = "--os-cloud polyvisor-admin"
"""Typed by the administrator; without it by a member of the project."""


class DemoFailed(Exception):
    """What the demonstration promises did not come true; the message says what."""


class Terminal:
    """Types commands with the environment's programs first on PATH; colours only where somebody looks.

    The client of `openstack` commands is loaded once, for that alone takes Python some two seconds.
    """

    def __init__(self) -> None:
        # A cloud of the person's own is none of our business.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        own = {"PATH": f"{Path(sys.executable).parent}:{kept['PATH']}", "COLUMNS": "160"}
        # The cloud is on this machine, where no proxy reaches it.
        self._environment = {**kept, **own, "no_proxy": "*", "NO_PROXY": "*"}
        self._colors = sys.stdout.isatty()
        self._start = time.monotonic()
        self._answers: dict[str, Any] = {}
        self._client = Shell()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.close()

    def export(self, **variables: str) -> None:
        """Set variables for the commands that follow, and show it."""
        self._environment.update(variables)
        self._print("$ export " + shlex.join(f"{name}={value}" for name, value in variables.items()), bold=True)

    def say(self, *lines: str) -> None:
        """Tell what comes."""
        self._print(f"\n[{time.monotonic() - self._start:5.1f} s] " + "\n".join(lines))

    def fail(self, why: str) -> None:
        """Tell what went wrong."""
        self._print(f"\nFAILED: {why}", bold=True)

    def type(self, command: str) -> str:
        """Type a command and show its answer. Raises DemoFailed when the command fails."""
        self._print(f"$ {command}", bold=True)
        start = time.monotonic()
        done = self._run(command)
        self._print(f"{done.stdout}{done.stderr}".rstrip("\n"))
        if done.returncode:
            raise DemoFailed(f"`{command}` ended with status {done.returncode}")
        self._print(f"  ({time.monotonic() - start:.1f} s)")
        return done.stdout

    def type_in_vain(self, command: str, why: str, timeout_seconds: float) -> None:
        """Type a command again and again until it fails as it should, and show that. Raises DemoFailed.

        `why`: what it then says on standard error.
        """
        start = time.monotonic()
        self._print(f"$ {command}", bold=True)
        while not (done := self._run(command)).returncode or why not in done.stderr:
            if time.monotonic() - start > timeout_seconds:
                raise DemoFailed(f"`{command}` ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
        self._print(f"{done.stderr.rstrip()}\n  (status {done.returncode} after {time.monotonic() - start:.1f} s)")

    def ask(self, command: str) -> Any:
        """What an openstack command answers, decoded, without showing it. Raises DemoFailed."""
        done = self._run(f"{command} -f json")
        if done.returncode:
            raise DemoFailed(f"`{command}` ended with status {done.returncode}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def once(self, command: str) -> Any:
        """The same, of what does not change any more: asked the first time alone."""
        if command not in self._answers:
            self._answers[command] = self.ask(command)
        return self._answers[command]

    def type_until(self, command: str, true: Callable[[str], bool], timeout_seconds: float) -> str:
        """Type a command again and again until its answer is as wanted; show it once. Raises DemoFailed."""
        start = time.monotonic()
        self._print(f"$ {command}", bold=True)
        while not true((done := self._run(command)).stdout):
            if time.monotonic() - start > timeout_seconds:
                raise DemoFailed(f"`{command}` still answers:\n{done.stdout}{done.stderr}")
            time.sleep(LOOK_SECONDS)  # guests that boot need the processors, too
        self._print(f"{done.stdout}  (so after {time.monotonic() - start:.1f} s)")
        return done.stdout

    def _run(self, command: str) -> subprocess.CompletedProcess[str]:
        words = shlex.split(command)
        if words[0] == "openstack":
            answer = self._client.run(words[1:], self._environment)
            return subprocess.CompletedProcess(words, answer.status, answer.stdout, answer.stderr)
        try:
            return subprocess.run(
                words,
                check=False,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=COMMAND_TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            # Such as an ssh whose connection was made just before the switch began to drop its packets.
            ended = f"ended after {COMMAND_TIMEOUT_SECONDS} s without an answer"
            return subprocess.CompletedProcess(words, STOPPED, "", ended)

    def _print(self, text: str, *, bold: bool = False) -> None:
        print(f"\033[1m{text}\033[0m" if bold and self._colors else text, flush=True)
