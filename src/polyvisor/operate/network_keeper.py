"""Keeps networks as the records want them: takes what was touched to the backend, and compares all now and then.

Every control process has a keeper, and the backend's lock decides whose writes. What was touched is struck off once it
is brought about, so that a process may be killed at any moment: whoever comes next does it again.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime

from polyvisor.model.errors import NotFound
from polyvisor.model.network_intent import Intent
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.port import Port
from polyvisor.model.record import Record
from polyvisor.network.backend import Backend, BackendDown, Outcome, Records, Subject
from polyvisor.store import port_reach
from polyvisor.store.database import Database
from polyvisor.store.network_intent import SUBJECT
from polyvisor.store.outage import said_elsewhere

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""How often it looks where nobody calls: a wake-up that is lost costs this much."""
TROUBLE_SECONDS = 1.0
AT_ONCE = 200
"""How many intents go into one transaction of the backend."""
AT_SWEEP = 100_000
_NO_SETTINGS = NetworkSettings()
FIRST_RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 60.0


class Counts(Record):
    """What a keeper has done since its start."""

    brought_about: int = 0
    """Intents that were struck off."""
    transactions: int = 0
    sweeps: int = 0
    repairs: int = 0
    """What sweeps found to be otherwise than it had been brought about, row by row."""


class _Stuck(Record):
    """What could not be brought about, though the backend answers."""

    reason: str
    again_at: float
    pause_seconds: float


class NetworkKeeper:
    """A thread. All that it does is `turn`, again and again; tests may turn it by hand instead."""

    def __init__(
        self,
        database: Database,
        backend: Backend,
        clock: Callable[[], datetime],
        steady: Callable[[], float],
        sweep_seconds: float,
        turned: Callable[[], None] = lambda: None,
        settings: NetworkSettings = _NO_SETTINGS,
    ) -> None:
        """`clock` dates what is written, `steady` counts seconds. The backend is the keeper's own, and closed by it.
        `turned` is told of each turn of the thread; by `settings` networks that have none get their metadata ports.
        """
        self._settings = settings
        self._turned = turned
        self._database, self._backend = database, backend
        self._clock, self._steady, self._sweep_seconds = clock, steady, sweep_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="network-keeper", daemon=True)
        self._term, self._sweep_at = 0, 0.0
        self._stuck: dict[Subject, _Stuck] = {}
        self._news: dict[str, bool] = {}
        self._unreached: Mapping[str, str] = {}
        self.counts = Counts()
        self.trouble = ""
        """Why nothing can be brought about now; empty where it can, or where another process does it."""

    @property
    def leads(self) -> bool:
        """Whether it is this process that changes the backend."""
        return self._term != 0

    @property
    def stuck(self) -> Mapping[Subject, str]:
        """What the backend would not take, and why."""
        return {subject: each.reason for subject, each in dict(self._stuck).items()}  # asked from other threads, too

    def start(self) -> None:
        """Begin."""
        self._database.signals.listeners.append(self._called)
        self._thread.start()

    def stop(self) -> None:
        """End after the turn that is under way, and let another process have the backend."""
        self._stopping.set()
        self._backend.wake()
        self._thread.join(timeout=30)
        self._database.signals.listeners.remove(self._called)
        self._backend.close()

    def turn(self) -> float:
        """Do what there is to do; how many seconds may pass until the next turn. Raises what stands in its way."""
        term = self._backend.term()
        self.trouble = self._backend.trouble
        if not term:
            self._term = 0
            return TROUBLE_SECONDS if self.trouble else LOOK_SECONDS
        if term != self._term:
            log.info("this process keeps the networks")
            self._stuck.clear()
        if term != self._term or self._steady() >= self._sweep_at:
            self._add_metadata_ports()
            self._sweep(known=term == self._term)
            self._term, self._sweep_at = term, self._steady() + self._sweep_seconds
        while not self._stopping.is_set() and self._bring_about():
            pass
        self._tell({})
        return max(0.05, min(LOOK_SECONDS, self._next_at() - self._steady()))

    def _loop(self) -> None:
        pause = 0.0
        while not self._stopping.is_set():
            self._turned()
            try:
                self._backend.wait(pause)
                pause = self.turn()
            except BackendDown as error:
                if str(error) != self.trouble:
                    log.warning("%s", error)
                self.trouble, pause = str(error), TROUBLE_SECONDS
            except Exception as error:
                if not said_elsewhere(error):
                    log.exception("a turn of the network keeper failed; trying again")
                pause = TROUBLE_SECONDS
                self._stopping.wait(TROUBLE_SECONDS)  # whatever failed may be the backend's own waiting

    def _called(self, subject: str) -> None:
        """A signal of the store; "" stands for all of them."""
        if subject in ("", SUBJECT):
            self._backend.wake()

    def _sweep(self, *, known: bool) -> None:
        """Compare everything. `known`: nothing but drift should be found besides what was touched."""
        with self._database.read() as store:
            intents = store.network_intent.due(AT_SWEEP)
            records = store.network_snapshot.whole()
            bound = port_reach.bound(store)
        outcome = self._backend.sweep(records)
        repaired = outcome.changes if known and not intents else 0
        if repaired:
            log.warning("the network backend had drifted: %d changes made it what the records say", repaired)
        self.counts = _with(self.counts, sweeps=1, repairs=repaired)
        self._unstick(list(self._stuck), outcome)
        self._done(intents, outcome, records)
        self._mark_bindings(bound)

    def _bring_about(self) -> bool:
        """Some of what was touched; whether there may be more."""
        now = self._steady()
        held_back = {subject for subject, each in self._stuck.items() if each.again_at > now}
        with self._database.read() as store:
            due = store.network_intent.due(AT_ONCE + len(held_back))
            intents = [each for each in due if _subject(each) not in held_back]
            wanted = {_subject(each) for each in intents} | (self._stuck.keys() - held_back)
            if not wanted:
                return False
            records, subjects = store.network_snapshot.of(wanted)
        outcome = self._backend.bring_about(records, subjects)
        self._unstick(subjects, outcome)
        self._done(intents, outcome, records)
        self._mark_bindings(port_reach.bound_of(records.ports.values()))
        return len(intents) == AT_ONCE

    def _mark_bindings(self, bound: port_reach.Bound) -> None:
        """Have ports say whether the backend reaches the hosts that they are bound to."""
        unreached = self._backend.unreached({host for host, _ in bound})
        for host, why in unreached.items():
            if self._unreached.get(host) != why:
                log.warning("network ports are bound to %s, which the network backend does not reach: %s", host, why)
        reached = {host for host, _ in bound} - unreached.keys()
        self._unreached = {host: why for host, why in {**self._unreached, **unreached}.items() if host not in reached}
        failed = {host for host, said in bound if said == port_reach.PLUGGED and host in unreached}
        mended = {host for host, said in bound if said != port_reach.PLUGGED and host not in unreached}
        if failed or mended:
            with self._database.write() as store:
                port_reach.mark(store, failed, mended, self._clock())

    def _add_metadata_ports(self) -> None:
        """To networks that were made while there was no backend that has such ports."""
        if self._settings.backend != "ovn":
            return
        with self._database.read() as store:
            lacking = store.metadata_port.lacking()
        for network_id in lacking:
            with suppress(NotFound), self._database.write() as store:  # it may have been removed meanwhile
                store.metadata_port.keep(network_id, now=self._clock(), settings=self._settings)

    def _done(self, intents: Iterable[Intent], outcome: Outcome, records: Records) -> None:
        for subject, reason in outcome.failed.items():
            self._stick(subject, reason)
        done = [each for each in intents if _subject(each) not in outcome.failed]
        self.counts = _with(self.counts, brought_about=len(done), transactions=outcome.transactions)
        self._tell(records.ports, done)

    def _tell(self, ports: Mapping[str, Port], done: Iterable[Intent] = ()) -> None:
        """Write down what the backend says of ports, and strike off what is done."""
        self._news |= self._backend.statuses()
        told = {id: "ACTIVE" if up else "DOWN" for id, up in self._news.items()}
        changed = {id: word for id, word in told.items() if id not in ports or ports[id].status != word}
        struck_off = list(done)
        if changed or struck_off:
            with self._database.write() as store:
                store.port.set_status(changed, self._clock())
                store.network_intent.strike_off(struck_off)
        self._news.clear()

    def _stick(self, subject: Subject, reason: str) -> None:
        """It is tried again later and later. At the first failure everything is compared: what it rests on may be
        missing."""
        before = self._stuck.get(subject)
        if before is None or before.reason != reason:
            log.error("%s cannot be brought about: %s; trying again from time to time", subject, reason)
        if before is None:
            self._sweep_at = min(self._sweep_at, self._steady() + TROUBLE_SECONDS)
        pause = min(2 * before.pause_seconds, LONGEST_RETRY_SECONDS) if before else FIRST_RETRY_SECONDS
        self._stuck[subject] = _Stuck(reason=reason, again_at=self._steady() + pause, pause_seconds=pause)

    def _unstick(self, subjects: Iterable[Subject], outcome: Outcome) -> None:
        for subject in subjects:
            if subject in self._stuck and subject not in outcome.failed:
                del self._stuck[subject]
                log.info("%s is brought about after all", subject)

    def _next_at(self) -> float:
        return min([self._sweep_at, *(each.again_at for each in self._stuck.values())])


def _subject(intent: Intent) -> Subject:
    return Subject(unit=intent.unit, id=intent.id)


def _with(counts: Counts, **more: int) -> Counts:
    """The counts, with these added."""
    fields = {name: getattr(counts, name) + more.get(name, 0) for name in Counts.__struct_fields__}
    return Counts(**fields)
