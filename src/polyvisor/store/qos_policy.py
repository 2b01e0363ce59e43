"""QoS policies in the store, with their rules."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, ColumnElement, ForeignKey, Integer, String, Table

from polyvisor.model.network_intent import Unit
from polyvisor.model.qos_policy import QosPolicy, QosRule
from polyvisor.store.children import children
from polyvisor.store.network_standard import StandardNoun, standard_columns
from polyvisor.store.tables import metadata

qos_policy = Table(
    "qos_policy",
    metadata,
    *standard_columns(),
    Column("is_default", Boolean, nullable=False),
)

qos_rule = Table(
    "qos_rule",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("policy_id", String(36), ForeignKey("qos_policy.id"), nullable=False, index=True),
    Column("kind", String(32), nullable=False),
    Column("direction", String(8), nullable=False),
    Column("max_kbps", Integer, nullable=False),
    Column("max_burst_kbps", Integer, nullable=False),
    Column("dscp_mark", Integer, nullable=False),
)


class QosPolicies(StandardNoun[QosPolicy]):
    """The statements on QoS policies."""

    table = qos_policy
    kind = QosPolicy
    title = "QoS policy"
    missing = "QosPolicyNotFound"
    object_type = "qos_policy"
    unit = Unit.QOS_POLICY

    def derived(self, viewer: str | None) -> dict[str, ColumnElement[Any]]:
        """The rules, and whether the policy is shared."""
        rules = children(qos_policy.c.id, qos_rule.c.policy_id, QosRule, order=("kind", "id"))
        return {**super().derived(viewer), "rules": rules}
