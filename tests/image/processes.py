"""Child processes that image tests kill, starve or watch."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def wait_until(condition: Callable[[], bool], seconds: float = 180) -> None:
    """Wait for a condition; fails the test when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{condition} did not come true within {seconds} s"
        time.sleep(0.01)


@contextlib.contextmanager
def child(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Python code in a process of its own, with `arguments` in sys.argv[1:]; killed at the end at the latest."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
    )
    try:
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen[str]) -> None:
    """kill -9, and wait for the end."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()


def working_in(folder: Path) -> list[int]:
    """The processes that have a file in this folder open, this one excepted."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if any(str(link.readlink()).startswith(f"{folder}/") for link in (entry / "fd").iterdir()):
                    found.append(int(entry.name))
    return found


def on_a_small_disk(code: str, folder: Path, size_kib: int, *arguments: object) -> dict[str, object]:
    """Run Python code with a file system of its own of this size mounted on `folder`, which vanishes with the process.
    Returns the JSON object that the code prints."""
    script = f'mount -t tmpfs -o size={size_kib}k none "$1" && shift && exec "$@"'
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    done = subprocess.run(
        [
            *unshare,
            "sh",
            "-c",
            script,
            "sh",
            str(folder),
            sys.executable,
            "-c",
            code,
            str(folder),
            *map(str, arguments),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert isinstance(told, dict)
    return told
