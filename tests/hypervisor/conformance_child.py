"""Calls `prepare_image` and `create` in a process of its own, which is killed (SIGKILL) at a moment that the test
chooses.

Moments are counted by Python's audit events: each file that is opened for writing, renamed or removed, each process and
thread started, each request sent. They come in much the same order each time, so that every one of them can be hit.

The process reads a line of JSON for each call and forks for it: imports, the slow part, are paid once. It itself never
connects to a hypervisor, whose libraries do not survive a fork.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import msgspec

from polyvisor.hypervisor.driver import GuestSpec
from tests.hypervisor.conformance import Bed, Source, bed_class, no_progress

_NEVER = 1 << 30
_EVENTS = frozenset(
    {
        "_thread.start_new_thread",
        "http.client.send",
        "os.chmod",
        "os.link",
        "os.mkdir",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.truncate",
        "sqlite3.connect",
        "subprocess.Popen",
    }
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Outcome(msgspec.Struct, frozen=True):
    """How a call ended."""

    killed: bool
    moments: int
    """How many moments it lived to see."""
    error: str = ""


class Child:
    """A process that makes guests, and dies over it when asked to."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        root = Path(__file__).parents[2]
        command = [sys.executable, "-m", "tests.hypervisor.conformance_child", bed.kind]
        self._process = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)
        assert self._process.stdout
        self._process.stdout.close()

    def make(self, host: str, spec: GuestSpec, die_at: int = _NEVER) -> Outcome:
        """Prepare the image and create the guest; die at the moment with this number, counted from 0."""
        assert self._process.stdin
        assert self._process.stdout
        call = {
            "recipe": self._bed.recipe,
            "image_file": str(self._bed.image_file),
            "host": host,
            "spec": msgspec.to_builtins(spec),
            "die_at": die_at,
        }
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._process.stdout.readline(), type=Outcome)


def _serve(kind: str) -> None:
    bed = bed_class(kind)
    for line in sys.stdin:
        call = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            os._exit(_make(bed, call, writing))
        os.close(writing)
        with os.fdopen(reading, "rb") as told:
            count = told.read()
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status)
        # The child wrote a byte for each moment, and after them what went wrong.
        moments, _, error = count.partition(b"!")
        outcome = Outcome(killed=killed, moments=len(moments), error=error.decode())
        print(msgspec.json.encode(outcome).decode(), flush=True)


def _make(bed: type[Bed], call: dict[str, Any], told: int) -> int:
    left = call["die_at"]

    def on_event(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in _EVENTS or (event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING):
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            os.write(told, b".")

    try:
        driver = bed.connect(call["recipe"])
        spec = msgspec.convert(call["spec"], GuestSpec)
        source = Source(Path(call["image_file"]))
        driver.look(spec.server_id)  # what it finds out of the hypervisor once is not what we count
        sys.addaudithook(on_event)
        datastore = ""
        if spec.image is not None:
            datastore = driver.prepare_image(call["host"], spec.image, source, no_progress)
        driver.create(call["host"], datastore, spec, source, no_progress)
    except Exception as error:  # noqa: BLE001 - it is told to the test
        os.write(told, f"!{type(error).__name__}: {error}".encode())
        return 1
    return 0


if __name__ == "__main__":
    _serve(sys.argv[1])
