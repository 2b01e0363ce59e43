"""OVN as a network backend: what is wanted is compared with our copy of the northbound database, and the rest is told.

Only one process writes: the one that holds the database's lock, which each transaction asserts.
"""

import contextlib
import logging
import os
from collections.abc import Collection, Iterator, Mapping, Sequence

import ovs.poller

from polyvisor.model.network_intent import Unit
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.network.backend import Outcome, Records, Subject
from polyvisor.network.ovn import southbound
from polyvisor.network.ovn.connection import Connection, Refused, Tls, use_tls
from polyvisor.network.ovn.copy import DatabaseCopy, columns_of
from polyvisor.network.ovn.difference import difference
from polyvisor.network.ovn.row import MANAGED
from polyvisor.network.ovn.security_group import DROP_GROUP
from polyvisor.network.ovn.site import Chassis, Site
from polyvisor.network.ovn.translate import rows_of
from polyvisor.network.ovn.view import View

log = logging.getLogger(__name__)

LOCK = "polyvisor"
_UNREACHED = (
    "{0} is no chassis of OVN: start ovn-controller there, with system-id or hostname in external_ids of Open_vSwitch "
    "set to {0} (ovn-sbctl show lists the chassis)"
)
_UNADDRESSED = (
    "chassis without a MAC address of their own on %s: %s. Guests on its VLANs may lose their IPv6 router; give each "
    "one, by ovs-vsctl set Open_vSwitch . external_ids:ovn-chassis-mac-mappings=%s:MAC"
)
SUBJECTS_AT_ONCE = 500
"""How many subjects a sweep puts into one transaction: northd works on one at a time."""


class OvnBackend:
    """One connection to each of OVN's databases."""

    def __init__(self, settings: NetworkSettings) -> None:
        """Connects when it is first asked for something, and raises nothing where OVN is away: `trouble` says so."""
        if "ssl:" in settings.ovn_northbound + settings.ovn_southbound:
            use_tls(
                Tls(
                    certificate=settings.ovn_tls_certificate,
                    key=settings.ovn_tls_key,
                    authority=settings.ovn_tls_authority,
                )
            )
        self._settings = settings
        self._copy = DatabaseCopy()
        self._chassis = southbound.ChassisCopy()
        columns = {table: columns_of(table) for table in MANAGED}
        self._north = Connection("OVN_Northbound", settings.ovn_northbound, columns, self._copy, LOCK)
        self._south = Connection("OVN_Southbound", settings.ovn_southbound, southbound.COLUMNS, self._chassis)
        self._site = Site()
        self._warned: dict[str, tuple[str, ...]] = {}
        self._term, self._stretch = 0, (0, False, Site())
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        self._closed = False

    @property
    def trouble(self) -> str:
        """Why OVN cannot be changed or looked at now."""
        return self._north.trouble or self._south.trouble

    @property
    def chassis(self) -> tuple[Chassis, ...]:
        """The chassis that OVN knows."""
        return self._chassis.all()

    def term(self) -> int:
        """A new one where OVN was read anew, the lock was gained, or other chassis are there than before."""
        self._run()
        leads = self._north.leads and bool(self._south.epoch)  # once known, chassis seldom change
        stretch = (self._north.epoch, leads, self._site)
        if stretch != self._stretch:
            self._stretch = stretch
            self._term += 1
        return self._term if leads else 0

    def bring_about(self, records: Records, subjects: Collection[Subject]) -> Outcome:
        """One transaction; where the database refuses it, one for each half, until what it refuses stands alone."""
        self._run()
        return self._bring_about(View(records, self._site), sorted(set(subjects), key=str))

    def sweep(self, records: Records) -> Outcome:
        """Everything, some hundreds at a time; what others rest on comes first, and goes last."""
        self._run()
        view = View(records, self._site)
        outcome = Outcome()
        for part in self._parts(records):
            outcome = outcome.and_then(self._bring_about(view, part))
        return outcome

    def known(self) -> frozenset[Subject]:
        """What rows were made for."""
        self._run()
        return self._copy.subjects() - {DROP_GROUP}

    def statuses(self) -> Mapping[str, bool]:
        """From the column `up` of ports' rows."""
        self._run()
        news, self._copy.news = self._copy.news, {}
        return news

    def unreached(self, hosts: Collection[str]) -> Mapping[str, str]:
        """Those that are no chassis."""
        self._run()
        return {host: _UNREACHED.format(host) for host in hosts if self._site.chassis_of(host) is None}

    def wait(self, seconds: float) -> None:
        """Until OVN says something, or somebody calls."""
        self._run()
        poller = ovs.poller.Poller()
        poller.timer_wait(max(1, int(seconds * 1000)))
        poller.fd_wait(self._wake_reader, ovs.poller.POLLIN)
        self._north.wait(poller)
        self._south.wait(poller)
        if not self._copy.news:
            poller.block()
        self._run()
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_reader, 4096)

    def wake(self) -> None:
        """Call; whoever was called already and has not looked yet is called once."""
        if not self._closed:
            with contextlib.suppress(BlockingIOError):
                os.write(self._wake_writer, b"!")

    def close(self) -> None:
        """Let go of the lock and of both connections. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._north.close()
        self._south.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    def _run(self) -> None:
        self._north.run()
        self._south.run()
        if self._site.chassis != self._chassis.all() or not self._term:
            self._site = Site(
                chassis=self._chassis.all(),
                dns_servers=self._settings.dns_servers,
                dns_domain=self._settings.dns_domain,
                distributed_floating_ips=self._settings.distributed_floating_ips,
            )
            self._warn()

    def _warn(self) -> None:
        """Say it once where a chassis would be taken for another's router."""
        found = self._site.unaddressed(each.name for each in self._settings.physical if each.vlans)
        for network, chassis in found.items():
            if self._warned.get(network) != chassis:
                log.warning(_UNADDRESSED, network, ", ".join(chassis), network)
        self._warned = found

    def _parts(self, records: Records) -> Iterator[Sequence[Subject]]:
        wanted = records.subjects()
        order = list(Unit)
        gone = sorted(self.known() - set(wanted), key=lambda each: (-order.index(each.unit), each.id))
        everything = [*wanted, *gone]
        for first in range(0, max(1, len(everything)), SUBJECTS_AT_ONCE):
            yield everything[first : first + SUBJECTS_AT_ONCE]

    def _bring_about(self, view: View, subjects: Sequence[Subject]) -> Outcome:
        rows, unclear = rows_of(view, (DROP_GROUP, *subjects))
        clear = [subject for subject in (DROP_GROUP, *subjects) if subject not in unclear]
        change = difference(rows, self._copy, clear)
        failed = Outcome(failed={**unclear, **change.failed})
        if change.operations:
            try:
                self._north.commit(change.operations, f"polyvisor: {len(subjects)} subjects")
            except Refused as refusal:
                return failed.and_then(self._by_halves(view, subjects, refusal))
        self._copy.tell_again(subjects)
        if not change.operations:
            return failed
        return failed.and_then(Outcome(changes=len(change.operations), transactions=1))

    def _by_halves(self, view: View, subjects: Sequence[Subject], refusal: Refused) -> Outcome:
        if len(subjects) <= 1:
            return Outcome(failed=dict.fromkeys(subjects, f"OVN's database refuses it: {refusal}"))
        middle = len(subjects) // 2
        first = self._bring_about(view, subjects[:middle])
        return first.and_then(self._bring_about(view, subjects[middle:]))
