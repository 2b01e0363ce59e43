"""Servers, and the status that the Compute API derives from their states."""

import math
from datetime import datetime
from enum import StrEnum

from polyvisor.model.flavor import Flavor
from polyvisor.model.image import ImageRef
from polyvisor.model.power import Power
from polyvisor.model.record import Told


class VmState(StrEnum):
    """The lasting state of a server (`OS-EXT-STS:vm_state`)."""

    BUILDING = "building"
    ACTIVE = "active"
    STOPPED = "stopped"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    ERROR = "error"
    DELETED = "deleted"


class TaskState(StrEnum):
    """What is being done to a server now (`OS-EXT-STS:task_state`)."""

    SCHEDULING = "scheduling"
    SPAWNING = "spawning"
    DELETING = "deleting"
    POWERING_ON = "powering-on"
    POWERING_OFF = "powering-off"
    REBOOTING = "rebooting"
    REBOOTING_HARD = "rebooting_hard"
    PAUSING = "pausing"
    UNPAUSING = "unpausing"
    SUSPENDING = "suspending"
    RESUMING = "resuming"
    REBUILDING = "rebuilding"
    """It is evacuated: made anew, or started on its own disks, elsewhere."""
    MIGRATING = "migrating"
    """It moves to another host."""


class Fault(Told):
    """Why a server is in ERROR."""

    code: int
    message: str
    """One sentence, for the server's user."""
    details: str = ""
    """For the administrator: host by host, or step by step."""
    created_at: datetime


class ServerPort(Told):
    """A port that a server has."""

    port_id: str
    tag: str = ""
    """What the guest's metadata calls the card."""
    made: bool = False
    """It was made for the server, and goes with it; else it was there before, and stays."""


class Server(Told):
    """A server as the store has it."""

    id: str
    name: str
    project_id: str
    user_id: str
    hostname: str
    description: str | None = None
    flavor: Flavor
    """As it was when the server was made."""
    image: ImageRef | None
    key_name: str | None = None
    key_data: str = ""
    """The public key as it was when the server was made."""
    user_data: str = ""
    """Base64; empty = none."""
    config_drive: bool = False
    metadata: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    zone_requested: str | None = None
    host: str | None = None
    """The name of the host that holds its claim."""
    place: str | None = None
    """The hypervisor connection that serves that host."""
    member: str = ""
    """The ESXi host within a cluster, where it runs at the moment."""
    zone: str = ""
    reservation_id: str
    launch_index: int = 0
    vm_state: VmState = VmState.BUILDING
    task_state: TaskState | None = None
    power: Power = Power.UNKNOWN
    progress: int = 0
    """Per cent, while it builds."""
    fault: Fault | None = None
    locked: bool = False
    locked_reason: str | None = None
    access_ipv4: str = ""
    access_ipv6: str = ""
    ports: tuple[ServerPort, ...] = ()
    """In the order of its cards. What else has its id as device_id is not its own."""
    disk_config: str = "MANUAL"
    """`OS-DCF:diskConfig`: "AUTO" or "MANUAL"."""
    created_at: datetime
    updated_at: datetime
    launched_at: datetime | None = None
    deleted_at: datetime | None = None

    @property
    def disk_gib(self) -> int:
        """What its disks take together, rounded up to whole GiB: root, ephemeral and swap."""
        image_bytes = self.image.virtual_size_bytes if self.image else 0
        root = self.flavor.root_gib or math.ceil(image_bytes / 1024**3)
        return root + self.flavor.ephemeral_gib + math.ceil(self.flavor.swap_mib / 1024)

    @property
    def status(self) -> str:
        """The Compute API's `status`."""
        if self.task_state in _BY_TASK and self.vm_state not in (VmState.BUILDING, VmState.DELETED):
            return _BY_TASK[self.task_state]
        return _BY_STATE[self.vm_state]


_BY_TASK: dict[TaskState | None, str] = {
    TaskState.REBOOTING: "REBOOT",
    TaskState.REBOOTING_HARD: "HARD_REBOOT",
    TaskState.REBUILDING: "REBUILD",
    TaskState.MIGRATING: "MIGRATING",
}
_BY_STATE = {
    VmState.BUILDING: "BUILD",
    VmState.ACTIVE: "ACTIVE",
    VmState.STOPPED: "SHUTOFF",
    VmState.PAUSED: "PAUSED",
    VmState.SUSPENDED: "SUSPENDED",
    VmState.ERROR: "ERROR",
    VmState.DELETED: "DELETED",
}


class ServerFilter(Told):
    """What a list of servers is narrowed to; None = not by this."""

    deleted: bool | None = False
    project_id: str | None = None
    user_id: str | None = None
    ids: tuple[str, ...] | None = None
    host: str | None = None
    image_id: str | None = None
    flavor_id: str | None = None
    key_name: str | None = None
    reservation_id: str | None = None
    zone: str | None = None
    locked: bool | None = None
    config_drive: bool | None = None
    power: Power | None = None
    task_state: str | None = None
    vm_states: tuple[str, ...] | None = None
    task_states: tuple[str, ...] | None = None
    not_task_states: tuple[str, ...] | None = None
    name_like: str | None = None
    """A regular expression."""
    hostname_like: str | None = None
    ip_like: str | None = None
    """A regular expression on the IPv4 addresses of its ports."""
    ip6_like: str | None = None
    tags: tuple[str, ...] = ()
    """All of these."""
    changed_since: datetime | None = None
    changed_before: datetime | None = None
