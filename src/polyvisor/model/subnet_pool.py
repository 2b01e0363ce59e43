"""Subnet pools, from which subnets take their ranges, and address scopes, within which no two ranges overlap."""

from polyvisor.model.network_standard import Standard


class AddressScope(Standard):
    """An address scope as the store has it."""

    ip_version: int
    shared: bool = False


class SubnetPool(Standard):
    """A subnet pool as the store has it."""

    ip_version: int
    prefixes: tuple[str, ...]
    """CIDRs, merged and in order."""
    min_prefixlen: int
    max_prefixlen: int
    default_prefixlen: int
    default_quota: int | None = None
    """How many addresses (IPv4) or /64 networks (IPv6) one project may take; None = all."""
    address_scope_id: str | None = None
    shared: bool = False
    is_default: bool = False
