"""Runs the unmodified `openstack` client: each command in a fork of one process that has loaded it.

Python needs two seconds to load the client and its plugins, which thirty commands would pay thirty times.
"""

import contextlib
import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 180


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def decoded(self) -> Any:
        """Its JSON. Some commands print their progress before it, on the same stream."""
        start = min((at for mark in "{[" if (at := self.stdout.find(mark)) >= 0), default=0)
        return json.loads(self.stdout[start:])


class Shell:
    """A loaded client, started at its first command."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, words: list[str], environment: dict[str, str]) -> Answer:
        """Run `openstack WORDS`."""
        process = self._loaded()
        assert process.stdin is not None
        assert process.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            order = {"words": words, "environment": environment, "out": str(out), "err": str(err)}
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
            status = process.stdout.readline()
            assert status, "the process that runs the client has ended"
            return Answer(int(status), out.read_text(errors="replace"), err.read_text(errors="replace"))

    def close(self) -> None:
        """End the process, and the command that it may be at."""
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            self._process.stdout.close()
            self._process = None

    def _loaded(self) -> subprocess.Popen[str]:
        if self._process is None:
            kept = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
            # A group of its own: Ctrl-C is for whoever started this, and close() ends all of the group.
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=kept,
                process_group=0,
            )  # fmt: skip
        return self._process


def _load() -> Any:
    for package in ("common", "compute.v2", "identity.v3", "image.v2", "network.v2"):
        folder = importlib.import_module(f"openstackclient.{package}")
        for module in pkgutil.iter_modules(folder.__path__):
            importlib.import_module(f"openstackclient.{package}.{module.name}")
    importlib.import_module("openstack.connection")
    return importlib.import_module("openstackclient.shell")


def _serve() -> None:
    client = _load()
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(client, order)
        _, ended = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(ended), flush=True)


def _become(client: Any, order: dict[str, Any]) -> None:
    """Be the command, and end with its status."""
    signal.alarm(TIMEOUT_SECONDS)
    for number, path in ((1, order["out"]), (2, order["err"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(order["environment"])
    status = 1
    try:
        status = client.main(order["words"])
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _serve()
