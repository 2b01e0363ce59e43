"""Makes a guest in a process that stops itself (SIGSTOP) at a moment that the test chooses, and is woken by the test.

As in an agent, it may act for as long as it holds its place: here, until the file `held` is gone. Moments are the
requests that it sends; it stops right before the bytes go out, when it has just asked whether it may.

The process reads a line of JSON for each call and forks for it: imports, the slow part, are paid once.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import msgspec

from polyvisor.hypervisor.driver import GuestSpec
from polyvisor.hypervisor.permit import Fenced, permitted
from polyvisor.hypervisor.vsphere.driver import VsphereDriver
from polyvisor.hypervisor.vsphere.settings import VsphereSettings
from tests.hypervisor.conformance import CLOUD_ID, Source, no_progress

NEVER = 1 << 30
PLACE = "vc1"


class Ended(msgspec.Struct, frozen=True):
    """How the call ended, after it was woken."""

    moments: int
    """How many requests it has sent."""
    error: str = ""
    notes: dict[str, str] = {}


class StoppingAgent:
    """The process, and one call of it at a time."""

    def __init__(self, folder: Path, recipe: dict[str, Any], image_file: Path) -> None:
        self._recipe, self._image_file = recipe, image_file
        self.held = folder / "held"
        self.notes = folder / "notes.json"
        self._pid = 0
        command = [sys.executable, "-m", "tests.hypervisor.vsphere.stopped_child"]
        root = Path(__file__).parents[3]
        self._process = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def begin(self, host: str, spec: GuestSpec, stop_at: int = NEVER) -> bool:
        """Prepare the image and create the guest, as the place's holder; whether it stopped before it had ended."""
        assert self._process.stdin
        self.held.touch()
        call = {
            "recipe": self._recipe, "image_file": str(self._image_file), "host": host, "held": str(self.held),
            "notes": str(self.notes), "spec": msgspec.to_builtins(spec), "stop_at": stop_at,
        }  # fmt: skip
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        self._pid = int(self._line())
        while (state := _state(self._pid)) not in "TZX":
            time.sleep(0.01)
        return state == "T"

    def lose(self) -> dict[str, str]:
        """The place is another's from now on; returns what was noted under the hold."""
        self.held.unlink()
        found: dict[str, str] = json.loads(self.notes.read_text())
        return found

    def wake(self) -> Ended:
        """Let it go on, to its end."""
        os.kill(self._pid, signal.SIGCONT)
        return self.end()

    def end(self) -> Ended:
        """How it ended."""
        self._pid = 0
        return msgspec.json.decode(self._line(), type=Ended)

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline()


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:  # it may also go between the opening of the file and the reading
        return "X"


def _serve() -> None:
    for line in sys.stdin:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            told = _make(json.loads(line))
            os.write(writing, msgspec.json.encode(told))
            os._exit(0)
        os.close(writing)
        print(pid, flush=True)
        with os.fdopen(reading, "rb") as told_by:
            text = told_by.read().decode()
        os.waitpid(pid, 0)
        print(text or '{"moments": 0, "error": "it was killed"}', flush=True)


def _make(call: dict[str, Any]) -> Ended:
    sent = 0
    stop_at, held = call["stop_at"], Path(call["held"])
    counting = False

    def on_event(event: str, _arguments: tuple[Any, ...]) -> None:
        nonlocal sent
        if event == "http.client.send" and counting:
            sent += 1
            if sent - 1 == stop_at:
                os.kill(os.getpid(), signal.SIGSTOP)

    def ensure_held() -> None:
        if not held.exists():
            raise Fenced("This process does not hold vc1 any more.")

    sys.addaudithook(on_event)
    recipe = dict(call["recipe"])
    state_dir = Path(recipe.pop("state_dir"))
    driver = VsphereDriver(PLACE, VsphereSettings(**recipe), CLOUD_ID, state_dir)
    spec = msgspec.convert(call["spec"], GuestSpec)
    driver.look(spec.server_id)
    Path(call["notes"]).write_text(json.dumps(driver.notes()))
    counting = True
    error = ""
    try:
        with permitted(ensure_held):
            datastore = ""
            if spec.image is not None:
                source = Source(Path(call["image_file"]))
                datastore = driver.prepare_image(call["host"], spec.image, source, no_progress)
            driver.create(call["host"], datastore, spec, source, no_progress)
    except Exception as raised:  # noqa: BLE001 - it is told to the test
        error = f"{type(raised).__name__}: {raised}"
    return Ended(moments=sent, error=error, notes=driver.notes())


if __name__ == "__main__":
    _serve()
