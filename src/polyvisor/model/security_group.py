"""Security groups and their rules, and the address groups that rules may name."""

from polyvisor.model.network_standard import Standard


class SecurityGroupRule(Standard):
    """One rule: what it matches is let through."""

    security_group_id: str
    direction: str
    """"ingress" or "egress"."""
    ethertype: str = "IPv4"
    """"IPv4" or "IPv6"."""
    protocol: str | None = None
    """By Neutron's names ("tcp", "icmp" …) or a number from 0 to 255 as text; None = all."""
    port_range_min: int | None = None
    """The first port; for ICMP the type."""
    port_range_max: int | None = None
    """The last port; for ICMP the code."""
    remote_ip_prefix: str | None = None
    remote_group_id: str | None = None
    remote_address_group_id: str | None = None
    normalized_cidr: str | None = None
    belongs_to_default_sg: bool = False


class DefaultSecurityGroupRule(Standard):
    """What new groups begin with: one rule. It belongs to no project."""

    direction: str
    ethertype: str = "IPv4"
    protocol: str | None = None
    port_range_min: int | None = None
    port_range_max: int | None = None
    remote_ip_prefix: str | None = None
    remote_group_id: str | None = None
    """"PARENT": the group that begins with it."""
    used_in_default_sg: bool = False
    """Whether the groups begin with it that projects have from their first need on."""
    used_in_non_default_sg: bool = True
    """Whether all other new groups begin with it."""


class SecurityGroup(Standard):
    """A group as the store has it."""

    stateful: bool = True
    shared: bool = False
    is_default: bool = False
    """Whether it is the group that the project's ports are in where nobody says otherwise."""
    rules: tuple[SecurityGroupRule, ...] = ()


class AddressGroup(Standard):
    """Addresses that rules name together."""

    addresses: tuple[str, ...] = ()
    """CIDRs."""
    shared: bool = False
