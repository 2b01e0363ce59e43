"""Segments of networks: each VLAN, tunnel identifier and flat network is carried by one of them at most."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ForeignKey, Integer, String, Table

from polyvisor.model.network import NetworkType, Segment, SegmentRef
from polyvisor.store.network_standard import StandardNoun, standard_columns
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


def slot_of(carried: SegmentRef) -> str:
    """The name of what the segment occupies."""
    number = "" if carried.segmentation_id is None else carried.segmentation_id
    return f"{carried.network_type}:{carried.physical_network or ''}:{number}"


class Segments(StandardNoun[Any]):
    """The statements on segments."""

    table = segment
    kind = Segment
    title = "Segment"
    missing = "SegmentNotFound"
