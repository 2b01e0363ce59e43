"""Trunks in the store, with the ports that they carry."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Integer,
    String,
    Table,
    UniqueConstraint,
    case,
    delete,
    exists,
    insert,
    or_,
    select,
    update,
)

from polyvisor.model.errors import Conflict, NotFound
from polyvisor.model.network_intent import Unit
from polyvisor.model.port import Carried, Port, TrunkDetails
from polyvisor.model.trunk import SUB_PORT_OWNER, SubPort, Trunk
from polyvisor.store.children import children, json_rows
from polyvisor.store.network import network
from polyvisor.store.network_standard import StandardNoun, standard_columns
from polyvisor.store.port_tables import port
from polyvisor.store.tables import metadata

trunk = Table(
    "trunk",
    metadata,
    *standard_columns(),
    Column("port_id", String(36), ForeignKey("port.id"), nullable=False, unique=True),
    Column("admin_state_up", Boolean, nullable=False),
    Column("status", String(16), nullable=False),
)
"""`status` is not read any more: it follows from the port's."""

trunk_sub_port = Table(
    "trunk_sub_port",
    metadata,
    Column("port_id", String(36), ForeignKey("port.id"), primary_key=True),
    Column("trunk_id", String(36), ForeignKey("trunk.id"), nullable=False),
    Column("segmentation_type", String(16), nullable=False),
    Column("segmentation_id", Integer, nullable=False),
    UniqueConstraint("trunk_id", "segmentation_type", "segmentation_id"),
)


def trunk_details(port_id: ColumnElement[Any]) -> dict[str, ColumnElement[Any]]:
    """What a port tells of its trunk, as columns of the ports' own statement: `values_of_trunk` reads them."""
    own = select(trunk.c.id).where(trunk.c.port_id == port_id).scalar_subquery()
    of, each, carried = trunk.alias("details_trunk"), trunk_sub_port.alias("details_sub_port"), port.alias("carried")
    rows = (
        select(json_rows(each.c.port_id, each.c.segmentation_type, each.c.segmentation_id, carried.c.mac_address))
        .select_from(of.join(each, each.c.trunk_id == of.c.id).join(carried, carried.c.id == each.c.port_id))
        .where(of.c.port_id == port_id)
    )
    return {"trunk_id": own, "trunk_sub_ports": rows.scalar_subquery()}


def values_of_trunk(values: dict[str, Any]) -> dict[str, Any]:
    """A port's values with `trunk` instead of the columns of `trunk_details`."""
    id, rows = values.pop("trunk_id"), values.pop("trunk_sub_ports")
    if id is None:
        return values
    carried = [Carried(**dict(zip(Carried.__struct_fields__, row, strict=True))) for row in msgspec.json.decode(rows)]
    carried.sort(key=lambda each: (each.segmentation_type, each.segmentation_id))
    return {**values, "trunk": TrunkDetails(trunk_id=id, sub_ports=tuple(carried))}


class Trunks(StandardNoun[Trunk]):
    """The statements on trunks."""

    table = trunk
    kind = Trunk
    title = "Trunk"
    missing = "TrunkNotFound"

    def derived(self, viewer: str | None) -> dict[str, ColumnElement[Any]]:
        """The ports on it, and whether it carries them: it does while packets pass at its own port."""
        order = ("segmentation_type", "segmentation_id")
        passes = exists().where(port.c.id == trunk.c.port_id, port.c.status == "ACTIVE")
        return {
            "sub_ports": children(trunk.c.id, trunk_sub_port.c.trunk_id, SubPort, order=order),
            "status": case((passes, "ACTIVE"), else_="DOWN"),
        }

    def create(self, record: Trunk, viewer: str | None, now: datetime) -> Trunk:
        """A new trunk on a port, carrying its sub ports. Raises NotFound, Invalid and Conflict in Neutron's words."""
        self._store.network_quota.check(record.project_id, trunk=1)
        parent = self._store.port.get(record.port_id, viewer=viewer)
        self._refuse_used([parent.id])
        if parent.binding.host:
            raise _parent_in_use(parent.id)
        self._add([msgspec.structs.replace(record, sub_ports=())])
        self._carry(record, record.sub_ports, viewer, now)
        self._tell(record)
        return self.get(record.id)

    def update(self, record: Trunk, changes: dict[str, Any], now: datetime) -> Trunk:
        """With another name, description or state."""
        self.change(record, changes, now)
        self._tell(record)
        return self.get(record.id)

    def delete(self, record: Trunk, now: datetime) -> None:
        """Remove a trunk; its ports stay. Raises Conflict while it is disabled, or a server uses its port."""
        _check_enabled(record)
        if self._store.port.get(record.port_id).binding.host:
            raise Conflict(
                f"Trunk {record.id} is currently in use: detach its port {record.port_id} from its server first.",
                kind="TrunkInUse",
            )
        self._drop([each.port_id for each in record.sub_ports], now)
        self._remove([record.id])
        self._tell(record)

    def add(self, record: Trunk, sub_ports: Sequence[SubPort], viewer: str | None, now: datetime) -> Trunk:
        """Let a trunk carry more ports. Raises as `create` does."""
        _check_enabled(record)
        self._carry(record, sub_ports, viewer, now)
        self.bump([record.id], now)
        found = self.get(record.id)
        self._tell(found)
        return found

    def remove(self, record: Trunk, port_ids: Collection[str], now: datetime) -> Trunk:
        """Let a trunk carry these ports no longer. Raises NotFound for one that it does not carry."""
        _check_enabled(record)
        carried = {each.port_id for each in record.sub_ports}
        for id in port_ids:
            if id not in carried:
                raise NotFound(
                    f"SubPort on trunk {record.id} with parent port {id} could not be found.", kind="SubPortNotFound"
                )
        self._drop(port_ids, now)
        self.bump([record.id], now)
        self._tell(record)
        return self.get(record.id)

    def refuse_gone(self, port_ids: Collection[str]) -> None:
        """Raise Conflict where one of these ports, which are to go, is a trunk's or is on one. Two statements."""
        names = sorted(port_ids)
        statement = select(trunk.c.port_id, trunk.c.id).where(trunk.c.port_id.in_(names))
        for id, of in self._sql.execute(statement):
            raise Conflict(f"Port {id} is currently a parent port for trunk {of}.", kind="PortInUseAsTrunkParent")
        statement = select(trunk_sub_port.c.port_id, trunk_sub_port.c.trunk_id)
        for id, of in self._sql.execute(statement.where(trunk_sub_port.c.port_id.in_(names))):
            raise Conflict(f"Port {id} is currently a subport for trunk {of}.", kind="PortInUseAsSubPort")

    def ports_gone(self, port_ids: Collection[str], now: datetime) -> None:
        """These ports are about to be removed with what had them: trunks on them go, others carry them no longer."""
        names = sorted(port_ids)
        carrying = select(trunk_sub_port.c.trunk_id).where(trunk_sub_port.c.port_id.in_(names))
        statement = self._select(None).where(or_(trunk.c.port_id.in_(names), trunk.c.id.in_(carrying)))
        for record in [self._of(row) for row in self._sql.execute(statement.order_by(trunk.c.id))]:
            whole = record.port_id in port_ids
            gone = [each.port_id for each in record.sub_ports if whole or each.port_id in port_ids]
            self._drop(gone, now)
            if whole:
                self._remove([record.id])
            else:
                self.bump([record.id], now)
            self._tell(record)

    def parents(self, port_ids: Collection[str]) -> dict[str, tuple[str, int]]:
        """By the id of a port that a trunk carries: the trunk's own port, and the VLAN. One statement."""
        statement = (
            select(trunk_sub_port.c.port_id, trunk.c.port_id, trunk_sub_port.c.segmentation_id)
            .join(trunk, trunk.c.id == trunk_sub_port.c.trunk_id)
            .where(trunk_sub_port.c.port_id.in_(sorted(port_ids)))
        )
        return {id: (parent, vlan) for id, parent, vlan in self._sql.execute(statement)}

    def _carry(self, record: Trunk, wanted: Sequence[SubPort], viewer: str | None, now: datetime) -> None:
        if not wanted:
            return
        ports = self._store.port.of_ids([each.port_id for each in wanted], viewer=viewer)
        taken = {each.segmentation_id for each in record.sub_ports if each not in wanted}
        mtus = self._mtus([record.port_id, *ports])
        mtu = mtus[record.port_id]
        for each in wanted:
            if each.port_id not in ports:
                raise self._store.port.not_found(each.port_id)
            _check_sub_port(record, ports[each.port_id])
            if mtus[each.port_id] > mtu:
                raise Conflict(
                    f"MTU {mtus[each.port_id]} of subport {each.port_id} cannot be greater than MTU {mtu} of trunk "
                    f"{record.id}.",
                    kind="SubPortMtuGreaterThanTrunkPortMtu",
                )
            if each.segmentation_id in taken:
                raise Conflict(
                    f"segmentation_type {each.segmentation_type} and segmentation_id {each.segmentation_id} already in "
                    f"use on trunk {record.id}.",
                    kind="DuplicateSubPort",
                )
            taken.add(each.segmentation_id)
        self._refuse_used(list(ports))
        rows = [{"trunk_id": record.id, **msgspec.structs.asdict(each)} for each in wanted]
        self._sql.execute(insert(trunk_sub_port), rows)
        self._own(list(ports), SUB_PORT_OWNER, now)

    def _own(self, port_ids: Collection[str], owner: str, now: datetime) -> None:
        """A port on a trunk says so by its owner."""
        of = port.c.id.in_(sorted(port_ids))
        self._sql.execute(update(port).where(of).values(device_owner=owner))
        self._store.port.bump(port_ids, now)

    def _drop(self, port_ids: Collection[str], now: datetime) -> None:
        self._sql.execute(delete(trunk_sub_port).where(trunk_sub_port.c.port_id.in_(sorted(port_ids))))
        self._own(port_ids, "", now)

    def _refuse_used(self, port_ids: Collection[str]) -> None:
        """Raise Conflict where one of these ports is a trunk's, or is on one."""
        names = sorted(port_ids)
        carried = select(trunk_sub_port.c.port_id).where(trunk_sub_port.c.port_id.in_(names))
        for id in self._sql.execute(carried).scalars():
            raise Conflict(f"Port {id} is in use by another trunk.", kind="TrunkPortInUse")
        parents = select(trunk.c.port_id).where(trunk.c.port_id.in_(names))
        for id in self._sql.execute(parents).scalars():
            raise _parent_in_use(id)

    def _mtus(self, port_ids: Collection[str]) -> dict[str, int]:
        statement = select(port.c.id, network.c.mtu).join(network, network.c.id == port.c.network_id)
        rows = self._sql.execute(statement.where(port.c.id.in_(sorted(port_ids))))
        return {row.id: row.mtu for row in rows}

    def _tell(self, *records: Trunk) -> None:
        ids = {id for record in records for id in (record.port_id, *(each.port_id for each in record.sub_ports))}
        self._store.network_intent.touch(Unit.PORT, ids)


def _check_sub_port(record: Trunk, carried: Port) -> None:
    if carried.id == record.port_id:
        raise _parent_in_use(carried.id)
    if carried.device_id:
        raise Conflict(
            f"Unable to complete operation on port {carried.id} for network {carried.network_id}. "
            f"Port already has an attached device {carried.device_id}.",
            kind="PortInUse",
        )


def _check_enabled(record: Trunk) -> None:
    if not record.admin_state_up:
        raise Conflict(
            f"Trunk {record.id} is currently disabled: set admin_state_up to true first.", kind="TrunkDisabled"
        )


def _parent_in_use(port_id: str) -> Conflict:
    return Conflict(
        f"Port {port_id} is currently in use and is not eligible for use as a parent port.", kind="ParentPortInUse"
    )
