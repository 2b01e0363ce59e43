"""Networks, with their segments and with what opens them to other projects."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import msgspec
from sqlalchemy import Boolean, Column, ColumnElement, ForeignKey, Integer, String, Table, exists, select

from polyvisor.model.errors import Conflict, Invalid
from polyvisor.model.network import AutoAllocated, Network, NetworkType, SegmentRef
from polyvisor.model.network_intent import Unit
from polyvisor.model.network_list import everything
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.rbac_policy import AS_EXTERNAL, AS_SHARED, EVERYBODY, RbacPolicy
from polyvisor.model.segment import LEAST_MTU, largest_mtu
from polyvisor.store.network_standard import Condition, StandardNoun, matches, standard_columns
from polyvisor.store.segment import segment
from polyvisor.store.tables import Json, metadata

network = Table(
    "network",
    metadata,
    *standard_columns(),
    Column("admin_state_up", Boolean, nullable=False),
    Column("mtu", Integer, nullable=False),
    Column("external", Boolean, nullable=False),
    Column("is_default", Boolean, nullable=False),
    Column("port_security_enabled", Boolean, nullable=False),
    Column("dns_domain", String(255), nullable=False),
    Column("qos_policy_id", String(36), index=True),
    Column("availability_zone_hints", Json(tuple[str, ...]), nullable=False),
    Column("segments", Json(tuple[SegmentRef, ...]), nullable=False),
    Column("subnet_ids", Json(tuple[str, ...]), nullable=False),
)
"""`segments` and `subnet_ids` repeat what the tables of those say, so that a list of networks is one statement."""

auto_allocated = Table(
    "auto_allocated",
    metadata,
    Column("project_id", String(64), primary_key=True),
    Column("network_id", String(36), ForeignKey("network.id"), nullable=False, unique=True),
    Column("router_id", String(36)),
)
GOES_ALONG = ("network:dhcp", "network:distributed")
"""Owners of ports that do not keep a network or a subnet from being deleted, and go with it."""


class Networks(StandardNoun[Network]):
    """The statements on networks."""

    table = network
    kind = Network
    title = "Network"
    missing = "NetworkNotFound"
    object_type = "network"
    unit = Unit.NETWORK

    def filters(self) -> Mapping[str, Condition]:
        """Filters on the segments, and on what all networks have."""
        return {
            "provider:network_type": lambda values: _on_segment(
                segment.c.network_type.in_([each for each in NetworkType if each.value in values])
            ),
            "provider:physical_network": lambda values: _on_segment(segment.c.physical_network.in_(values)),
            "provider:segmentation_id": lambda values: _on_segment(
                matches(segment.c.segmentation_id, values, "provider:segmentation_id")
            ),
            "status": lambda values: network.c.id.is_not(None) if "ACTIVE" in values else network.c.id.is_(None),
            "router:external": lambda values: matches(network.c.external, values, "router:external"),
        }

    def create(self, record: Network, *, segments: Sequence[SegmentRef] = (), settings: NetworkSettings) -> Network:
        """A new network; `mtu=0` = as large as its segments allow. Raises Invalid, Conflict, Unavailable."""
        if record.project_id:
            self._store.network_quota.check(record.project_id, network=1)
        carried = self._store.segment.choose(segments, network_id=record.id, settings=settings)
        largest = largest_mtu(carried, settings)
        made = msgspec.structs.replace(record, segments=carried, mtu=record.mtu or largest)
        self._refuse_second_default(made)
        check_mtu(made.mtu, largest)
        self._add([made])
        self._store.segment.insert(made, carried, made.created_at)
        self._open(made, AS_SHARED, made.shared)
        self._open(made, AS_EXTERNAL, made.external)
        return made

    def change(self, record: Network, changes: Mapping[str, Any], now: datetime) -> Network:
        """The network with other fields; `shared` and `external` make and remove what says so. Raises Conflict."""
        if changes.get("shared", record.shared) != record.shared:
            if record.shared:
                self._store.rbac_policy.refuse_used(record.id, AS_SHARED, EVERYBODY, record.project_id)
            self._open(record, AS_SHARED, bool(changes["shared"]))
        if changes.get("external", record.external) != record.external:
            if record.external:
                self._refuse_gateways(record.id)
            self._open(record, AS_EXTERNAL, bool(changes["external"]))
        self._refuse_second_default(msgspec.structs.replace(record, **changes))
        if changes.get("mtu", record.mtu) < record.mtu:
            subnets = self._store.subnet.of_networks([record.id])
            check_mtu_of_subnets(record.id, changes["mtu"], {each.ip_version for each in subnets})
        return super().change(record, changes, now)

    def delete(self, record: Network, now: datetime) -> None:
        """Remove a network, with its subnets and segments, and with floating IPs that stand for no port.

        Raises Conflict while ports are on it.
        """
        for each in self._store.floating_ip.list(everything(None, floating_network_id=record.id)):
            if each.port_id is None:
                self._store.floating_ip.delete(each, now)
        self._store.network_port.clear_network(record.id, now)
        self._store.subnet.clear_network(record.id)
        self._sql.execute(segment.delete().where(segment.c.network_id == record.id))
        self._sql.execute(auto_allocated.delete().where(auto_allocated.c.network_id == record.id))
        self._remove([record.id])

    def opened_outside(self, record: Network, now: datetime) -> None:
        """A policy lets a project have gateways on the network: it is an external one from now on."""
        if not record.external:
            super().change(record, {"external": True}, now)

    def closed_outside(self, id: str, now: datetime) -> None:
        """A policy lets a project have gateways on the network no longer: it is external while another one does so."""
        record = self.get(id)
        if record.external and not self._store.rbac_policy.targets(id, AS_EXTERNAL):
            super().change(record, {"external": False}, now)

    def _open(self, record: Network, action: str, wanted: bool) -> None:
        """Open the network to everybody by `action`, or no longer."""
        self._store.rbac_policy.forget([record.id], action=action, target=EVERYBODY)
        if wanted:
            policy = RbacPolicy(
                id=str(uuid5(UUID(record.id), action)),
                project_id=record.project_id,
                object_type="network",
                object_id=record.id,
                action=action,
                target_project=EVERYBODY,
            )
            self._store.rbac_policy.insert(policy)

    def _refuse_second_default(self, record: Network) -> None:
        """Raise Conflict where there is another default external network."""
        if not (record.is_default and record.external):
            return
        where = (network.c.is_default, network.c.external, network.c.id != record.id)
        other = self._sql.execute(select(network.c.id).where(*where).limit(1)).scalar()
        if other is not None:
            raise Conflict(f"A default external network already exists: {other}.", kind="DefaultExternalNetworkExists")

    def _refuse_gateways(self, network_id: str) -> None:
        if self._store.network_port.on_network(network_id, ("network:router_gateway", "network:floatingip")):
            raise Conflict(
                f"External network {network_id} cannot be updated to be made non-external, since it has existing "
                "gateway ports: clear the routers' gateways and delete the floating IPs first.",
                kind="ExternalNetworkInUse",
            )

    # Networks that are made for projects which name none

    def auto_allocated(self, project_id: str) -> AutoAllocated | None:
        """What was made for a project. One statement."""
        row = self._sql.execute(select(auto_allocated).where(auto_allocated.c.project_id == project_id)).first()
        return None if row is None else AutoAllocated(**row._mapping)

    def set_auto_allocated(self, made: AutoAllocated) -> None:
        """Remember what was made for a project."""
        self._sql.execute(auto_allocated.insert().values(**msgspec.structs.asdict(made)))


def check_mtu(mtu: int, largest: int) -> None:
    """Raise Invalid for a size that the segments do not carry."""
    if mtu > largest:
        raise Invalid(
            f"Invalid input for operation: Requested MTU too big, maximum is {largest}: the network's segments carry "
            f"no packet of {mtu} bytes.",
            kind="InvalidInput",
        )


def check_mtu_of_subnets(network_id: str, mtu: int, ip_versions: Collection[int]) -> None:
    """Raise Conflict where packets of this size are too small for one of these versions of IP."""
    least = max((LEAST_MTU[version] for version in ip_versions), default=0)
    if mtu < least:
        raise Conflict(
            f"The MTU {mtu} of network {network_id} is less than {least}, which its subnets need at least: choose "
            "a larger one.",
            kind="NetworkMTUSubnetConflict",
        )


def _on_segment(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(segment.c.network_id == network.c.id, condition)
