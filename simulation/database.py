"""One SQLite database in memory for all servers of a history, with the faults of a database on another machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, RootTransaction, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import StaticPool

from polyvisor.store.database import Database
from polyvisor.store.outage import MaybeCommitted, Outage
from polyvisor.store.signals import Signals
from polyvisor.store.store import Store
from polyvisor.store.tables import metadata
from simulation import standins
from simulation.hub import Hub, Process

SMALLEST_DELAY_SECONDS = 0.0005
LARGEST_DELAY_SECONDS = 0.004
NOTIFY_SECONDS = 0.002
STATEMENT_TIMEOUT_SECONDS = 5.0


class Lost(OperationalError):
    """The connection broke: before the commit, or after it."""

    def __init__(self, why: str, *, gone: bool = True) -> None:
        super().__init__(why, None, Exception(why), connection_invalidated=gone)


class Disk:
    """The bytes of the database: made once, emptied for each history."""

    def __init__(self) -> None:
        self.engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})

        @event.listens_for(self.engine, "connect")
        def _prepare(raw: Any, _record: Any) -> None:
            raw.isolation_level = None
            raw.execute("PRAGMA foreign_keys=ON")

        metadata.create_all(self.engine)
        self.connection = self.engine.connect()
        self.raw: sqlite3.Connection = self.connection.connection.dbapi_connection  # type: ignore[assignment]
        self._empty = sqlite3.connect(":memory:")
        self.raw.backup(self._empty)

    def begun(self) -> Connection:
        """The one connection, whose next transaction begins now; a listener to that would slow every statement."""
        self.raw.execute("BEGIN")
        return self.connection

    def keep_as_empty(self) -> None:
        """What is there now is what every history begins with."""
        self.raw.backup(self._empty)

    def reset(self) -> None:
        """As every history begins."""
        self._empty.backup(self.raw)


class Cluster:
    """The database server of one history: who reaches it, who hears its notifications, and what was committed."""

    def __init__(self, hub: Hub, disk: Disk) -> None:
        self.hub, self.disk = hub, disk
        self.down = False
        """It is failing over: whatever is under way is lost."""
        self.clock_off_seconds = 0.0
        """How far its machine's clock is off."""
        self.full = False
        """Its disk is full: nothing can be written."""
        self.cut_off: set[str] = set()
        """Names of the processes that do not reach it."""
        self.deaf: set[str] = set()
        """Names of the processes to which notifications do not come."""
        self.clients: list[SimulatedDatabase] = []
        self.commits = 0
        self.after_commit: Callable[[str], None] = lambda who: None
        """Invariants look here, while the transaction's result is fresh."""

    def reached_by(self, process: Process) -> bool:
        """Whether its statements come through."""
        return not self.down and process.name not in self.cut_off

    def tell(self, teller: SimulatedDatabase, subjects: list[str]) -> None:
        """NOTIFY: every other server's waiters, a moment later, if it is heard."""
        for client in self.clients:
            if client is teller or not client.process.alive:
                continue
            if client.process.name in self.deaf or client.process.name in self.cut_off:
                continue
            self.hub.after(NOTIFY_SECONDS, lambda client=client: _raise_all(client, subjects))  # type: ignore[misc]


def _raise_all(client: SimulatedDatabase, subjects: list[str]) -> None:
    if client.process.alive:
        for subject in subjects:
            client.signals.wake(subject)


class SimulatedDatabase(Database):
    """One server's way to the database: a transaction happens at one moment, with the network before and after it."""

    def __init__(self, cluster: Cluster, process: Process, moment: Callable[[Process, str], None]) -> None:
        """`moment` is told of the moments at which a kill or a stop may strike."""
        self.cluster, self.process, self._moment = cluster, process, moment
        self.engine = cluster.disk.engine
        self.url = self.engine.url
        self.signals = Signals()
        self.is_sqlite = True
        self.waited = lambda mode, seconds: None
        self.outage = Outage("the database")
        self.notifier = _Notifier(self)  # type: ignore[assignment]
        self._line = standins.Lock()
        cluster.clients.append(self)

    def close(self) -> None:
        """Nothing to close."""

    @contextmanager
    def read(self) -> Iterator[Store]:
        """As the real one."""
        with self._noted():
            self._travel()
            with self._at_once(), self.cluster.disk.begun().begin():
                yield Store(self.cluster.disk.connection, self.signals)

    @contextmanager
    def write(self) -> Iterator[Store]:
        """As the real one. A server's own write transactions come one after the other."""
        with self._noted(), self._line:
            self._travel()
            with self._at_once(), self._transaction(self.cluster.disk.begun()) as store:
                yield store

    def _commit(self, transaction: RootTransaction) -> None:
        """The reply may be lost: then nobody knows whether the change has become true."""
        hub = self.cluster.hub
        if self.cluster.full:
            raise Lost("could not extend a file: No space left on device", gone=False)
        transaction.commit()
        hub.in_transaction = False
        self.cluster.commits += 1
        self.cluster.after_commit(self.process.name)
        self._moment(self.process, "commit")
        hub.sleep(self._delay())
        if not self.cluster.reached_by(self.process):
            raise MaybeCommitted

    def _travel(self) -> None:
        """What lies between asking for a transaction and having it."""
        hub = self.cluster.hub
        hub.check_alive()
        self._moment(self.process, "transaction")
        hub.sleep(self._delay())
        if not self.cluster.reached_by(self.process):
            hub.sleep(hub.chance.uniform(0.05, STATEMENT_TIMEOUT_SECONDS))
            if not self.cluster.reached_by(self.process):
                raise Lost("could not connect to the database server")

    def _delay(self) -> float:
        return self.cluster.hub.chance.uniform(SMALLEST_DELAY_SECONDS, LARGEST_DELAY_SECONDS)

    @contextmanager
    def _at_once(self) -> Iterator[None]:
        """Nothing else happens in the cloud meanwhile, until the commit."""
        hub = self.cluster.hub
        if hub.in_transaction:
            raise RuntimeError("A transaction was opened inside another.")
        hub.in_transaction = True
        try:
            yield
        finally:
            hub.in_transaction = False


class _Notifier:
    """Stands for the connection on which NOTIFY is sent."""

    def __init__(self, database: SimulatedDatabase) -> None:
        self._database = database

    def tell(self, subjects: Iterable[str]) -> None:
        """Wake the other servers' waiters."""
        self._database.cluster.tell(self._database, list(subjects))
