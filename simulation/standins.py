"""What the product's modules get in place of threads, clocks, sleep, chance and new ids while they are simulated.

The product's code runs as it is: only the names `threading`, `time`, `queue`, `uuid`, `secrets`, `random` and
`ThreadPoolExecutor` in its modules stand for these for as long as `installed()` lasts.
"""

from __future__ import annotations

import concurrent.futures
import queue
import random
import secrets
import socket
import sys
import threading
import time
import types
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from simulation.hub import Hub, Process, Task

START = 1_780_000_000.0
"""The wall clock's seconds since 1970 when a history begins."""


class _Current:
    hub: Hub | None = None


def hub() -> Hub:
    """The machine room of the history that runs now."""
    if _Current.hub is None:
        raise RuntimeError("No history runs now.")
    return _Current.hub


def use(machine_room: Hub | None) -> None:
    """Make this the machine room of the stand-ins."""
    _Current.hub = machine_room


class _Waiters:
    """Who waits for one thing, in the order in which they came."""

    def __init__(self) -> None:
        self.wakes: list[Callable[[Any], None]] = []

    def wait(self, timeout_seconds: float | None) -> bool:
        return bool(hub().wait(timeout_seconds, self.wakes.append))

    def wake(self) -> None:
        wakes, self.wakes = self.wakes, []
        for wake in wakes:
            wake(True)


class Lock:
    """threading.Lock and RLock."""

    def __init__(self, again: bool = False) -> None:
        self._again = again
        self._owner: Task | None = None
        self._depth = 0
        self._waiters = _Waiters()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it, in turn."""
        room = hub()
        me = room.current
        if self._owner is not None and self._again and self._owner is me:
            self._depth += 1
            return True
        deadline = room.now + timeout if timeout >= 0 else None
        while self._depth:
            room.check_alive()
            if not blocking or (deadline is not None and room.now >= deadline):
                return False
            self._waiters.wait(None if deadline is None else deadline - room.now)
        self._owner, self._depth = me, 1
        return True

    def release(self) -> None:
        """Give it back."""
        self._depth -= 1
        if self._depth <= 0:
            self._owner, self._depth = None, 0
            self._waiters.wake()

    def locked(self) -> bool:
        """Whether anybody has it."""
        return self._depth > 0

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Condition:
    """threading.Condition."""

    def __init__(self, lock: Lock | None = None) -> None:
        self._lock = lock or Lock(again=True)
        self._waiters = _Waiters()
        self.acquire, self.release = self._lock.acquire, self._lock.release

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Give the lock back until somebody notifies."""
        self._lock.release()
        told = self._waiters.wait(timeout)
        self._lock.acquire()
        return told

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """Wait until it is so."""
        room = hub()
        deadline = None if timeout is None else room.now + timeout
        result = predicate()
        while not result:
            if deadline is not None and room.now >= deadline:
                break
            self.wait(None if deadline is None else deadline - room.now)
            result = predicate()
        return result

    def notify(self, n: int = 1) -> None:
        """Wake them; who is woken in vain waits again."""
        self._waiters.wake()

    def notify_all(self) -> None:
        """Wake all."""
        self._waiters.wake()


class Event:
    """threading.Event."""

    def __init__(self) -> None:
        self._set = False
        self._waiters = _Waiters()

    def is_set(self) -> bool:
        """Whether it was set."""
        return self._set

    def set(self) -> None:
        """Set it, and wake who waits."""
        self._set = True
        self._waiters.wake()

    def clear(self) -> None:
        """Take it back."""
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set."""
        room = hub()
        room.check_alive()
        deadline = None if timeout is None else room.now + timeout
        while not self._set and (deadline is None or room.now < deadline):
            self._waiters.wait(None if deadline is None else deadline - room.now)
        return self._set


class Thread:
    """threading.Thread, of the process that starts it."""

    def __init__(
        self,
        group: None = None,
        target: Callable[..., Any] | None = None,
        name: str | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        self.name = name or "thread"
        self.daemon = daemon
        self._target, self._args, self._kwargs = target, args, kwargs or {}
        self._ended = Event()
        self._started = False

    def run(self) -> None:
        """What it does."""
        if self._target is not None:
            self._target(*self._args, **self._kwargs)

    def start(self) -> None:
        """Begin."""
        self._started = True
        hub().process().spawn(self._all, self.name)

    def _all(self) -> None:
        try:
            self.run()
        finally:
            self._ended.set()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended."""
        if self._started:
            self._ended.wait(timeout)

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._started and not self._ended.is_set()


class Local:
    """threading.local: attributes of each task of its own."""

    def __init__(self) -> None:
        object.__setattr__(self, "_of", {})

    def __getattr__(self, name: str) -> Any:
        try:
            return self._of[hub().current][name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self._of.setdefault(hub().current, {})[name] = value


class SimpleQueue:
    """queue.SimpleQueue and queue.Queue without a bound."""

    def __init__(self, maxsize: int = 0) -> None:
        self._items: list[Any] = []
        self._waiters = _Waiters()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Add one."""
        self._items.append(item)
        self._waiters.wake()

    put_nowait = put

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the oldest. Raises queue.Empty when the time is out."""
        room = hub()
        deadline = None if timeout is None else room.now + timeout
        while not self._items:
            room.check_alive()
            if not block or (deadline is not None and room.now >= deadline):
                raise queue.Empty
            self._waiters.wait(None if deadline is None else deadline - room.now)
        return self._items.pop(0)

    def get_nowait(self) -> Any:
        """Take the oldest, or raise queue.Empty."""
        return self.get(block=False)

    def qsize(self) -> int:
        """How many there are."""
        return len(self._items)

    def empty(self) -> bool:
        """Whether there is none."""
        return not self._items


class ThreadPoolExecutor:
    """concurrent.futures.ThreadPoolExecutor: tasks of the process, no more at once than it has threads."""

    def __init__(self, max_workers: int | None = None, thread_name_prefix: str = "pool", **_: Any) -> None:
        self._most = max_workers or 8
        self._name = thread_name_prefix
        self._running = 0
        self._waiting: list[Callable[[], None]] = []

    def submit(self, act: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Have it done by one of the threads."""
        future = Future()

        def work() -> None:
            try:
                future.set_result(act(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 - as the real one, it keeps whatever was raised
                future.set_exception(error)
            finally:
                self._running -= 1
                self._next()

        self._waiting.append(work)
        self._next()
        return future

    def _next(self) -> None:
        while self._waiting and self._running < self._most and hub().process().alive:
            self._running += 1
            hub().process().spawn(self._waiting.pop(0), self._name)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more."""
        if cancel_futures:
            self._waiting.clear()


class Future:
    """concurrent.futures.Future."""

    def __init__(self) -> None:
        self._ended = Event()
        self._result: Any = None
        self._error: BaseException | None = None
        self._then: list[Callable[[Future], Any]] = []

    def set_result(self, result: Any) -> None:
        """It has ended with this."""
        self._result = result
        self._end()

    def set_exception(self, error: BaseException | None) -> None:
        """It has ended in an error."""
        self._error = error
        self._end()

    def _end(self) -> None:
        self._ended.set()
        for then in self._then:
            then(self)

    def done(self) -> bool:
        """Whether it has ended."""
        return self._ended.is_set()

    def result(self, timeout: float | None = None) -> Any:
        """What it has ended with. Raises its error, or TimeoutError."""
        if not self._ended.wait(timeout):
            raise TimeoutError
        if self._error is not None:
            raise self._error
        return self._result

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The error it has ended in."""
        self._ended.wait(timeout)
        return self._error

    def add_done_callback(self, then: Callable[[Future], Any]) -> None:
        """Call this at its end."""
        if self.done():
            then(self)
        else:
            self._then.append(then)


def wall_seconds(process: Process) -> float:
    """What the clock of the process's machine shows, in seconds since 1970."""
    return START + process.hub.now + process.wall_offset_seconds


def new_uuid() -> uuid.UUID:
    """A random UUID of the history's own chance."""
    return uuid.UUID(int=hub().chance.getrandbits(128), version=4)


def _time() -> float:
    return wall_seconds(hub().process())


def _monotonic() -> float:
    return 1_000.0 + hub().now


def _sleep(seconds: float) -> None:
    hub().sleep(seconds)


def _random(seed: Any = None) -> random.Random:
    return random.Random(hub().chance.getrandbits(64) if seed is None else seed)


def _in_place_of(module: types.ModuleType, **changed: Any) -> Any:
    copy = types.ModuleType(module.__name__)
    copy.__dict__.update(module.__dict__)
    copy.__dict__.update(changed)
    return copy


_threading = _in_place_of(
    threading,
    Lock=Lock,
    RLock=lambda: Lock(again=True),
    Condition=Condition,
    Event=Event,
    Thread=Thread,
    local=Local,
    current_thread=lambda: hub().current,
    get_ident=lambda: id(hub().current),
)
_time_module = _in_place_of(
    time,
    time=_time,
    time_ns=lambda: int(_time() * 1e9),
    monotonic=_monotonic,
    monotonic_ns=lambda: int(_monotonic() * 1e9),
    perf_counter=_monotonic,
    sleep=_sleep,
)
_random_module = _in_place_of(
    random,
    Random=_random,
    SystemRandom=_random,
    random=lambda: hub().chance.random(),
    uniform=lambda a, b: hub().chance.uniform(a, b),
    shuffle=lambda items: hub().chance.shuffle(items),
    choice=lambda items: hub().chance.choice(items),
    randrange=lambda *a: hub().chance.randrange(*a),
)
_secrets = _in_place_of(
    secrets,
    token_urlsafe=lambda size=32: f"{hub().chance.getrandbits(8 * size):x}",
    token_hex=lambda size=32: f"{hub().chance.getrandbits(8 * size):0{2 * size}x}",
    token_bytes=lambda size=32: hub().chance.getrandbits(8 * size).to_bytes(size, "big"),
)
_MODULES: tuple[tuple[Any, Any], ...] = (
    (threading, _threading),
    (time, _time_module),
    (queue, _in_place_of(queue, SimpleQueue=SimpleQueue, Queue=SimpleQueue)),
    (uuid, _in_place_of(uuid, uuid4=new_uuid)),
    (secrets, _secrets),
    (random, _random_module),
    (socket, _in_place_of(socket, gethostname=lambda: hub().process().name)),
    (
        concurrent.futures,
        _in_place_of(concurrent.futures, ThreadPoolExecutor=ThreadPoolExecutor, Future=Future),
    ),
    (concurrent.futures.ThreadPoolExecutor, ThreadPoolExecutor),
    (concurrent.futures.Future, Future),
)
_BY_ID = {id(real): standin for real, standin in _MODULES}


@contextmanager
def installed(package: str = "polyvisor") -> Iterator[None]:
    """Put the stand-ins into every loaded module of a package, and take them out at the end."""
    changed: list[tuple[dict[str, Any], str, Any]] = []
    for module_name in sorted(sys.modules):
        module = sys.modules[module_name]
        if module is None or not (module_name == package or module_name.startswith(package + ".")):
            continue
        for name, value in list(vars(module).items()):
            standin = _BY_ID.get(id(value))
            if standin is not None:
                changed.append((vars(module), name, value))
                vars(module)[name] = standin
    told = structlog.get_config()
    structlog.configure(processors=[_silent])
    try:
        yield
    finally:
        structlog.configure(**told)
        for names, name, value in changed:
            names[name] = value


def _silent(_logger: Any, _method: str, _event: Any) -> Any:
    """The API's access log is no part of a history."""
    raise structlog.DropEvent
