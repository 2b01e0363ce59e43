"""What passes between the engine and those who run steps at hosts, in one process or over HTTPS."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from polyvisor.model.guest import GuestReport
from polyvisor.model.host import HostReport
from polyvisor.model.operation import Operation
from polyvisor.model.record import Told


class Lease(Told):
    """One step to run, in the hands of one worker until the lease runs out."""

    operation: Operation
    undo: bool
    """Run the step's undo, not the step."""


class Report(Told):
    """How a leased step ended."""

    operation_id: str
    epoch: int
    """The lease's: an older one is refused."""
    outcome: str
    """"done", "again", "failed" or "unreachable"."""
    output: Any = None
    seconds: float = 0.0
    error: str = ""


class Exchange(Told):
    """What a worker hands in, and what it can take on."""

    places: tuple[str, ...] = ()
    """Those whose steps it wants; it is given those of places that it holds."""
    reports: tuple[Report, ...] = ()
    most: int = 0
    """How many new steps it can take."""
    recover: bool = False
    """The answer to an earlier exchange was lost: leases of this process that are not `running` are handed over
    again."""
    running: tuple[str, ...] = ()
    """Ids of the operations whose leases it knows."""


class Inventory(Told):
    """What a place says of all its hosts and guests, or why it cannot."""

    place: str
    epoch: int = 0
    """The hold's under which the look was taken: an older one is refused. 0 where there is but one process."""
    since: datetime
    """When the look began: what the store learned later is newer."""
    unreachable: str = ""
    """A sentence; empty when the hypervisor answered."""
    hosts: tuple[HostReport, ...] = ()
    guests: tuple[GuestReport, ...] = ()


class Glimpse(Told):
    """What a place says of one guest, right after a change."""

    place: str
    epoch: int = 0
    since: datetime
    server_id: str
    guest: GuestReport | None


class Role(StrEnum):
    """What a process is to a place."""

    ACTIVE = "active"
    """It alone is given the place's steps, and believed about its hosts and guests."""
    STANDBY = "standby"
    """It takes over when the active one falls silent."""
    REFUSED = "refused"
    """It may not serve the place at all."""


class PlaceState(Told):
    """What a process says of a place that it offers to serve."""

    name: str
    driver: str
    """The driver's kind: "kvm", "vsphere", "simulated"."""
    trouble: str = ""
    """Why it could not serve the place now (its vCenter does not answer it), in a sentence; empty when it could."""


class Beat(Told):
    """A worker's sign of life: every few seconds, whatever else it does."""

    places: tuple[PlaceState, ...]
    running: tuple[str, ...] = ()
    """Ids of the operations whose steps it has at work: their leases are prolonged."""
    progress: dict[str, tuple[float, str]] = {}
    """Operation id → (fraction from 0 to 1, of what)."""
    leaving: bool = False
    """The process ends: its places are another's at once, and what it had leased is due again."""


class Hold(Told):
    """The answer for one place."""

    place: str
    role: Role
    epoch: int = 0
    """Grows each time the place goes to another process."""
    lease_seconds: float = 0.0
    """ACTIVE: counted from when the beat was sent; after that the process is no longer active, unless a later beat
    said so. STANDBY: in so many seconds the other's hold runs out, unless it is prolonged; a beat right after that
    takes the place over."""
    fence_seconds: float = 0.0
    """After so long without an answer the process turns its guests off, for they are started elsewhere. 0 = never."""
    notes: dict[str, str] = {}
    """What whoever serves the place must remember, as the one before has noted it (the names that hosts were given)."""


class Held(Told):
    """The answer to a beat."""

    holds: tuple[Hold, ...] = ()
    stopped: tuple[str, ...] = ()
    """Ids of running operations that were asked to stop, or whose lease has gone to another."""
    servers: tuple[str, ...] = ()
    """Where else the engine can be reached; empty where that is not told."""


class Timetable(Told):
    """When something will be due, as it is known at one moment."""

    now: datetime
    due: dict[str, datetime]
    """By place: when its next step is."""
    held: dict[str, tuple[str, datetime]]
    """By place: who holds it (or did last), and until when."""
    servers: tuple[str, ...]
    """Where agents reach the servers that are alive."""
