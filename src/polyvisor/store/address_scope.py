"""Address scopes."""

from __future__ import annotations

from sqlalchemy import Column, Integer, Table, exists, select

from polyvisor.model.errors import Conflict
from polyvisor.model.subnet_pool import AddressScope
from polyvisor.store.network_standard import StandardNoun, standard_columns
from polyvisor.store.subnet_pool import subnet_pool
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

    def create(self, record: AddressScope) -> AddressScope:
        """A new scope."""
        self._add([record])
        if record.shared:
            self._store.rbac_policy.open_to_all("address_scope", record.id, record.project_id)
        return record

    def delete(self, record: AddressScope) -> None:
        """Remove a scope. Raises Conflict while pools are in it."""
        if self._sql.execute(select(exists().where(subnet_pool.c.address_scope_id == record.id))).scalar():
            raise Conflict(
                f"Unable to complete operation on address scope {record.id}. There are one or more subnet pools in "
                "use on the address scope.",
                kind="AddressScopeInUse",
            )
        self._remove([record.id])
