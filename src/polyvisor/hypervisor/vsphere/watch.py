"""Watching guests: what DRS, HA or a person in vCenter does is heard of within seconds, through one long question."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from pyVmomi import vim, vmodl

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.hypervisor.vsphere.faults import sentence
from polyvisor.hypervisor.vsphere.guests import Guests
from polyvisor.hypervisor.vsphere.inventory import Inventory
from polyvisor.hypervisor.vsphere.properties import view_spec
from polyvisor.hypervisor.vsphere.session import Session

log = logging.getLogger(__name__)
WAIT_SECONDS = 25
"""How long one question waits on the server. It also keeps the session alive."""
CLOSE_SECONDS = 10.0
"""How long the end of the thread is waited for."""
PAUSE_SECONDS = (1.0, 2.0, 5.0)
"""Between attempts to reach a server that is gone."""
_PATHS = ["runtime.powerState", "runtime.connectionState", "runtime.host", "config.instanceUuid", "name"]

Seen = dict[str, Any]


class Watcher:
    """A thread that tells of changes, and goes on after the session, the server or the network was lost."""

    def __init__(self, session: Session, inventory: Inventory, guests: Guests) -> None:
        self._session, self._inventory, self._guests = session, inventory, guests
        self._told: list[Callable[[str], None]] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._collector: Any = None
        # What each VM looked like when last seen. It outlives the connection, so that nothing done meanwhile is missed.
        self._vms: dict[str, Seen] = {}
        self._complete = False
        # Changes may have gone unheard since the last look, were they undone again or not: the next one tells of all.
        self._gap = False
        self.connected = threading.Event()
        """Set while changes are heard of."""

    def tell(self, changed: Callable[[str], None]) -> None:
        """Call `changed(server_id)` from now on."""
        self._told.append(changed)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"vsphere-watch-{self._session.host}", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        until = time.monotonic() + CLOSE_SECONDS
        # Again and again: what is cancelled right before the thread asks its question does not end that question.
        while self._thread is not None and self._thread.is_alive() and time.monotonic() < until:
            collector = self._collector
            if collector is not None:
                with contextlib.suppress(vmodl.MethodFault, HypervisorError):
                    collector.CancelWaitForUpdates()
            self._thread.join(0.2)

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                self._listen()
                failures = 0
            except (HypervisorError, vmodl.MethodFault) as error:
                if self._stop.is_set():
                    return
                if self.connected.is_set() or not failures:
                    said = sentence(error) if isinstance(error, vmodl.MethodFault) else error
                    log.warning("changes at %s are not heard of now: %s", self._session.host, said)
                self.connected.clear()
                self._gap = True
                self._stop.wait(PAUSE_SECONDS[min(failures, len(PAUSE_SECONDS) - 1)])
                failures += 1
            except Exception:
                # A reply that cannot be read must not end the watch for good.
                log.exception("the watch of %s begins anew", self._session.host)
                self.connected.clear()
                self._gap = True
                self._stop.wait(PAUSE_SECONDS[-1])

    def _listen(self) -> None:
        """From opening the filter until the session or the set of clusters is another."""
        clusters = {cluster.reference._moId: cluster for cluster in self._inventory.clusters(fresh=True)}
        for cluster in clusters.values():
            self._guests.sweep(cluster)  # learns who is who, in one question for each cluster
        # The datacenters' folders, not the clusters: a VM that someone moves to another cluster is still heard of.
        folders = {cluster.vm_folder._moId: cluster.vm_folder for cluster in clusters.values()}.values()
        manager = self._session.content.viewManager
        views = [manager.CreateContainerView(each, [vim.VirtualMachine], recursive=True) for each in folders]
        collector = self._session.content.propertyCollector.CreatePropertyCollector()
        try:
            collector.CreateFilter(view_spec(views, {vim.VirtualMachine: _PATHS}), partialUpdates=False)
            self._collector = collector
            self._follow(collector, set(clusters))
        finally:
            self._collector = None
            with contextlib.suppress(vmodl.MethodFault, HypervisorError):
                for each in (collector, *views):
                    each.Destroy()

    def _follow(self, collector: Any, clusters: set[str]) -> None:
        version, present, first = "", set[str](), True
        while not self._stop.is_set():
            options = vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=0 if first else WAIT_SECONDS)
            updates = collector.WaitForUpdatesEx(version, options)
            if updates is not None:
                version = updates.version
                for each in (change for part in updates.filterSet or () for change in part.objectSet or ()):
                    self._take(each, present)
            if first and (updates is None or not updates.truncated):
                first = False
                self._gone_meanwhile(present)
                self._gap = False
                self.connected.set()
            if {cluster.reference._moId for cluster in self._inventory.clusters()} != clusters:
                return

    def _take(self, update: Any, present: set[str]) -> None:
        key = update.obj._moId
        if update.kind == "leave":
            present.discard(key)
            self._leave(key)
            return
        present.add(key)
        before = self._vms.get(key)
        now = dict(before or {})
        for change in update.changeSet or ():
            now[change.name] = str(change.val) if change.val is not None else None
        self._vms[key] = now
        # The very first look is no news; whatever is new or another after that is.
        if self._gap or (now != before and (before is not None or self._complete)):
            server_id = self._guests.identify(update.obj)
            if server_id:
                self._changed(server_id)

    def _leave(self, key: str) -> None:
        self._vms.pop(key, None)
        server_id = self._guests.forget(key)
        if server_id:
            self._changed(server_id)

    def _gone_meanwhile(self, present: set[str]) -> None:
        for key in set(self._vms) - present:
            self._leave(key)
        self._complete = True

    def _changed(self, server_id: str) -> None:
        for told in self._told:
            try:
                told(server_id)
            except Exception:
                log.exception("a change of server %s could not be told", server_id)
