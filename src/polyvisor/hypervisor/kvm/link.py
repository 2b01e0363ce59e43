"""One open link to a libvirtd, for one call at a time.

libvirt lets threads share a link, but not safely. It frees a link as it is closed, under the calls of other threads;
and in older releases (9.0 is one) a call that ends may leave a pointer into its thread's stack with the call that goes
on (CVE-2024-4418). Both crash the process. So nobody shares, and a link that is given up is closed by the call that is
on it.
"""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from polyvisor.hypervisor.kvm.bounded import begin

# Three unanswered pings, 3 s apart: a libvirtd that is stopped or cut off is known as such in 12 s.
KEEPALIVE_SECONDS = 3
_KEEPALIVE_COUNT = 3


class Link:
    """A libvirt connection, and whether a call is on it."""

    def __init__(self, raw: Any, name: str) -> None:
        """`raw`: libvirt's connection; `name`: of the thread that closes it."""
        self.raw = raw
        self._name = name
        self._lock = threading.Lock()
        self._busy = False
        self._given_up = False
        self.closed = threading.Event()
        """Set once it is closed."""

    def is_alive(self) -> bool:
        """Whether it can be used. It asks nobody: a libvirtd that hangs is found out by keepalive."""
        import libvirt

        with self._lock:  # it is not closed while we look
            try:
                return not self._given_up and self.raw.isAlive() == 1
            except libvirt.libvirtError:
                return False

    def is_free(self) -> bool:
        """Whether no call is on it."""
        with self._lock:
            return not self._busy

    def enter(self) -> bool:
        """Before a call; False = a call is on it, or it was given up. After True, `leave` must come."""
        with self._lock:
            if self._busy or self._given_up:
                return False
            self._busy = True
            return True

    def leave(self) -> None:
        """After a call."""
        with self._lock:
            self._busy = False
            closes = self._given_up
        if closes:
            self._close()

    def give_up(self) -> None:
        """No call enters any more. It does not wait."""
        with self._lock:
            closes = not self._given_up and not self._busy
            self._given_up = True
        if closes:
            self._close()

    def _close(self) -> None:
        begin(self._closing, self._name)  # that, too, may hang

    def _closing(self) -> None:
        _quietly_close(self.raw)
        self.closed.set()


def open_link(uri: str, name: str, on_close: Callable[[int], None], listeners: list[Callable[[Any], None]]) -> Link:
    """Open a link, watched by keepalive; `on_close(reason)` is called from libvirt's event thread when it breaks.

    Raises libvirt.libvirtError; it may hang as long as libvirtd does.
    """
    import libvirt

    raw = libvirt.open(uri)
    try:
        raw.setKeepAlive(KEEPALIVE_SECONDS, _KEEPALIVE_COUNT)
        raw.registerCloseCallback(lambda _raw, reason, _opaque: on_close(reason), None)
        for listener in listeners:
            listener(raw)
    except libvirt.libvirtError:
        _quietly_close(raw)
        raise
    return Link(raw, name)


def _quietly_close(raw: Any) -> None:
    """Close a connection of libvirt's and all that was registered on it, which would else keep its socket for ever."""
    import libvirt

    # libvirt-python keeps the numbers of what was registered here, once something was.
    for callback in list(getattr(raw, "domainEventCallbackID", ())):
        with contextlib.suppress(libvirt.libvirtError):
            raw.domainEventDeregisterAny(callback)
    with contextlib.suppress(libvirt.libvirtError):
        raw.unregisterCloseCallback()
    with contextlib.suppress(libvirt.libvirtError):
        raw.close()
