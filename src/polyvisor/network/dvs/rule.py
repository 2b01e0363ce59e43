"""A traffic rule of a distributed switch, in plain values: what is used of VMware's DvsTrafficRule."""

from polyvisor.model.record import Record

ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}


class TrafficRule(Record):
    """The first rule of a port that matches a packet decides. None of them knows of connections."""

    incoming: bool
    """Towards the guest; else from it."""
    accept: bool
    protocol: int | None = None
    """IANA's number; None = all of IP."""
    source: str = ""
    """CIDR; empty = not asked for."""
    destination: str = ""
    source_ports: tuple[int, int] | None = None
    """The first and the last; None = not asked for."""
    destination_ports: tuple[int, int] | None = None
