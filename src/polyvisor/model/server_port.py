"""What a list of servers shows of their ports."""

from polyvisor.model.port import FixedIp
from polyvisor.model.record import Record


class FloatingAddress(Record):
    """An address outside that stands for one of a port's own."""

    fixed_ip: str | None
    address: str


class ShownGroup(Record):
    """A security group that a port is in."""

    id: str
    name: str


class ShownPort(Record):
    """A port of a server."""

    id: str
    mac_address: str
    fixed_ips: tuple[FixedIp, ...]
    status: str
    network_id: str
    network_name: str
    floating: tuple[FloatingAddress, ...] = ()
    groups: tuple[ShownGroup, ...] = ()
