"""Faults for whole processes: killed, stopped and started again, with a clock that jumps, on a disk that is full."""

import contextlib
import hashlib
import os
import shutil
import signal
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from testbed import owned
from testbed.process import stopped, wait_for

STOP_TIMEOUT_SECONDS = 180.0
CLOCK_SOURCE = Path(__file__).with_name("clock") / "shifted.c"
CACHE = Path(__file__).resolve().parent.parent / ".cache" / "testbed"
_DISK_PREFIX = "pv-disk-"


class Program:
    """A program under a name, started as often as it is killed, always with the same command line and log."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        """`environment` is added to this process's own; `folder` is where it runs."""
        self.name, self.log = name, log
        self._command = [str(word) for word in command]
        self._environment = {**os.environ, **(environment or {})}
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.paused = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start it where it does not run. It is not asked whether it came up."""
        if self.pid is None:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("ab") as log:
                # A group of its own: Ctrl-C reaches the one who started it, and it through him.
                self._process = subprocess.Popen(
                    self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0,
                    env=self._environment, cwd=self._folder,
                )  # fmt: skip
            self.paused = False

    def kill(self) -> None:
        """End it by SIGKILL, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_SECONDS)
            self.paused = False

    def terminate(self) -> int:
        """Ask it to end by SIGTERM; returns its exit code, negative for the signal that ended it."""
        assert self._process is not None, f"{self.name} was never started"
        self.resume()
        self._process.terminate()
        try:
            return self._process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{self.name} does not end when it is asked to:\n{self.tail()}") from None

    def pause(self) -> None:
        """Stop it in the middle of whatever it does (SIGSTOP), as a machine that hangs does; it stands still then."""
        self._signal(signal.SIGSTOP)
        wait_for(self._stands_still, STOP_TIMEOUT_SECONDS, lambda: f"{self.name} does not stand still")
        self.paused = True

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        if self.pid is not None:
            self._signal(signal.SIGCONT)
        self.paused = False

    def wait_for_words(self, words: str, timeout_seconds: float, since: int = 0) -> str:
        """Wait until its log holds these words after byte `since`; returns what follows them.

        Raises ChildProcessError when it ends before, TimeoutError when it says nothing of the kind.
        """

        def said() -> bool:
            if words in self.logged(since):
                return True
            if self.pid is None:
                raise ChildProcessError(f"{self.name} ended:\n{self.tail()}")
            return False

        wait_for(said, timeout_seconds, lambda: f"{self.name} does not say {words!r}:\n{self.tail()}")
        return self.logged(since).partition(words)[2]

    def logged(self, since: int = 0) -> str:
        """What it wrote from a byte offset on."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(since)
            return log.read().decode(errors="replace")

    def tail(self) -> str:
        """The end of what it wrote."""
        return self.logged()[-4000:]

    def _stands_still(self) -> bool:
        pid = self.pid
        return pid is None or stopped(pid)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, f"{self.name} was never started"
        self._process.send_signal(number)


class Clock:
    """A wall clock for some processes that jumps when told: give them its `environment`.

    Only CLOCK_REALTIME jumps, as when somebody sets a machine's time: no timeout is cut short or drawn out. (The
    known libfaketime is not used, for its clock_nanosleep refuses what Python's time.sleep asks for.)
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        file.write_bytes(struct.pack("q", 0))
        self.environment = {"LD_PRELOAD": str(_shifted_clock()), "SHIFTED_CLOCK": str(file)}

    def jump(self, seconds: int) -> None:
        """Jump, from where it is now."""
        with self._file.open("r+b", buffering=0) as file:
            (now,) = struct.unpack("q", file.read(8))
            file.seek(0)
            file.write(struct.pack("q", now + seconds))

    def set_right(self) -> None:
        """Jump back to the machine's own time."""
        with self._file.open("r+b", buffering=0) as file:
            file.write(struct.pack("q", 0))


class SmallDisk:
    """A file system of its own, small enough to be filled; it goes with the block. Needs root."""

    def __init__(self, size_mib: int) -> None:
        for directory in owned.leftovers(_DISK_PREFIX):
            _unmount(directory)
        self._directory = owned.make(_DISK_PREFIX)
        self.path = self._directory / "disk"
        self._size_mib = size_mib

    def __enter__(self) -> Self:
        self.path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={self._size_mib}m,mode=0755", "none", str(self.path)]
        subprocess.run(command, check=True, capture_output=True)
        return self

    def __exit__(self, *exception: object) -> None:
        _unmount(self._directory)

    def fill(self) -> None:
        """Leave no byte free."""
        with (self.path / "ballast").open("ab", buffering=0) as ballast, contextlib.suppress(OSError):
            while ballast.write(bytes(65536)) == 65536:
                pass
            while ballast.write(b"\0"):
                pass

    def free(self) -> None:
        """Give back what `fill` took."""
        (self.path / "ballast").unlink(missing_ok=True)


def _unmount(directory: Path) -> None:
    # Lazily: a process that is just being killed may still have a file open there.
    subprocess.run(["umount", "--lazy", str(directory / "disk")], check=False, capture_output=True)
    shutil.rmtree(directory, ignore_errors=True)


def _shifted_clock() -> Path:
    """The library that shifts a clock, compiled once for its present source."""
    digest = hashlib.sha256(CLOCK_SOURCE.read_bytes()).hexdigest()[:16]
    library = CACHE / f"shifted-clock-{digest}.so"
    if not library.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        fresh = library.with_suffix(f".{os.getpid()}")
        command = ["gcc", "-O2", "-shared", "-fPIC", "-o", str(fresh), str(CLOCK_SOURCE)]
        subprocess.run(command, check=True, capture_output=True)
        fresh.rename(library)
    return library
