"""What a network backend has to look at again: one entry for each record whose wanted state it must bring about."""

from enum import StrEnum

from polyvisor.model.record import Record


class Unit(StrEnum):
    """Kinds of records that backends turn into something real, each by itself."""

    NETWORK = "network"
    """With its segments and its subnets (DHCP options, DNS)."""
    PORT = "port"
    ROUTER = "router"
    """With its interfaces, gateway, routes, floating IPs and port forwardings."""
    SECURITY_GROUP = "security_group"
    """With its rules."""
    ADDRESS_GROUP = "address_group"
    QOS_POLICY = "qos_policy"


class Intent(Record):
    """A record that was changed or removed and that the backend has not brought about yet."""

    unit: Unit
    id: str
    revision: int
    """Grows with each change; what was brought about is struck off only where nothing came in between."""
