"""A lock on a datastore, between agents that know nothing of each other: making a folder succeeds for one of them only.

The holder writes a growing number into its folder. Whoever waits watches that number on a clock of its own: when it
stands still, the holder is dead, and the next folder, `lock.N+1`, is made, which again only one succeeds in. It
saves work, no more: what it guards is safe without it.
"""

import contextlib
import contextvars
import json
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.hypervisor.vsphere.files import FileMissing, Files

T = TypeVar("T")
BEAT_SECONDS = 10.0
STALE_SECONDS = 45.0
POLL_SECONDS = 1.0


class DatastoreLock:
    """A lock in a folder of a datastore. `owner` is who may have it but once at a time, in whatever process: a lock
    that it left behind in an earlier life is taken over at once."""

    _held: set[str] = set()  # owner and folder of those that this process holds

    def __init__(self, files: Files, folder: str, owner: str) -> None:
        self._files, self._folder, self._owner = files, folder, owner
        self._number = 0
        self._stop = threading.Event()
        self._beating: threading.Thread | None = None

    def acquire(self, done: Callable[[], T | None], waiting: Callable[[], None]) -> T | None:
        """Wait for the lock; None once it is held. When `done()` has a result first, that, without the lock.
        `waiting` is called meanwhile, and may raise."""
        seen: tuple[int, str] = (0, "")
        since = time.monotonic()
        while (result := done()) is None:
            number = self._latest()
            beat = (number, self._beat_of(number)) if number else (0, "")
            if beat != seen:
                seen, since = beat, time.monotonic()
            stale = time.monotonic() - since > STALE_SECONDS or self._left_behind(beat[1])
            if (number == 0 or stale) and self._files.make_folder(self._path(number + 1)):
                self._take(number + 1)
                return None
            waiting()
            time.sleep(POLL_SECONDS)
        return result

    def _path(self, number: int) -> str:
        return f"{self._folder}/lock.{number}"

    def _latest(self) -> int:
        names = [name for _, name in self._files.search(self._folder, "lock.*")]
        return max((int(name.rpartition(".")[2]) for name in names if name.rpartition(".")[2].isdigit()), default=0)

    def _beat_of(self, number: int) -> str:
        try:
            return self._files.get(f"{self._path(number)}/holder.json").decode(errors="replace")
        except FileMissing:
            return ""

    def _left_behind(self, beat: str) -> bool:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return bool(json.loads(beat)["owner"] == self._owner) and self._key not in self._held
        return False

    @property
    def _key(self) -> str:
        return f"{self._owner} {self._files.store.path(self._folder)}"

    def _take(self, number: int) -> None:
        self._number = number
        self._held.add(self._key)
        self._write(0)
        # In the step's own context: a step that may do no more must not keep its lock alive either.
        beat = contextvars.copy_context()
        self._beating = threading.Thread(target=beat.run, args=(self._beat,), name="datastore-lock", daemon=True)
        self._beating.start()

    def _write(self, count: int) -> None:
        body = json.dumps({"owner": self._owner, "beat": count}).encode()
        self._files.put(f"{self._path(self._number)}/holder.json", body)

    def _beat(self) -> None:
        count = 0
        while not self._stop.wait(BEAT_SECONDS):
            count += 1
            with contextlib.suppress(HypervisorError):  # a beat that is lost is made up by the next
                self._write(count)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of it, if it is held: remove our folder, and those before it."""
        if not self._number:
            return
        self._stop.set()
        if self._beating is not None:
            self._beating.join()
        self._held.discard(self._key)
        with contextlib.suppress(HypervisorError):  # left behind, it grows stale
            for number in range(self._number, 0, -1):
                if not self._files.delete(self._path(number)):
                    break
