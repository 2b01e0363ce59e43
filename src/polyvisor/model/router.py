"""Routers between subnets, and what they translate: floating IPs and forwarded ports."""

from polyvisor.model.network_standard import Standard
from polyvisor.model.port import FixedIp, WantedIp
from polyvisor.model.record import Record
from polyvisor.model.subnet import HostRoute


class Gateway(Record):
    """A router's way out."""

    network_id: str
    port_id: str
    """Its port on the external network."""
    enable_snat: bool = True
    external_fixed_ips: tuple[FixedIp, ...] = ()


class GatewayWanted(Record):
    """The way out that a router is to have. What is None is chosen, or stays as it is."""

    network_id: str
    enable_snat: bool | None = None
    external_fixed_ips: tuple[WantedIp, ...] | None = None


class Interface(Record):
    """A router's port on a network, its gateway's too."""

    port_id: str
    network_id: str
    mac_address: str
    fixed_ips: tuple[FixedIp, ...]


class Router(Standard):
    """A router as the store has it."""

    admin_state_up: bool = True
    gateway: Gateway | None = None
    routes: tuple[HostRoute, ...] = ()


class PortDetails(Record):
    """What is told of a port with the floating IP that stands for it."""

    id: str
    name: str
    network_id: str
    mac_address: str
    admin_state_up: bool
    status: str
    device_id: str
    device_owner: str


class PortForwarding(Standard):
    """Ports of a floating IP that are handed on to a port inside."""

    floating_ip_id: str
    protocol: str
    """"tcp" or "udp"."""
    external_port: str
    """A port, or "first:last"."""
    internal_port: str
    """As many ports as `external_port`, or one."""
    internal_port_id: str
    internal_ip_address: str


class FloatingIp(Standard):
    """An address of an external network that stands for a port's, or some of whose ports are handed on."""

    floating_network_id: str
    floating_ip_address: str
    floating_port_id: str
    """The port on the external network that keeps the address."""
    router_id: str | None = None
    port_id: str | None = None
    fixed_ip_address: str | None = None
    status: str = "DOWN"
    """"ACTIVE" while it stands for a port or hands ports on, else "DOWN"."""
    ports: tuple[PortDetails, ...] = ()
    """The port that it stands for, where there is one."""
    port_forwardings: tuple[PortForwarding, ...] = ()


class FloatingIpWanted(Record):
    """The floating IP that is to be made. What is None is chosen, or left out."""

    project_id: str
    floating_network_id: str
    floating_ip_address: str | None = None
    subnet_id: str | None = None
    """The subnet of the external network that the address is to be of."""
    description: str = ""
    tags: tuple[str, ...] = ()
