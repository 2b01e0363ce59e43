"""A server's network card, as its hypervisor and its guest are told of it."""

from polyvisor.model.network import SegmentRef
from polyvisor.model.port_filter import PortFilter
from polyvisor.model.record import Told
from polyvisor.model.subnet import HostRoute


class NicAddress(Told):
    """One address of a card, with what its subnet says."""

    subnet_id: str
    ip_version: int
    address: str
    cidr: str
    """The subnet's."""
    gateway: str | None
    dns_nameservers: tuple[str, ...] = ()
    routes: tuple[HostRoute, ...] = ()
    dhcp: bool = True
    ipv6_address_mode: str | None = None


class Nic(Told):
    """A card: the port it stands for, and all that plugging it needs. Known to steps at a host by their arguments."""

    port_id: str
    network_id: str
    network_name: str
    project_id: str
    """The network's project."""
    mac_address: str
    mtu: int
    segment: SegmentRef
    """The segment that this host can carry."""
    addresses: tuple[NicAddress, ...] = ()
    vnic_type: str = "normal"
    port_security: bool = True
    tag: str = ""
    """What the guest's metadata calls the device."""
    filter: PortFilter | None = None
    """What its security groups let through, for hosts that filter by themselves; None = it is not theirs to filter."""
