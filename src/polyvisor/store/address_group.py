"""Address groups in the store."""

from __future__ import annotations

from sqlalchemy import Column, Table, exists, select

from polyvisor.model.errors import Conflict
from polyvisor.model.network_intent import Unit
from polyvisor.model.security_group import AddressGroup
from polyvisor.store.network_standard import StandardNoun, standard_columns
from polyvisor.store.security_group import security_group_rule
from polyvisor.store.tables import Json, metadata

address_group = Table(
    "address_group",
    metadata,
    *standard_columns(),
    Column("addresses", Json(tuple[str, ...]), nullable=False),
)


class AddressGroups(StandardNoun[AddressGroup]):
    """The statements on address groups."""

    table = address_group
    kind = AddressGroup
    title = "Address group"
    missing = "AddressGroupNotFound"
    object_type = "address_group"
    unit = Unit.ADDRESS_GROUP

    def create(self, group: AddressGroup) -> None:
        """A new group."""
        self._add([group])

    def users(self, id: str) -> set[str]:
        """The projects whose rules name a group. One statement."""
        rule = security_group_rule.c
        return set(self._sql.execute(select(rule.project_id).where(rule.remote_address_group_id == id)).scalars())

    def delete(self, id: str) -> None:
        """Remove a group. Raises Conflict while a rule names it."""
        naming = exists().where(security_group_rule.c.remote_address_group_id == id)
        if self._sql.execute(select(naming)).scalar():
            raise Conflict(
                f"Address group {id} is in use on one or more security group rules: remove those first.",
                kind="AddressGroupInUse",
            )
        self._remove([id])
