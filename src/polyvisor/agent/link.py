"""The link of an agent: the words of `operate/link.py` over HTTPS, through whichever server answers."""

import logging
import threading
from collections.abc import Callable
from typing import Any

import msgspec

import polyvisor
from polyvisor.agent.servers import Servers, Superseded
from polyvisor.model.link import Beat, Exchange, Glimpse, Held, Inventory, Lease, Report
from polyvisor.operate.link import LinkDown, LinkRefused

log = logging.getLogger(__name__)

BEAT_READ_SECONDS = 3.0
"""With CONNECT_SECONDS, two servers can be tried in half a hold."""
PATIENT_BEAT_READ_SECONDS = 8.0
"""Once beats have failed in a row there is no hold left to save: a slow server is waited for."""
IMPATIENT_BEATS = 3
EXCHANGE_READ_SECONDS = 15.0
INVENTORY_READ_SECONDS = 60.0
UNSURE_SECONDS = 2 * EXCHANGE_READ_SECONDS
"""For so long after a failed exchange its request may still be taken, and its answer be lost."""


class _Leases(msgspec.Struct, frozen=True, kw_only=True):
    # A newer server may tell more: it is passed over.
    leases: tuple[Lease, ...] = ()


class HttpLink:
    """A worker's way to the engine, from an agent. All threads may use it."""

    def __init__(
        self,
        servers: Servers,
        session: str,
        steady: Callable[[], float],
        learned: Callable[[tuple[str, ...]], None] = lambda _urls: None,
    ) -> None:
        """`session` tells this process from the agent's earlier ones; `learned` takes a new list of servers."""
        self._servers, self._session, self._steady, self._learned = servers, session, steady, learned
        self._unsure_until = -UNSURE_SECONDS
        self._failed_beats = 0
        self._news = threading.Condition()
        self._poked = False
        self._poll: _Poll | None = None

    def exchange(
        self, places: tuple[str, ...], reports: list[Report], most: int, running: tuple[str, ...] = ()
    ) -> list[Lease]:
        """Hand in reports and take steps. Raises LinkDown; then the reports are to be handed in again."""
        unsure = self._steady() < self._unsure_until

        def body(tried: int) -> dict[str, Any]:
            if tried:
                self._unsure_until = self._steady() + UNSURE_SECONDS
            asked = Exchange(
                places=places, reports=tuple(reports), most=most, recover=unsure or tried > 0, running=running
            )
            return {"session": self._session, **msgspec.structs.asdict(asked)}

        try:
            answer = self._servers.ask("/exchange", body, read_seconds=EXCHANGE_READ_SECONDS)
        except LinkDown:
            self._unsure_until = self._steady() + UNSURE_SECONDS
            raise
        return list(_decoded(answer, _Leases).leases)

    def wait(self, places: tuple[str, ...], timeout_seconds: float) -> None:
        """Until a server says that there may be something new, or `poke`, or the time is out. Raises LinkDown."""
        with self._news:
            poll = self._poll
            if poll is None or (poll.places != places and not poll.done):
                poll = self._poll = self._begin(places, timeout_seconds)
            self._news.wait_for(lambda: self._poked or poll.done, timeout_seconds + EXCHANGE_READ_SECONDS)
            self._poked = False
            if poll.done:
                self._poll = None
        if poll.error is not None:
            raise poll.error

    def _begin(self, places: tuple[str, ...], timeout_seconds: float) -> "_Poll":
        poll = _Poll(places)
        threading.Thread(target=self._serve, args=(poll, timeout_seconds), name="long-poll", daemon=True).start()
        return poll

    def _serve(self, poll: "_Poll", timeout_seconds: float) -> None:
        """The long question itself, in a thread of its own, so that a poke need not wait for its answer."""
        body = {"session": self._session, "places": poll.places, "timeout_seconds": timeout_seconds}
        try:
            self._servers.ask("/wait", lambda _tried: body, read_seconds=timeout_seconds + EXCHANGE_READ_SECONDS)
        except Exception as error:  # noqa: BLE001 - raised in the thread that waits
            poll.error = error
        with self._news:
            poll.done = True
            self._news.notify_all()

    def poke(self) -> None:
        """Something has ended here."""
        with self._news:
            self._poked = True
            self._news.notify_all()

    def beat(self, beat: Beat) -> Held:
        """Say that we live. Raises LinkDown, LinkRefused."""
        patient = self._failed_beats >= IMPATIENT_BEATS
        body = {"session": self._session, "beat": beat, "version": polyvisor.__version__}
        try:
            answer = self._servers.ask(
                "/beat", lambda _tried: body,
                read_seconds=PATIENT_BEAT_READ_SECONDS if patient else BEAT_READ_SECONDS,
            )  # fmt: skip
        except Superseded as error:  # another process of this agent is at work, with a copy of its directory
            raise LinkRefused(str(error)) from error
        except LinkDown:
            self._failed_beats += 1
            raise
        self._failed_beats = 0
        held: Held = _decoded(answer, Held)
        if self._servers.learn(held.servers):
            self._learned(held.servers)
        return held

    def note(self, place: str, epoch: int, notes: dict[str, str]) -> None:
        """Have notes kept. Raises LinkDown, Superseded."""
        body = {"session": self._session, "place": place, "epoch": epoch, "notes": notes}
        self._servers.ask("/notes", lambda _tried: body, read_seconds=EXCHANGE_READ_SECONDS)

    def inventory(self, found: Inventory) -> None:
        """Hand in what a place says of itself. Raises LinkDown, Superseded."""
        body = {"session": self._session, "inventory": found}
        self._servers.ask("/inventory", lambda _tried: body, read_seconds=INVENTORY_READ_SECONDS)

    def glimpse(self, found: Glimpse) -> None:
        """Hand in what a place says of one guest. Raises LinkDown, Superseded."""
        body = {"session": self._session, "glimpse": found}
        self._servers.ask("/glimpse", lambda _tried: body, read_seconds=EXCHANGE_READ_SECONDS)


class _Poll:
    """A long question under way."""

    def __init__(self, places: tuple[str, ...]) -> None:
        self.places = places
        self.done = False
        self.error: Exception | None = None


def _decoded(answer: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(answer, type=kind)
    except msgspec.MsgspecError as error:
        raise LinkDown(f"A server's answer cannot be read: {error}. Is it of another release?") from None
