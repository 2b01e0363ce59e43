"""Filters of lists of ports that are more than "the column has one of these values"."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import ColumnElement, exists, or_

from polyvisor.model.errors import Invalid
from polyvisor.store.network_standard import Condition, matches
from polyvisor.store.port_tables import port, port_address, port_security_group


def _has_addresses(values: tuple[str, ...]) -> ColumnElement[bool]:
    """`fixed_ips=ip_address=10.0.0.5`, `subnet_id=…` or `ip_address_substr=…`; those of one kind are alternatives."""
    wanted: dict[str, list[str]] = {}
    for value in values:
        name, _, text = value.partition("=")
        if name not in ("ip_address", "subnet_id", "ip_address_substr"):
            raise Invalid(
                "The filter 'fixed_ips' is invalid: ip_address=…, subnet_id=… or ip_address_substr=… is expected."
            )
        wanted.setdefault(name, []).append(text)
    where: list[ColumnElement[bool]] = [port_address.c.port_id == port.c.id]
    for name, texts in wanted.items():
        if name == "ip_address_substr":
            where.append(or_(*(port_address.c.ip_address.contains(text, autoescape=True) for text in texts)))
        else:
            where.append(port_address.c[name].in_(texts))
    return exists().where(*where)


def _has_groups(values: tuple[str, ...]) -> ColumnElement[bool]:
    where = (port_security_group.c.port_id == port.c.id, port_security_group.c.security_group_id.in_(values))
    return exists().where(*where)


def _allocated(value: str) -> ColumnElement[bool]:
    has_one = exists().where(port_address.c.port_id == port.c.id)
    return has_one if value == "immediate" else ~has_one


FILTERS: Mapping[str, Condition] = {
    "fixed_ips": _has_addresses,
    "security_groups": _has_groups,
    "ip_allocation": lambda values: or_(*(_allocated(value) for value in values)),
    "binding:host_id": lambda values: matches(port.c.host, values, "binding:host_id"),
    "binding:vif_type": lambda values: matches(port.c.vif_type, values, "binding:vif_type"),
    "binding:vnic_type": lambda values: matches(port.c.vnic_type, values, "binding:vnic_type"),
}
"""By the API's names."""
