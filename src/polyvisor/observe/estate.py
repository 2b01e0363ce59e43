"""What the store knows of the whole cloud, read when it is asked for: every server of a cloud tells the same.

A query takes the `max` over servers, not the `sum`.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from datetime import datetime

from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from polyvisor.model.agent import Agent, AgentPlace, Authority
from polyvisor.model.control import Control
from polyvisor.model.held_place import HeldPlace
from polyvisor.model.host import Host
from polyvisor.model.record import Record
from polyvisor.observe import certificates, hosts, places, queue
from polyvisor.observe.aside import begin
from polyvisor.observe.metric import Metric, family
from polyvisor.store.database import Database
from polyvisor.store.overview import OperationCount, operations

log = logging.getLogger(__name__)

READABLE = Metric(
    name="polyvisor_store_readable",
    kind="gauge",
    help="1 when the database answered this scrape in time, else 0: then nothing that is read from it is shown.",
)
METRICS = (READABLE,)

PATIENCE_SECONDS = 5.0


class Reading(Record):
    """The store at the time of one scrape."""

    now: datetime
    operations: list[OperationCount]
    places: list[HeldPlace]
    agents: list[Agent]
    offers: list[AgentPlace]
    servers: list[Control]
    authority: Authority | None
    hosts: list[Host]


class Estate(Collector):
    """Reads the store in a thread of its own, within bounded time: eight statements, whatever the cloud's size."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], datetime],
        most_hosts: int,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """`most_hosts`: up to so many hosts have series of their own."""
        self._database, self._clock, self._most_hosts = database, clock, most_hosts
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._reading: Future[Reading] | None = None
        self._hosts: dict[str, Host] = {}
        self._hosts_seen = -1

    def describe(self) -> list[Family]:
        """Nothing: registering it must not read the database."""
        return []

    def collect(self) -> Iterator[Family]:
        """Every metric that the store tells."""
        reading = self._read_in_time()
        yield family(READABLE, [((), 0.0 if reading is None else 1.0)])
        if reading is None:
            return
        yield from queue.families(reading.operations, [place.name for place in reading.places], reading.now)
        yield from places.families(
            reading.places, reading.agents, reading.offers, reading.servers, reading.hosts, reading.now
        )
        yield from hosts.families(reading.hosts, self._most_hosts)
        yield from certificates.of_agents(reading.agents, reading.authority, reading.now)

    def _read_in_time(self) -> Reading | None:
        with self._lock:
            # One that still hangs has no second one begun beside it; one that ended after its time is old by now.
            if self._reading is None or self._reading.done():
                self._reading = begin(self._read, "metrics-store")
            reading = self._reading
        try:
            return reading.result(self._patience_seconds)
        except TookTooLong:
            return None
        except Exception as error:
            log.warning("the store could not be read for a scrape of metrics", exc_info=error)
            return None

    def _read(self) -> Reading:
        now = self._clock()
        with self._database.read() as store:
            newest = store.change.value("host")
            if newest != self._hosts_seen:
                changed, gone = store.host.changed(self._hosts_seen)
                self._hosts = {**self._hosts, **{host.name: host for host in changed}}
                for name in gone:
                    self._hosts.pop(name, None)
                self._hosts_seen = newest
            return Reading(
                now=now,
                operations=operations(store, now),
                places=store.place.list(),
                agents=store.agent.list(),
                offers=store.agent.places_of_all(),
                servers=store.control.list(),
                authority=store.authority.find(),
                hosts=list(self._hosts.values()),
            )
