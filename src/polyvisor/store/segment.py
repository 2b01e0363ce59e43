"""Segments of networks: each VLAN, tunnel identifier and flat network is carried by one of them at most."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import msgspec
from sqlalchemy import Column, ColumnElement, ForeignKey, Integer, Row, String, Table, exists, func, insert, or_, select

from polyvisor.model.errors import Conflict, Unavailable
from polyvisor.model.network import Network, NetworkType, Segment, SegmentRef
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.segment import checked, for_projects, room
from polyvisor.store.network_standard import StandardNoun, standard_columns
from polyvisor.store.rbac_policy import rbac_policy
from polyvisor.store.tables import Word, metadata

segment = Table(
    "segment",
    metadata,
    *standard_columns(),
    Column("network_id", String(36), ForeignKey("network.id"), nullable=False, index=True),
    Column("position", Integer, nullable=False),
    Column("slot", String(96), nullable=False, unique=True),
    Column("network_type", Word(NetworkType), nullable=False),
    Column("physical_network", String(64)),
    Column("segmentation_id", Integer),
)
"""`slot` names what no two segments may share: "vlan:physnet:100", "geneve::5", "flat:physnet:"."""

_CARRIED = SegmentRef.__struct_fields__
_PLAIN = tuple(name for name in Segment.__struct_fields__ if name != "carried")
_TAKEN = {NetworkType.VLAN: "VlanIdInUse", NetworkType.GENEVE: "TunnelIdInUse", NetworkType.FLAT: "FlatNetworkInUse"}
_WINDOW = 64


def slot_of(carried: SegmentRef) -> str:
    """The name of what the segment occupies."""
    number = "" if carried.segmentation_id is None else carried.segmentation_id
    return f"{carried.network_type}:{carried.physical_network or ''}:{number}"


class Segments(StandardNoun[Segment]):
    """The statements on segments."""

    table = segment
    kind = Segment
    title = "Segment"
    missing = "SegmentNotFound"

    def _fields(self, viewer: str | None) -> dict[str, ColumnElement[Any]]:
        return {name: segment.c[name] for name in (*_PLAIN, *_CARRIED)}

    def _of(self, row: Row[Any]) -> Segment:
        plain = dict(zip(_PLAIN, row, strict=False))
        carried = dict(zip(_CARRIED, row[len(_PLAIN) :], strict=True))
        return Segment(**plain, carried=SegmentRef(**carried))

    def visible(self, viewer: str) -> ColumnElement[bool]:
        """A project sees the segments of its own networks, and of those that are opened to it."""
        opened = exists().where(
            rbac_policy.c.object_id == segment.c.network_id, rbac_policy.c.target_project.in_(["*", viewer])
        )
        return or_(segment.c.project_id == viewer, opened)

    def of_networks(self, network_ids: Sequence[str]) -> list[Segment]:
        """The segments of networks, in the order of their making. One statement."""
        statement = self._select(None).where(segment.c.network_id.in_(sorted(network_ids)))
        return [
            self._of(row) for row in self._sql.execute(statement.order_by(segment.c.network_id, segment.c.position))
        ]

    def choose(
        self, wanted: Sequence[SegmentRef], *, network_id: str, settings: NetworkSettings
    ) -> tuple[SegmentRef, ...]:
        """The segments that a network gets: those that are asked for, else one as projects' networks have it.

        Raises Invalid, Conflict (taken), Unavailable (none left).
        """
        if wanted:
            return tuple(self._certain(each, network_id, settings) for each in wanted)
        for kind in for_projects(settings):
            found = self._numbered(kind, network_id, settings)
            if found is not None:
                return (found,)
        raise Unavailable(
            "Unable to create the network. No tenant network is available for allocation: ask an administrator for "
            "more VLANs or tunnel identifiers.",
            kind="NoNetworkAvailable",
        )

    def _certain(self, wanted: SegmentRef, network_id: str, settings: NetworkSettings) -> SegmentRef:
        checked(wanted, settings)
        if wanted.segmentation_id is None and wanted.network_type is not NetworkType.FLAT:
            found = self._numbered(wanted, network_id, settings)
            if found is None:
                raise Unavailable(
                    f"No segmentation id is left for {wanted.network_type} networks: name one, or ask for more.",
                    kind="NoNetworkAvailable",
                )
            return found
        if self._sql.execute(select(segment.c.id).where(segment.c.slot == slot_of(wanted))).first() is not None:
            where = f" on physical network {wanted.physical_network}" if wanted.physical_network else ""
            number = "" if wanted.segmentation_id is None else f" {wanted.segmentation_id}"
            raise Conflict(
                f"Unable to create the network. The {wanted.network_type} segment{number}{where} is in use.",
                kind=_TAKEN[wanted.network_type],
            )
        return wanted

    def _numbered(self, wanted: SegmentRef, network_id: str, settings: NetworkSettings) -> SegmentRef | None:
        """The segment with a free number, looked for from one on that follows from the network's id."""
        ranges = room(wanted, settings)
        total = sum(last - first + 1 for first, last in ranges)
        start = UUID(network_id).int % total if total else 0
        at = 0
        while at < total:
            numbers = [_nth(ranges, (start + at + step) % total) for step in range(min(_WINDOW, total - at))]
            slots = {slot_of(msgspec.structs.replace(wanted, segmentation_id=number)): number for number in numbers}
            taken = set(self._sql.execute(select(segment.c.slot).where(segment.c.slot.in_(list(slots)))).scalars())
            for slot, number in slots.items():
                if slot not in taken:
                    return msgspec.structs.replace(wanted, segmentation_id=number)
            at += _WINDOW
        return None

    def create(self, record: Segment, network: Network, *, settings: NetworkSettings) -> Segment:
        """One more segment of a network that the caller has got in this transaction. Raises Invalid and Conflict."""
        [carried] = self.choose([record.carried], network_id=network.id, settings=settings)
        chosen = msgspec.structs.replace(record, carried=carried)
        last = select(func.max(segment.c.position)).where(segment.c.network_id == network.id)
        self.add([chosen], (self._sql.execute(last).scalar() or 0) + 1)
        self._store.network.change(network, {"segments": (*network.segments, carried)}, record.created_at)
        return chosen

    def delete(self, record: Segment, now: datetime) -> None:
        """Take a segment from its network. Raises Conflict for its last one, and while subnets are on it."""
        network = self._store.network.get(record.network_id)
        if len(network.segments) <= 1:
            raise Conflict(
                f"Segment '{record.id}' cannot be deleted: it is the only one of network {network.id}, which goes with "
                "its network.",
                kind="SegmentInUse",
            )
        if any(each.segment_id == record.id for each in self._store.subnet.of_networks([network.id])):
            raise Conflict(
                f"Segment '{record.id}' cannot be deleted: The segment is still associated with subnet(s).",
                kind="SegmentInUse",
            )
        self._remove([record.id])
        left = tuple(each for each in network.segments if each != record.carried)
        self._store.network.change(network, {"segments": left}, now)

    def insert(self, network: Network, carried: Sequence[SegmentRef], now: datetime) -> None:
        """Write down the segments of a new network."""
        records = [
            Segment(
                id=str(uuid5(UUID(network.id), f"segment {position}")),
                project_id=network.project_id,
                network_id=network.id,
                carried=each,
                created_at=now,
                updated_at=now,
            )
            for position, each in enumerate(carried)
        ]
        self.add(records)

    def add(self, records: Sequence[Segment], position: int = 0) -> None:
        """Write down segments; `position`: the first one's place in its network."""
        rows = []
        for at, record in enumerate(records, position):
            fields = msgspec.structs.asdict(record)
            carried = fields.pop("carried")
            rows.append({**fields, **msgspec.structs.asdict(carried), "slot": slot_of(carried), "position": at})
        self._sql.execute(insert(segment), rows)


def _nth(ranges: Sequence[tuple[int, int]], index: int) -> int:
    for first, last in ranges:
        if index <= last - first:
            return first + index
        index -= last - first + 1
    raise IndexError(index)
