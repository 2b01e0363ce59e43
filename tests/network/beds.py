"""Backends under test, each with what a test needs to break and to look at."""

import time
from collections.abc import Callable
from typing import Protocol

from polyvisor.model.network_settings import NetworkSettings
from polyvisor.network.backend import Backend, Records, Subject
from polyvisor.network.ovn.backend import OvnBackend
from polyvisor.network.simulated.backend import SimulatedBackend
from testbed.ovn import TestOvn

PATIENCE_SECONDS = 180.0


class Bed(Protocol):
    """A backend that runs."""

    @property
    def backend(self) -> Backend:
        """The backend."""

    @property
    def host(self) -> str:
        """A host that ports may be bound to."""

    def plug(self, port_id: str) -> None:
        """Do what a hypervisor does with a port's interface."""

    def unplug(self, port_id: str) -> None:
        """Take the interface away."""

    def lose(self, subject: Subject) -> None:
        """Have a subject vanish behind the backend's back."""

    def lose_everything(self) -> None:
        """Have all vanish that it ever made."""


class SimulatedBed:
    """Of the simulated backend, where a binding alone makes a port pass packets."""

    host = "host-1"

    def __init__(self) -> None:
        self.backend = SimulatedBackend()
        self.lose = self.backend.lose
        self.lose_everything = self.backend.lose_everything

    def plug(self, port_id: str) -> None:
        pass

    def unplug(self, port_id: str) -> None:
        pass


class OvnBed:
    """Of OVN, with one chassis."""

    def __init__(self, ovn: TestOvn) -> None:
        self.ovn = ovn
        self.backend: Backend = connected(ovn)
        self.host = ovn.chassis[0].name

    def plug(self, port_id: str) -> None:
        self.ovn.chassis[0].plug(port_id)

    def unplug(self, port_id: str) -> None:
        self.ovn.chassis[0].unplug(port_id)

    def lose(self, subject: Subject) -> None:
        for table in ("Logical_Switch", "DHCP_Options", "Port_Group", "Logical_Router", "Address_Set"):
            for row in rows(self.ovn, table, subject):
                self.ovn.nbctl("destroy", table, row)
        for row in rows(self.ovn, "Logical_Switch_Port", subject):
            self.ovn.nbctl("lsp-del", row)

    def lose_everything(self) -> None:
        self.ovn.empty()


def settings(ovn: TestOvn, **more: object) -> NetworkSettings:
    return NetworkSettings(ovn_northbound=ovn.northbound, ovn_southbound=ovn.southbound, **more)  # type: ignore[arg-type]


def connected(ovn: TestOvn, **more: object) -> OvnBackend:
    """A backend that holds the lock, and sees the chassis that there are."""
    backend = OvnBackend(settings(ovn, **more))
    until(backend, lambda: bool(backend.term()) and len(backend.chassis) == len(ovn.chassis))
    return backend


def rows(ovn: TestOvn, table: str, subject: Subject) -> list[str]:
    """The UUIDs of the rows that bear a subject's mark."""
    found = ovn.nbctl("--bare", "--columns=_uuid", "find", table, f'external_ids:polyvisor_subject="{subject}"')
    return found.split()


def until(backend: Backend, true: Callable[[], bool]) -> None:
    """Have the backend take in what comes until it is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it does not become so; the backend says: {backend.trouble or 'nothing'}")
        backend.wait(0.1)


def until_up(backend: Backend, wanted: dict[str, bool]) -> None:
    """Wait until these ports, and of them the last word, is this."""
    seen: dict[str, bool] = {}

    def as_wanted() -> bool:
        seen.update(backend.statuses())
        return {id: seen.get(id) for id in wanted} == wanted

    until(backend, as_wanted)


def everything(records: Records) -> frozenset[Subject]:
    return frozenset(records.subjects())
