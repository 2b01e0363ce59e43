"""What the API orders of the engine: the arguments of each kind of operation."""

from polyvisor.model.place import PlaceRequest
from polyvisor.model.record import Told
from polyvisor.model.server import Server


class ServerCreate(Told):
    """`server.create`: make a server's guest and boot it."""

    server: Server
    """As it was recorded."""
    request: PlaceRequest
    project_name: str
    admin_password: str = ""
    """Given to the guest through the config drive; wiped from here once the operation has ended."""


class ServerTarget(Told):
    """Operations that need to know nothing but the server."""

    server_id: str


class ServerConsoleLog(Told):
    """`server.console_log`: read the serial console's log."""

    server_id: str
    length: int | None = None
    """How many lines from the end; None = all."""


class ServerReboot(Told):
    """`server.reboot`: `hard` = cut the power."""

    server_id: str
    hard: bool


class HostForgetImages(Told):
    """`host.forget_images`: remove cached copies of images that are no more."""

    host: str


class HostFilterPorts(Told):
    """`host.filter_ports`: tell the host what its guests' ports let through."""

    host: str


class ServerInterface(Told):
    """`server.attach_interface`, `server.detach_interface`: a port of the server's."""

    server_id: str
    port_id: str


class ServerEvacuate(Told):
    """`server.evacuate`: bring a server up elsewhere, as its host is down; or, with `leaving`, as it is to be empty."""

    server: Server
    """As it was recorded when this was asked for."""
    project_name: str
    host: str | None = None
    """The host to go to; None = the scheduler's choice."""
    force: bool = False
    """With `host`: go there unasked, whatever the scheduler would say of it."""
    admin_password: str = ""
    """Given to a guest that is made anew through the config drive; wiped from here once the operation has ended."""
    stay_stopped: bool = False
    """Leave it off, also where it ran (from microversion 2.95 on)."""
    may_rebuild: bool = True
    """Where no host shares its disks: make them anew from the image, which loses what was on them."""
    waits: bool = False
    """Wait for room instead of failing (automatic evacuation)."""
    leaving: bool = False
    """The host is up and is being emptied: its guest is powered off first."""


class ServerMove(Told):
    """`server.move`: shut a server down, boot it on the same disks on another host, start it where it ran."""

    server: Server
    project_name: str
    host: str | None = None


class GuestRemove(Told):
    """`guest.remove`: remove a guest that is left at a place which its server has left."""

    server_id: str
    place: str
    host: str


class HostDrain(Told):
    """`host.drain`: move every server away from a host, and keep new ones from it."""

    host: str
    reason: str = ""
    rebuild: bool = False
    """Make servers whose disks only this host has anew from their images."""
