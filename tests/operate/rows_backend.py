"""OVN's translation without OVN: rows in memory, replaced subject by subject, and faults where a test wants them."""

import threading
from collections.abc import Callable, Collection, Mapping

from polyvisor.network.backend import BackendDown, Outcome, Records, Subject
from polyvisor.network.ovn.row import Row
from polyvisor.network.ovn.site import Chassis, Site
from polyvisor.network.ovn.translate import rows_of
from polyvisor.network.ovn.view import View

GATEWAY = Chassis(name="gw-1", hostname="gw-1", physical_networks=frozenset(("physnet1",)))


class RowsBackend:
    """As much of a backend as the keeper sees."""

    def __init__(self) -> None:
        self.rows: dict[Subject, list[Row]] = {}
        self.number = 1
        self.trouble = ""
        self.refused: set[Subject] = set()
        self.handed: list[Collection[Subject]] = []
        """What each call of `bring_about` was about."""
        self.before: Callable[[], None] = lambda: None
        """Called at each change, and may raise."""
        self.news: dict[str, bool] = {}
        self.away: set[str] = set()
        """Hosts without a switch."""
        self.woken = threading.Event()

    def term(self) -> int:
        return self.number

    def bring_about(self, records: Records, subjects: Collection[Subject]) -> Outcome:
        self.before()
        if self.trouble:
            raise BackendDown(self.trouble)
        self.handed.append(list(subjects))
        view = View(records, Site(chassis=(GATEWAY,), dns_domain="openstacklocal."))
        changes = 0
        failed = {subject: "it is refused" for subject in subjects if subject in self.refused}
        for subject in set(subjects) - failed.keys():
            rows, unclear = rows_of(view, [subject])
            assert not unclear
            changes += self.rows.get(subject, []) != rows
            self.rows[subject] = rows
        return Outcome(changes=changes, transactions=1, failed=failed)

    def sweep(self, records: Records) -> Outcome:
        outcome = self.bring_about(records, {*records.subjects(), *self.rows})
        self.handed.pop()
        return outcome

    def known(self) -> frozenset[Subject]:
        return frozenset(subject for subject, rows in self.rows.items() if rows)

    def statuses(self) -> Mapping[str, bool]:
        news, self.news = self.news, {}
        return news

    def unreached(self, hosts: Collection[str]) -> Mapping[str, str]:
        return {host: "it is away" for host in hosts if host in self.away}

    def wait(self, seconds: float) -> None:
        self.woken.wait(seconds)
        self.woken.clear()

    def wake(self) -> None:
        self.woken.set()

    def close(self) -> None:
        pass
