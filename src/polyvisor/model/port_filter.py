"""What a port's security groups let through, with all that they refer to: for those who know no groups."""

from polyvisor.model.record import Told


class Permit(Told):
    """Packets that are let through."""

    ingress: bool
    """Towards the port; else from it."""
    ethertype: str
    """"IPv4" or "IPv6"."""
    protocol: str | None = None
    """As in the rule: by Neutron's names or a number as text; None = all."""
    port_range_min: int | None = None
    """The first port; for ICMP the type."""
    port_range_max: int | None = None
    """The last port; for ICMP the code."""
    remotes: tuple[str, ...] | None = None
    """CIDRs of whom it may come from or go to; None = anybody."""
    stateful: bool = True
    """Whether replies are let through as well."""


class PortFilter(Told):
    """All that a port lets through; the rest is dropped."""

    port_id: str
    addresses: tuple[str, ...] = ()
    """CIDRs that it may send from: its own addresses, and its allowed address pairs."""
    permits: tuple[Permit, ...] = ()
