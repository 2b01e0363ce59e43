"""Finding servers by the addresses of their ports."""

from sqlalchemy import ColumnElement, String, Table, exists, func, type_coerce

from polyvisor.store.port_tables import port, port_address

_DIGITS = {4: 8, 6: 32}
"""How long the key of an address is."""


def has_address_like(server: Table, pattern: str, version: int) -> ColumnElement[bool]:
    """Whether one of a server's own ports has an IPv4 or IPv6 address that the regular expression matches."""
    return exists().where(
        port.c.device_id == server.c.id,
        type_coerce(server.c.ports, String).contains(port.c.id),
        port_address.c.port_id == port.c.id,
        func.length(port_address.c.key) == _DIGITS[version],
        port_address.c.ip_address.regexp_match(pattern),
    )
