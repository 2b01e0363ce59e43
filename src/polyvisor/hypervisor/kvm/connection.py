"""The link to one libvirtd: opened when needed, watched by keepalive, opened anew when it broke, every call bounded."""

import contextlib
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
from polyvisor.hypervisor.permit import ensure_permitted

T = TypeVar("T")
log = structlog.get_logger()

# Three unanswered pings, 5 s apart: a libvirtd that is stopped or cut off is known as such in 20 s.
_KEEPALIVE_SECONDS = 5
_KEEPALIVE_COUNT = 3
_OPEN_SECONDS = 25

_event_loop_lock = threading.Lock()
_event_loop: threading.Thread | None = None


class Connection:
    """One connection, for all threads. `run` is the only way to libvirt."""

    def __init__(self, place: str, uri: str, *, timeout_seconds: float = 60) -> None:
        self.place = place
        self.uri = uri
        self.generation = 0
        """Counts the times the link was opened: what was learned of an earlier libvirtd may no longer hold."""
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._link: Any = None
        self._opening: Future[Any] | None = None
        self._closed = False
        self._opened: list[Callable[[Any], None]] = []
        self._broke: list[Callable[[], None]] = []

    def on_open(self, listener: Callable[[Any], None]) -> None:
        """Call `listener(libvirt connection)` each time the link was opened, before anyone else uses it."""
        self._opened.append(listener)

    def on_break(self, listener: Callable[[], None]) -> None:
        """Call `listener()` when the link breaks, from libvirt's event thread: it must not call libvirt."""
        self._broke.append(listener)

    def run(self, work: Callable[[Any], T], *, timeout_seconds: float | None = None) -> T:
        """`work(libvirt connection)` in a bounded time. Raises Unreachable, or HypervisorError with libvirt's
        reason."""
        seconds = timeout_seconds or self._timeout_seconds
        link = self._get()
        future = self._begin(link, work)
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
        link = self._get()
        future = self._begin(link, work)
        try:
            future.result(wait_seconds)
        except TimeoutError:
            future.add_done_callback(self._log_late_failure)
            return False
        return True

    def _begin(self, link: Any, work: Callable[[Any], T]) -> "Future[T]":
        """Start the work, unless it belongs to a step that may do no more: that is asked here, where it is known, and
        again in the thread that does the work. Raises Fenced."""
        ensure_permitted()
        context = contextvars.copy_context()
        return begin(lambda: context.run(self._translated, link, work), f"libvirt-{self.place}")

    def _log_late_failure(self, future: "Future[object]") -> None:
        if error := future.exception():
            log.warning("what libvirt was left to finish failed", place=self.place, reason=str(error))

    def ensure(self) -> None:
        """Open the link where it is not open. Raises Unreachable."""
        self._get()

    def close(self) -> None:
        """Close the link for good."""
        with self._lock:
            self._closed = True
            link, self._link = self._link, None
        if link is not None:
            with contextlib.suppress(TimeoutError):
                begin(lambda: _quietly_close(link), f"libvirt-{self.place}-close").result(5)

    def _translated(self, link: Any, work: Callable[[Any], T]) -> T:
        import libvirt

        ensure_permitted()
        try:
            return work(link)
        except libvirt.libvirtError as error:
            raise translate(error, self.place, alive=_is_alive(link)) from error

    def _get(self) -> Any:
        with self._lock:
            if self._closed:
                raise Unreachable(f"The connection to libvirt of {self.place} was closed.")
            if self._link is not None and _is_alive(self._link):
                return self._link
            if self._link is not None:  # closing it, too, may hang
                broken, self._link = self._link, None
                begin(lambda: _quietly_close(broken), f"libvirt-{self.place}-close")
            if self._opening is None:  # one attempt at a time, however many wait for it
                self._opening = begin(self._open, f"libvirt-{self.place}-open")
            opening = self._opening
        try:
            return opening.result(_OPEN_SECONDS)
        except TimeoutError:
            raise Unreachable(
                f"libvirt of {self.place} at {self.uri} takes the connection, but does not answer."
            ) from None

    def _open(self) -> Any:
        try:
            link = self._opened_link()
            with self._lock:
                if not self._closed:
                    self._link = link
                    self.generation += 1
                    return link
            _quietly_close(link)
            raise Unreachable(f"The connection to libvirt of {self.place} was closed.")
        finally:
            with self._lock:
                self._opening = None

    def _opened_link(self) -> Any:
        try:
            import libvirt
        except ImportError as error:
            raise HypervisorError(
                "The Python package for libvirt is missing; install it with: pip install 'polyvisor[kvm]'."
            ) from error
        link = None
        try:
            start_event_loop()
            link = libvirt.open(self.uri)
            link.setKeepAlive(_KEEPALIVE_SECONDS, _KEEPALIVE_COUNT)
            link.registerCloseCallback(self._on_close, None)
            for listener in self._opened:
                listener(link)
        except libvirt.libvirtError as error:
            if link is not None:
                _quietly_close(link)
            raise Unreachable(
                f"libvirt of {self.place} cannot be reached at {self.uri}: {first_line(error)}"
            ) from error
        return link

    def _on_close(self, _link: Any, reason: int, _opaque: object) -> None:
        log.warning("libvirt closed the connection", place=self.place, reason=reason)
        for listener in self._broke:
            listener()

    def _drop(self, link: Any) -> None:
        """Let go of a link on which a call hangs; the next call opens another. (To close it would wait for that
        call.)"""
        with self._lock:
            if self._link is link:
                self._link = None
        for listener in self._broke:
            listener()


def _is_alive(link: Any) -> bool:
    import libvirt

    try:
        return bool(link.isAlive() == 1)
    except libvirt.libvirtError:
        return False


def _quietly_close(link: Any) -> None:
    """Close a link and all that was registered on it, which would else keep its socket for ever."""
    import libvirt

    # libvirt-python keeps the numbers of what was registered here, once something was.
    for callback in list(getattr(link, "domainEventCallbackID", ())):
        with contextlib.suppress(libvirt.libvirtError):
            link.domainEventDeregisterAny(callback)
    with contextlib.suppress(libvirt.libvirtError):
        link.unregisterCloseCallback()
    with contextlib.suppress(libvirt.libvirtError):
        link.close()


def start_event_loop() -> None:
    """Run libvirt's event loop in a thread of this process; without it there is neither keepalive nor any event."""
    global _event_loop
    import libvirt

    with _event_loop_lock:
        if _event_loop is not None and _event_loop.is_alive():
            return
        # libvirt's own handler prints each error; ours are raised, and logged by who catches them.
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        libvirt.virEventRegisterDefaultImpl()
        _event_loop = threading.Thread(target=_run_event_loop, name="libvirt-events", daemon=True)
        _event_loop.start()


def _run_event_loop() -> None:
    import libvirt

    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:
            log.exception("libvirt's event loop failed once")
            time.sleep(1)  # it must not spin, should it fail always
