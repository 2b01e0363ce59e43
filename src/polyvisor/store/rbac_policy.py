"""RBAC policies: which project may see or use another's things."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from sqlalchemy import Column, Index, String, Table, UniqueConstraint, delete

from polyvisor.model.rbac_policy import RbacPolicy
from polyvisor.store.records import Records
from polyvisor.store.tables import metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

rbac_policy = Table(
    "rbac_policy",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False, index=True),
    Column("object_type", String(32), nullable=False),
    Column("object_id", String(36), nullable=False),
    Column("action", String(32), nullable=False),
    Column("target_project", String(64), nullable=False),
    UniqueConstraint("object_id", "action", "target_project"),
    Index("ix_rbac_policy_target_project", "target_project"),
)
_records = Records(rbac_policy, RbacPolicy)


class RbacPolicies:
    """The statements on RBAC policies."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def forget(self, object_ids: Collection[str]) -> None:
        """These things are gone, and their policies with them."""
        self._sql.execute(delete(rbac_policy).where(rbac_policy.c.object_id.in_(sorted(object_ids))))
