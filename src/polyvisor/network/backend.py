"""What a network backend is: it is handed records, and makes reality equal to them, as often as it is asked.

A backend knows nothing of the store. The keeper (`operate/network_keeper.py`) reads what was touched, hands it over,
and keeps asking until the backend has done it. An OVN and a simulated backend are here; one for another controller is a
folder beside them that passes `tests/network/test_conformance.py`.
"""

from collections.abc import Collection, Mapping
from typing import Protocol

from polyvisor.model.errors import Unavailable
from polyvisor.model.network import Network
from polyvisor.model.network_intent import Unit
from polyvisor.model.port import Port
from polyvisor.model.qos_policy import QosPolicy
from polyvisor.model.record import Record
from polyvisor.model.router import FloatingIp, Interface, Router
from polyvisor.model.security_group import AddressGroup, SecurityGroup
from polyvisor.model.subnet import Subnet


class Subject(Record):
    """A record that a backend turns into something real by itself."""

    unit: Unit
    id: str

    def __str__(self) -> str:
        return f"{self.unit}:{self.id}"


class Parent(Record):
    """The trunk's port that carries another port, and by which VLAN."""

    port_id: str
    vlan: int


class Records(Record):
    """Records by their ids, all of one moment: those of the subjects in hand, and those that these refer to.

    A subject that is not among them was removed.
    """

    networks: Mapping[str, Network] = {}
    subnets: Mapping[str, Subnet] = {}
    """All subnets of each network among `networks`."""
    ports: Mapping[str, Port] = {}
    """With the metadata port of each network among `networks`."""
    parents: Mapping[str, Parent] = {}
    """By the id of the port that is carried."""
    routers: Mapping[str, Router] = {}
    interfaces: Mapping[str, tuple[Interface, ...]] = {}
    """By the router's id; its gateway's port is among them."""
    floating_ips: Mapping[str, FloatingIp] = {}
    security_groups: Mapping[str, SecurityGroup] = {}
    address_groups: Mapping[str, AddressGroup] = {}
    qos_policies: Mapping[str, QosPolicy] = {}

    def subjects(self) -> list[Subject]:
        """Everything that may be turned into something real; what others rest on comes first."""
        kinds: tuple[tuple[Unit, Mapping[str, object]], ...] = (
            (Unit.NETWORK, self.networks),
            (Unit.ADDRESS_GROUP, self.address_groups),
            (Unit.SECURITY_GROUP, self.security_groups),
            (Unit.PORT, self.ports),
            (Unit.ROUTER, self.routers),
        )
        return [Subject(unit=unit, id=id) for unit, records in kinds for id in sorted(records)]


class Outcome(Record):
    """What became of one call."""

    changes: int = 0
    """How many rows (or whatever the backend has) were made, changed and removed; 0 where all was as it should be."""
    transactions: int = 0
    failed: Mapping[Subject, str] = {}
    """What could not be brought about, and why, in a sentence. Everything else was."""

    def and_then(self, other: "Outcome") -> "Outcome":
        """Both together."""
        return Outcome(
            changes=self.changes + other.changes,
            transactions=self.transactions + other.transactions,
            failed={**self.failed, **other.failed},
        )


class BackendDown(Unavailable):
    """The backend does not answer, or this process may not change it at present. What was under way may have become
    true or not."""


class Backend(Protocol):
    """One backend, used by one thread; `wake` alone may be called from any."""

    @property
    def trouble(self) -> str:
        """Why nothing can be brought about now; empty where it can, and where another process does so."""

    def term(self) -> int:
        """Which stretch of time this process may change the backend in, counted up; 0 while it may not.

        A new number says that what the backend has may be unlike what was brought about before: everything must be
        compared.
        """

    def bring_about(self, records: Records, subjects: Collection[Subject]) -> Outcome:
        """Make these subjects real as the records say, and remove those that are not among the records.

        Whatever else is there is left as it is. May be called again at any time with the same. Raises BackendDown.
        """

    def sweep(self, records: Records) -> Outcome:
        """Make everything equal to these records, which are all there are; what was made by others is left alone.

        Raises BackendDown.
        """

    def known(self) -> frozenset[Subject]:
        """What the backend has something for."""

    def statuses(self) -> Mapping[str, bool]:
        """Whether ports pass packets, by their ids: those that began or ceased to since this was last asked, and those
        that were brought about since."""

    def unreached(self, hosts: Collection[str]) -> Mapping[str, str]:
        """Those of these hosts on whose switches no port could be plugged in, and why, in a sentence that says what to
        do."""

    def wait(self, seconds: float) -> None:
        """Wait that long at most; less when there is news, or when `wake` is called."""

    def wake(self) -> None:
        """End a `wait`, now or as soon as it begins."""

    def close(self) -> None:
        """Let go of it."""
