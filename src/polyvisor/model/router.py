"""Routers between subnets, and what they translate: floating IPs and forwarded ports."""

from polyvisor.model.network_standard import Standard
from polyvisor.model.port import FixedIp
from polyvisor.model.record import Record
from polyvisor.model.subnet import HostRoute


class Gateway(Record):
    """A router's way out."""

    network_id: str
    port_id: str
    """Its port on the external network."""
    enable_snat: bool = True
    external_fixed_ips: tuple[FixedIp, ...] = ()


class Interface(Record):
    """A router's port on a network."""

    port_id: str
    network_id: str
    mac_address: str
    fixed_ips: tuple[FixedIp, ...]


class Router(Standard):
    """A router as the store has it."""

    admin_state_up: bool = True
    gateway: Gateway | None = None
    routes: tuple[HostRoute, ...] = ()
    availability_zone_hints: tuple[str, ...] = ()


class FloatingIp(Standard):
    """An address of an external network that stands for a port's."""

    floating_network_id: str
    floating_ip_address: str
    floating_port_id: str
    """The port on the external network that keeps the address."""
    router_id: str | None = None
    port_id: str | None = None
    fixed_ip_address: str | None = None
    status: str = "DOWN"
    dns_name: str = ""
    dns_domain: str = ""
    qos_policy_id: str | None = None


class PortForwarding(Standard):
    """Ports of a floating IP that are handed on to a port inside."""

    floating_ip_id: str
    protocol: str
    """"tcp" or "udp"."""
    external_port: str
    """A port, or "first:last"."""
    internal_port: str
    internal_port_id: str
    internal_ip_address: str
