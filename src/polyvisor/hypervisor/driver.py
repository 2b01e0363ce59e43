"""The Protocol of a hypervisor driver, and the records that cross it.

A driver serves one connection (`place`): a libvirtd, a vCenter with its clusters, a direct ESXi host, or a simulated
estate. It is called from worker threads, several at once for different guests, never twice at once for one guest.
Every method that changes something may be called again after a crash or a lost reply, and then ends in the same state.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from polyvisor.model.guest import GuestReport
from polyvisor.model.host import HostReport
from polyvisor.model.image import ImageRef
from polyvisor.model.nic import Nic
from polyvisor.model.port_filter import PortFilter
from polyvisor.model.power import Power
from polyvisor.model.record import Record


class HypervisorError(Exception):
    """The hypervisor refused, in a sentence that names what to do; the step fails and its operation unwinds."""


class Unreachable(HypervisorError):
    """The hypervisor does not answer now. Not a refusal: the step is tried again later."""


class GuestSpec(Record):
    """All that a driver needs to make a guest. Immutable for the life of the operation."""

    server_id: str
    """The server's uuid: libvirt's domain uuid, vSphere's instanceUuid."""
    name: str
    """The server's display name; guests are found by id, never by name."""
    hostname: str
    project_id: str
    project_name: str
    vcpus: int
    memory_mib: int
    root_gib: int
    """0 = as large as the image."""
    ephemeral_gib: int = 0
    swap_mib: int = 0
    image: ImageRef | None
    extra_specs: dict[str, str] = {}
    config_drive: bool = False
    metadata: dict[str, str] = {}
    """The files of the config drive and of guestinfo, path → text: "openstack/latest/meta_data.json" etc."""
    user_data: str = ""
    """Base64, as the Compute API takes it; empty = none."""
    nics: tuple[Nic, ...] = ()
    """Its network cards, in the order in which the guest is to see them."""


class Console(Record):
    """Where a guest's graphical console answers."""

    kind: str
    """"vnc" or "webmks"."""
    host: str
    port: int
    path: str = ""
    password: str = ""
    tls_thumbprint: str = ""


class ImageSource(Protocol):
    """Fetches an image's bytes for one step (in one process: from disk; in an agent: over its link)."""

    def fetch(self, image: ImageRef, target: Path) -> None:
        """Write the image's stored bytes to `target` (which must not exist). Raises OSError or Unreachable."""

    def local(self, image: ImageRef) -> Path | None:
        """The file with the stored bytes where it lies on this machine, to be read only; None elsewhere."""


class Progress(Protocol):
    """How a long step tells how far it is."""

    def __call__(self, fraction: float, what: str) -> None:
        """`fraction` from 0 to 1 of `what`. Raises Cancelled when the operation was asked to stop."""


class Cancelled(Exception):
    """The operation was asked to stop while a step was at work."""


class Driver(Protocol):
    """One hypervisor connection. Errors: HypervisorError (a refusal), Unreachable (no answer)."""

    place: str
    """The connection's name in the configuration."""

    def close(self) -> None:
        """End sessions and threads. Guests run on."""

    # What is there
    def hosts(self) -> list[HostReport]:
        """Every host of this connection, with capacity, datastores and warnings. Raises Unreachable."""

    def guests(self) -> list[GuestReport]:
        """Every guest on its hosts, foreign ones included, in one sweep. Raises Unreachable."""

    def look(self, server_id: str) -> GuestReport | None:
        """One guest, read afresh; None when there is none. Raises Unreachable."""

    def watch(self, changed: Callable[[str], None]) -> None:
        """Call `changed(server_id)` from a thread of the driver's, soon after a guest's power or presence changes."""

    # Images
    def prepare_image(self, host: str, image: ImageRef, source: ImageSource, progress: Progress) -> str:
        """Make the image ready on the host: fetched, converted, cached, once, though several guests may ask together.

        Returns the datastore it lies on ("" where there is but one).
        """

    def forget_images(self, host: str, keep: frozenset[str]) -> list[str]:
        """Remove cached images that no guest uses and that are not in `keep`; returns the ids removed."""

    # Guests
    def create(self, host: str, datastore: str, spec: GuestSpec, source: ImageSource, progress: Progress) -> None:
        """Make the guest with its disks, powered off. If it is there (by id), finish what an earlier call began."""

    def destroy(self, server_id: str) -> None:
        """End the guest and remove its disks, config drive, logs and empty folders.

        Without a guest, leftovers of an unfinished `create` are looked for and removed. A guest that Polyvisor did not
        make is never touched.
        """

    def set_power(self, server_id: str, power: Power) -> None:
        """Ask for ON, OFF, PAUSED or SUSPENDED from whatever state it is in; from PAUSED and SUSPENDED, ON resumes.

        It may return before the guest is there: look again.
        """

    def shut_down(self, server_id: str) -> None:
        """Ask the guest's operating system to shut down (ACPI or tools); it may not obey."""

    def reset(self, server_id: str) -> None:
        """Hard reboot: power cycle at once, with the guest definition made anew where that may repair it."""

    def restart(self, server_id: str) -> None:
        """Ask the guest's operating system to reboot."""

    # Network cards
    def attach_nic(self, server_id: str, nic: Nic) -> None:
        """Plug a card into the guest: at once where it runs, and in its definition, so that it is there after every
        later start and reset. Where a card of this port is there already, nothing is changed.
        """

    def detach_nic(self, server_id: str, port_id: str) -> bool:
        """Take the card of this port out of the guest and of its definition; without such a card, all is well.

        True once it is out. False while a running guest has not let go of it: call again. A call may wait for some
        seconds.
        """

    # What a user looks at
    def console_log(self, server_id: str) -> bytes:
        """The serial console's log from its start, at most its last MiB. Raises HypervisorError when there is none."""

    def console(self, server_id: str) -> Console:
        """Where the graphical console answers. Raises HypervisorError when the guest is off."""


@runtime_checkable
class Remembering(Protocol):
    """A driver that must know what an earlier process has decided (the names that hosts were given)."""

    def notes(self) -> dict[str, str]:
        """What whoever serves the place next must know."""

    def recall(self, notes: Mapping[str, str]) -> None:
        """Take in what was noted; it wins over what this process has decided by itself."""

    def end_predecessor(self) -> None:
        """The place is this process's now: end what the one before has open at the hypervisor, as far as was noted, so
        that what it may yet send is refused there too. Raises Unreachable."""


@runtime_checkable
class SharedDisks(Protocol):
    """What a driver can do besides, whose guests' files may lie on storage that hosts of other connections reach too.

    The files say themselves whose they are: `create` and `destroy` never touch those of another host.
    """

    def take_over(self, host: str, spec: GuestSpec, source: ImageSource, progress: Progress) -> None:
        """Define the guest, powered off, on the disks of it that lie there; they are this host's from now on.

        Raises HypervisorError where they do not lie there.
        """

    def let_go(self, server_id: str, to: str) -> None:
        """End the guest here and forget it; its files stay, and are the host `to`'s from now on."""


@runtime_checkable
class FilteringPorts(Protocol):
    """A driver whose hypervisor makes security groups hold by itself, once it is told what ports let through."""

    def filter_ports(self, host: str, filters: Sequence[PortFilter]) -> int:
        """Make the ports of the host's guests let through what is said here, now and for cards plugged in since.

        Ports that no guest here has are passed over. Returns how many let through something else before.
        """


def with_port_filter(driver: Driver) -> FilteringPorts:
    """The driver as one that filters. Raises HypervisorError where it does not."""
    if not isinstance(driver, FilteringPorts):
        raise HypervisorError(f"{driver.place} leaves security groups to the network backend.")
    return driver


def with_shared_disks(driver: Driver) -> SharedDisks:
    """The driver as one that can take guests over. Raises HypervisorError where it cannot."""
    if not isinstance(driver, SharedDisks):
        raise HypervisorError(f"{driver.place} cannot take over the disks of another host's guests.")
    return driver
