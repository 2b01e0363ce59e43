"""The scheduler's table of hosts, kept in step with the store by reading only what has changed."""

from polyvisor.model.host import Host
from polyvisor.model.place import HostView, PlaceRequest, Plan
from polyvisor.operate.watch import UNWATCHED, Watch
from polyvisor.schedule.place import place
from polyvisor.schedule.settings import ScheduleSettings
from polyvisor.schedule.table import HostTable
from polyvisor.store.store import Store


class Estate:
    """A cache that follows the store's change counters; used inside write transactions, by one thread at a time (the
    engine holds a lock for as long as its turn's transaction lasts)."""

    def __init__(self, settings: ScheduleSettings, watch: Watch = UNWATCHED) -> None:
        self.settings = settings
        self._watch = watch
        self._table = HostTable()
        self._hosts_seen = self._aggregates_seen = -1
        self._as_of: Store | None = None

    def forget(self) -> None:
        """Read everything anew: something that was read did not become true."""
        self._hosts_seen = self._aggregates_seen = -1
        self._as_of = None

    def plan(self, store: Store, request: PlaceRequest, seed: int) -> Plan:
        """Where the server should go, as the transaction sees the hosts. Raises NoHost."""
        with self._watch.placing():
            return place(self._current(store), request, self.settings, seed=seed)

    def claimed(self, store: Store, name: str) -> None:
        """A host's claims changed in this transaction."""
        if self._as_of is store:
            self._show(store.host.get(name))

    def _current(self, store: Store) -> HostTable:
        if self._as_of is not store:
            # Whoever plans holds the hosts' counter until it has claimed: a plan never meets another's claim, and no
            # second look is needed. It costs nothing more, for every claim takes the counter anyway.
            store.change.next("host")
            self._read_hosts(store)
            self._read_aggregates(store)
            self._as_of = store
        return self._table

    def _read_hosts(self, store: Store) -> None:
        newest = store.change.value("host")
        if newest == self._hosts_seen:
            return
        if self._hosts_seen < 0:
            self._table = HostTable()
            self._aggregates_seen = -1
        changed, gone = store.host.changed(self._hosts_seen)
        for name in gone:
            self._table.remove(name)
        for host in changed:
            self._show(host)
        # This transaction's own number may come to cover later changes of it: those are looked at next time.
        self._hosts_seen = newest - 1 if store.change.taken("host") else newest

    def _read_aggregates(self, store: Store) -> None:
        newest = store.change.value("aggregate")
        if newest != self._aggregates_seen:
            self._table.set_aggregates(store.aggregate.views())
            self._aggregates_seen = newest - 1 if store.change.taken("aggregate") else newest

    def _show(self, host: Host) -> None:
        self._table.update(HostView(host=host, datastores=host.report.datastores), exact=True)
