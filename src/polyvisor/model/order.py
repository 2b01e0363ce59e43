"""What the API orders of the engine: the arguments of each kind of operation."""

from polyvisor.model.place import PlaceRequest
from polyvisor.model.record import Record
from polyvisor.model.server import Server


class ServerCreate(Record):
    """`server.create`: make a server's guest and boot it."""

    server: Server
    """As it was recorded."""
    request: PlaceRequest
    project_name: str
    admin_password: str = ""
    """Given to the guest through the config drive; wiped from here once the operation has ended."""


class ServerTarget(Record):
    """Operations that need to know nothing but the server."""

    server_id: str


class ServerConsoleLog(Record):
    """`server.console_log`: read the serial console's log."""

    server_id: str
    length: int | None = None
    """How many lines from the end; None = all."""


class ServerReboot(Record):
    """`server.reboot`: `hard` = cut the power."""

    server_id: str
    hard: bool


class HostForgetImages(Record):
    """`host.forget_images`: remove cached copies of images that are no more."""

    host: str
