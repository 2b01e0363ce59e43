"""A backend without packets: it remembers what it was told, and calls a port up once the port is bound to a host."""

import threading
from collections.abc import Collection, Mapping

from polyvisor.model.port import Port
from polyvisor.model.router import Router
from polyvisor.network.backend import Outcome, Records, Subject
from polyvisor.network.standing import has_something


class SimulatedBackend:
    """For clouds of simulated hosts, and for tests of what stands above a backend."""

    def __init__(self) -> None:
        self._term = 1
        self._known: dict[Subject, object] = {}
        self._news: dict[str, bool] = {}
        self._woken = threading.Event()

    @property
    def trouble(self) -> str:
        """Never any."""
        return ""

    def term(self) -> int:
        """One for good: nobody else changes what is in this process's memory."""
        return self._term

    def bring_about(self, records: Records, subjects: Collection[Subject]) -> Outcome:
        """Remember the records of these subjects, or forget them."""
        changes = sum(self._take(records, subject) for subject in subjects)
        return Outcome(changes=changes, transactions=1 if changes else 0)

    def sweep(self, records: Records) -> Outcome:
        """Remember these records and no others."""
        return self.bring_about(records, {*records.subjects(), *self._known})

    def known(self) -> frozenset[Subject]:
        """What was brought about."""
        return frozenset(self._known)

    def statuses(self) -> Mapping[str, bool]:
        """Ports that were bound or unbound."""
        news, self._news = self._news, {}
        return news

    def unreached(self, hosts: Collection[str]) -> Mapping[str, str]:
        """None: there is no switch that could be away."""
        return {}

    def wait(self, seconds: float) -> None:
        """Until somebody calls."""
        self._woken.wait(seconds)
        self._woken.clear()

    def wake(self) -> None:
        """Call."""
        self._woken.set()

    def close(self) -> None:
        """Nothing is held."""

    def lose(self, subject: Subject) -> None:
        """Forget a subject, as a fault does; the next sweep brings it back."""
        self._known.pop(subject, None)

    def lose_everything(self) -> None:
        """Forget all, as a database does that was emptied."""
        self._known.clear()
        self._term += 1

    def _take(self, records: Records, subject: Subject) -> int:
        wanted = has_something(records, subject)
        if isinstance(wanted, Port) and not wanted.device_owner.startswith("network:router"):
            self._news[subject.id] = bool(wanted.binding.host) and wanted.admin_state_up
        if isinstance(wanted, Router):
            # A router that is switched off passes nothing on, and its ports are plugged all the same.
            self._news |= {each.port_id: True for each in records.interfaces.get(wanted.id, ())}
        if wanted == self._known.get(subject):
            return 0
        if wanted is None:
            del self._known[subject]
        else:
            self._known[subject] = wanted
        return 1
