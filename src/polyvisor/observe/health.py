"""/healthz and /readyz: whether this process lives, and whether it should be given requests. They hold no secrets."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from typing import Any

import msgspec

from polyvisor.model.record import Record
from polyvisor.observe.aside import begin
from polyvisor.observe.pulse import Pulse

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
_PATHS = frozenset(("/healthz", "/readyz"))


class State(Record):
    """What one check found."""

    name: str
    state: str
    """ "ok" or "failed"."""
    sentence: str
    """What was found, and what to do about it."""


class Check(Record):
    """Something that must hold before requests are sent here."""

    name: str
    ask: Callable[[], str]
    """Returns a sentence when it holds, and raises Unready with one when it does not. May take long."""


class Unready(Exception):
    """A check does not hold; the message is a sentence for the operator."""


class Health:
    """Answers both questions, within bounded time, whatever hangs."""

    def __init__(self, pulses: Sequence[Pulse], checks: Sequence[Check], patience_seconds: float = 3.0) -> None:
        self._pulses, self._checks, self._patience_seconds = tuple(pulses), tuple(checks), patience_seconds
        self._lock = threading.Lock()
        self._asked: dict[str, tuple[Future[str], float]] = {}
        self.draining = False
        """Set when the process is about to stop: a load balancer looks away, what is under way is answered."""

    def alive(self) -> tuple[int, bytes]:
        """Status and body of /healthz."""
        return _answer(self._loops())

    def ready(self) -> tuple[int, bytes]:
        """Status and body of /readyz. May take as long as the patience; call it on a thread."""
        return _answer([*self._loops(), *self._asked_checks(), self._drain()])

    def _loops(self) -> list[State]:
        now = time.monotonic()
        states = []
        for pulse in self._pulses:
            silent = pulse.silent_seconds(now)
            if silent <= pulse.limit_seconds:
                states.append(State(name=pulse.name, state="ok", sentence="It turns."))
            else:
                said = f"It has not turned for {silent:.0f} seconds: {pulse.sentence} Restart this process."
                states.append(State(name=pulse.name, state="failed", sentence=said))
        return states

    def _asked_checks(self) -> list[State]:
        now = time.monotonic()
        with self._lock:
            # All are asked at once, and one that still hangs from the last time is not asked again beside itself.
            for check in self._checks:
                answer, _ = self._asked.get(check.name, (None, 0.0))
                if answer is None or answer.done():
                    self._asked[check.name] = begin(check.ask, f"check-{check.name}"), now
            asked = dict(self._asked)
        return [self._answer_of(check, *asked[check.name], now + self._patience_seconds) for check in self._checks]

    def _answer_of(self, check: Check, answer: Future[str], since: float, deadline: float) -> State:
        try:
            state, sentence = "ok", answer.result(max(0.0, deadline - time.monotonic()))
        except TookTooLong:
            waited = time.monotonic() - since
            return State(name=check.name, state="failed", sentence=f"It has not answered for {waited:.0f} seconds.")
        except Unready as error:
            state, sentence = "failed", str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not ready
            state, sentence = "failed", f"It failed with {type(error).__name__}; the log has the details."
        return State(name=check.name, state=state, sentence=sentence)

    def _drain(self) -> State:
        if self.draining:
            return State(name="draining", state="failed", sentence="This process is about to stop.")
        return State(name="draining", state="ok", sentence="This process takes requests.")


def _answer(states: Sequence[State]) -> tuple[int, bytes]:
    well = all(state.state == "ok" for state in states)
    body = {"status": "ok" if well else "failed", "checks": states}
    return 200 if well else 503, msgspec.json.encode(body)


def with_health(app: App, health: Health) -> App:
    """`app`, with /healthz and /readyz in front of it: a load balancer asks the port that it sends requests to."""

    asked: asyncio.Future[tuple[int, bytes]] | None = None

    async def ready() -> tuple[int, bytes]:
        # Whoever asks while it is being found out is given the same answer: no flood of questions opens more threads.
        nonlocal asked
        if asked is None or asked.done():
            asked = asyncio.wrap_future(begin(health.ready, "readyz"))
        return await asyncio.shield(asked)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in _PATHS or scope["method"] not in ("GET", "HEAD"):
            await app(scope, receive, send)
            return
        if scope["path"] == "/healthz":
            status, body = health.alive()
        else:
            status, body = await ready()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    return serve
