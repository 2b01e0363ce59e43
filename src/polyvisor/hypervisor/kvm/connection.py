"""The way to one libvirtd: a link that stays open and tells of events, others where calls meet; each call bounded."""

import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import structlog

from polyvisor.hypervisor.driver import HypervisorError, Unreachable
from polyvisor.hypervisor.kvm.bounded import begin
from polyvisor.hypervisor.kvm.errors import first_line, translate
from polyvisor.hypervisor.kvm.event_loop import start_event_loop
from polyvisor.hypervisor.kvm.link import Link, open_link
from polyvisor.hypervisor.permit import ensure_permitted

T = TypeVar("T")
log = structlog.get_logger()

_OPEN_SECONDS = 8
"""With keepalive's 12 s and an inventory's period, a host whose libvirtd hangs is down in 30 s."""
_MOST_LINKS = 24
"""As many calls are made at the same time; libvirtd's `max_clients` counts links."""
_SPARE_LINKS = 3
"""So many links that no call is on are kept for the next one."""


class Connection:
    """All links to one libvirtd, for all threads. `run` and `start` are the only ways to libvirt."""

    def __init__(self, place: str, uri: str, *, timeout_seconds: float = 60) -> None:
        self.place = place
        self.uri = uri
        self.generation = 0
        """Counts the times the first link was opened: what was learned of an earlier libvirtd may no longer hold."""
        self._timeout_seconds = timeout_seconds
        self._changed = threading.Condition()
        """Guards what follows, and tells of links that are free again."""
        self._first: Link | None = None
        self._others: list[Link] = []
        self._opening_others = 0
        self._opening: Future[Link] | None = None
        self._closed = False
        self._opened: list[Callable[[Any], None]] = []
        self._broke: list[Callable[[], None]] = []

    def on_open(self, listener: Callable[[Any], None]) -> None:
        """Call `listener(libvirt connection)` each time the first link is opened, before anyone else uses it. One that
        is open already is opened anew."""
        with self._changed:
            self._opened.append(listener)
            first, self._first = self._first, None
        if first is not None:
            first.give_up()

    def on_break(self, listener: Callable[[], None]) -> None:
        """Call `listener()` when the first link breaks, from libvirt's event thread: it must not call libvirt."""
        self._broke.append(listener)

    def run(self, work: Callable[[Any], T], *, timeout_seconds: float | None = None) -> T:
        """`work(libvirt connection)` in a bounded time. Raises Unreachable, or HypervisorError with libvirt's
        reason."""
        seconds = timeout_seconds or self._timeout_seconds
        link, future = self._begin(work, seconds)
        try:
            return future.result(seconds)
        except TimeoutError:
            self._drop(link)
            raise Unreachable(
                f"libvirt of {self.place} did not answer within {seconds:g} s; see its log (journalctl -u libvirtd) "
                f"and restart it if it hangs."
            ) from None

    def start(self, work: Callable[[Any], object], *, wait_seconds: float) -> bool:
        """As `run`, but where the work takes longer than `wait_seconds` it goes on without us; returns whether it
        ended."""
        _, future = self._begin(work, self._timeout_seconds)
        try:
            future.result(wait_seconds)
        except TimeoutError:
            future.add_done_callback(self._log_late_failure)
            return False
        return True

    def ensure(self) -> None:
        """Open the first link where it is not open. Raises Unreachable."""
        self._get()

    def close(self) -> None:
        """Close all links for good."""
        with self._changed:
            self._closed = True
            links = [*([] if self._first is None else [self._first]), *self._others]
            self._first, self._others = None, []
            self._changed.notify_all()
        for link in links:
            link.give_up()
        deadline = time.monotonic() + 5
        for link in links:
            link.closed.wait(max(0.0, deadline - time.monotonic()))

    def _begin(self, work: Callable[[Any], T], seconds: float) -> "tuple[Link, Future[T]]":
        """Start the work, unless it belongs to a step that may do no more: that is asked here, where it is known, and
        again in the thread that does the work. Raises Fenced, Unreachable."""
        ensure_permitted()
        link = self._take(seconds)
        context = contextvars.copy_context()
        try:
            return link, begin(lambda: context.run(self._call, link, work), f"libvirt-{self.place}")
        except BaseException:
            self._give_back(link)
            raise

    def _call(self, link: Link, work: Callable[[Any], T]) -> T:
        import libvirt

        try:
            ensure_permitted()
            return work(link.raw)
        except libvirt.libvirtError as error:
            raise translate(error, self.place, alive=link.is_alive()) from error
        finally:
            self._give_back(link)

    def _log_late_failure(self, future: "Future[object]") -> None:
        if error := future.exception():
            log.warning("what libvirt was left to finish failed", place=self.place, reason=str(error))

    # Links

    def _take(self, seconds: float) -> Link:
        """A link that no other call is on, entered. Raises Unreachable."""
        deadline = time.monotonic() + seconds
        while True:
            first = self._get()
            with self._changed:
                for link in (first, *self._others):
                    if link.is_alive() and link.enter():
                        return link
                self._forget_broken()
                room = 1 + len(self._others) + self._opening_others < _MOST_LINKS
                if room:
                    self._opening_others += 1
                elif not self._changed.wait(deadline - time.monotonic()):
                    raise Unreachable(
                        f"{_MOST_LINKS} calls to libvirt of {self.place} were under way for {seconds:g} s, and none "
                        f"ended; see its log (journalctl -u libvirtd) and restart it if it hangs."
                    )
            if room:
                self._within_bounds(begin(self._open_another, f"libvirt-{self.place}-open"))

    def _give_back(self, link: Link) -> None:
        link.leave()
        with self._changed:
            idle = [other for other in self._others if other.is_free()]
            spared = idle[_SPARE_LINKS:]
            self._others = [other for other in self._others if other not in spared]
            self._changed.notify()
        for other in spared:
            other.give_up()

    def _forget_broken(self) -> None:
        broken = [link for link in self._others if not link.is_alive()]
        self._others = [link for link in self._others if link not in broken]
        for link in broken:
            link.give_up()

    def _get(self) -> Link:
        """The first link, opened where it is not open. Raises Unreachable."""
        with self._changed:
            if self._closed:
                raise self._was_closed()
            if self._first is not None and self._first.is_alive():
                return self._first
            if self._first is not None:
                self._first.give_up()
                self._first = None
            if self._opening is None:  # one attempt at a time, however many wait for it
                self._opening = begin(self._open_first, f"libvirt-{self.place}-open")
            opening = self._opening
        return self._within_bounds(opening)

    def _within_bounds(self, opening: "Future[T]") -> T:
        try:
            return opening.result(_OPEN_SECONDS)
        except TimeoutError:
            raise Unreachable(
                f"libvirt of {self.place} at {self.uri} takes the connection, but does not answer."
            ) from None

    def _open_first(self) -> Link:
        try:
            while True:
                listeners = list(self._opened)
                link = self._open(self._on_close, listeners)
                with self._changed:
                    if self._closed:
                        break
                    if len(listeners) == len(self._opened):
                        self._first = link
                        self.generation += 1
                        return link
                link.give_up()  # a listener came in between: it is told of the next one
            link.give_up()
            raise self._was_closed()
        finally:
            with self._changed:
                self._opening = None

    def _open_another(self) -> None:
        """One more link, for whoever comes first."""
        link = None
        try:
            link = self._open(lambda _reason: None, [])
        finally:
            with self._changed:
                self._opening_others -= 1
                closed = self._closed
                if link is not None and not closed:
                    self._others.append(link)
                self._changed.notify()
        if closed:
            link.give_up()

    def _open(self, on_close: Callable[[int], None], listeners: list[Callable[[Any], None]]) -> Link:
        try:
            import libvirt
        except ImportError as error:
            raise HypervisorError(
                "The Python package for libvirt is missing; install it with: pip install 'polyvisor[kvm]'."
            ) from error
        try:
            start_event_loop()
            return open_link(self.uri, f"libvirt-{self.place}-close", on_close, listeners)
        except libvirt.libvirtError as error:
            raise Unreachable(
                f"libvirt of {self.place} cannot be reached at {self.uri}: {first_line(error)}"
            ) from error

    def _was_closed(self) -> Unreachable:
        return Unreachable(f"The connection to libvirt of {self.place} was closed.")

    def _on_close(self, reason: int) -> None:
        log.warning("libvirt closed the connection", place=self.place, reason=reason)
        for listener in self._broke:
            listener()

    def _drop(self, link: Link) -> None:
        """Let go of a link on which a call hangs; the next call opens another."""
        with self._changed:
            first = self._first is link
            if first:
                self._first = None
            self._others = [other for other in self._others if other is not link]
        link.give_up()
        if first:
            for listener in self._broke:
                listener()
