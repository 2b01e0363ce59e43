"""Tells of guests' changes: libvirt's events while the link holds, a comparison with all that is there each time it
is opened anew."""

import queue
import threading
from collections.abc import Callable
from typing import Any

import structlog

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.hypervisor.kvm.connection import Connection

log = structlog.get_logger()

_RETRY_SECONDS = 3.0


class Watcher:
    """One thread that calls `changed(server_id)` for guests of this cloud.

    `listed` reads the ids of all guests of this cloud; `owned` says whether an id is one of them though it may be gone.
    """

    def __init__(
        self,
        connection: Connection,
        listed: Callable[[], set[str]],
        owned: Callable[[str], bool],
        changed: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._listed = listed
        self._owned = owned
        self._changed = changed
        self._known: set[str] = set()
        # A guest's id; "" = the link was opened anew, or broke; None = end.
        self._news: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=f"libvirt-{connection.place}-watch", daemon=True)

    def start(self) -> None:
        """Watch from now on, whether or not libvirt answers yet."""
        self._connection.on_break(lambda: self._news.put(""))
        self._connection.on_open(self._register)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; no call comes after."""
        self._news.put(None)
        if threading.current_thread() is not self._thread and self._thread.is_alive():
            self._thread.join(5)

    def _register(self, link: Any) -> None:
        import libvirt

        link.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_event, None)
        self._news.put("")

    def _on_event(self, _link: Any, domain: Any, _event: int, _detail: int, _opaque: object) -> None:
        self._news.put(domain.UUIDString())  # in libvirt's event thread: a call to libvirt here would wait for itself

    def _serve(self) -> None:
        stale = True
        while True:
            try:
                news = self._news.get(timeout=_RETRY_SECONDS)
            except queue.Empty:
                stale = self._keep_up(stale)
                continue
            if news is None:
                return
            if news == "":
                stale = self._keep_up(stale=True)
            elif news in self._known or self._owned(news):
                self._tell(news)

    def _keep_up(self, stale: bool) -> bool:
        """Keep the link open, and after a gap tell of every guest that is or was there; returns whether that is still
        to do."""
        try:
            self._connection.ensure()
            if stale:
                there = self._listed()
                for server_id in sorted(there | self._known):
                    self._tell(server_id)
                self._known = there
        except HypervisorError:
            return stale  # the next turn tries again; hosts() tells why
        return False

    def _tell(self, server_id: str) -> None:
        self._known.add(server_id)
        try:
            self._changed(server_id)
        except Exception:
            log.exception("a guest's change could not be passed on", place=self._connection.place, server_id=server_id)
