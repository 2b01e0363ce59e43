"""Address scopes."""

from __future__ import annotations

from sqlalchemy import Column, Integer, Table

from polyvisor.model.subnet_pool import AddressScope
from polyvisor.store.network_standard import StandardNoun, standard_columns
from polyvisor.store.tables import metadata

address_scope = Table(
    "address_scope",
    metadata,
    *standard_columns(),
    Column("ip_version", Integer, nullable=False),
)


class AddressScopes(StandardNoun[AddressScope]):
    """The statements on address scopes."""

    table = address_scope
    kind = AddressScope
    title = "Address scope"
    missing = "AddressScopeNotFound"
    object_type = "address_scope"
