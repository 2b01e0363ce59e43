"""QoS policies in the store, with their rules."""

from __future__ import annotations

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
    delete,
    insert,
    select,
    union,
    update,
)

from polyvisor.model.errors import Conflict, Forbidden, NotFound
from polyvisor.model.network_intent import Unit
from polyvisor.model.qos_policy import QosPolicy, QosRule
from polyvisor.model.rbac_policy import AS_SHARED, EVERYBODY
from polyvisor.store.children import children
from polyvisor.store.network import network
from polyvisor.store.network_standard import StandardNoun, standard_columns
from polyvisor.store.port_tables import port
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

    def create(self, record: QosPolicy) -> None:
        """A new policy without rules. Raises Conflict where the project has another default."""
        if record.is_default:
            self._refuse_other_default(record)
        self._add([record])
        if record.shared:
            self._store.rbac_policy.open_to_all("qos_policy", record.id, record.project_id)

    def update(self, record: QosPolicy, changes: dict[str, Any], now: datetime) -> QosPolicy:
        """With other fields. Raises Conflict as `create` does, and where others use what is to be shared no longer."""
        if changes.get("is_default"):
            self._refuse_other_default(record)
        if changes.get("shared", record.shared) != record.shared:
            self._share(record, shared=changes["shared"])
        return self.change(record, changes, now)

    def _share(self, record: QosPolicy, *, shared: bool) -> None:
        if shared:
            self._store.rbac_policy.open_to_all("qos_policy", record.id, record.project_id)
            return
        others = self.users(record.id) - {record.project_id, ""}
        if others:
            raise Conflict(
                f"QoS Policy {record.id} is used by the projects {', '.join(sorted(others))}: it stays shared until "
                "they use another.",
                kind="QosPolicyInUse",
            )
        self._store.rbac_policy.forget([record.id], action=AS_SHARED, target=EVERYBODY)

    def refuse_removal(self, id: str | None, instead: str | None, viewer: str | None) -> None:
        """Raise Forbidden where one who does not see a policy would replace it: what an administrator has put a network
        or a port under is not its project's to take away. One statement where there is a change, else none."""
        if id is None or id == instead or viewer is None:
            return
        try:
            self.get(id, viewer=viewer)
        except NotFound:
            raise Forbidden(
                f"Failed to remove provided policy {id} because you are not authorized: it is another project's, and "
                "not shared.",
                kind="PolicyRemoveAuthorizationError",
            ) from None

    def users(self, id: str) -> set[str]:
        """The projects whose ports or networks are under a policy. One statement."""
        parts = [select(table.c.project_id).where(table.c.qos_policy_id == id) for _, table in _USERS]
        return set(self._sql.execute(union(*parts)).scalars())

    def delete(self, record: QosPolicy) -> None:
        """Remove a policy and its rules. Raises Conflict while something is under it."""
        for what, table in _USERS:
            user = self._sql.execute(select(table.c.id).where(table.c.qos_policy_id == record.id).limit(1)).scalar()
            if user is not None:
                raise Conflict(
                    f"QoS Policy {record.id} is used by {what} {user}: take it away there first.", kind="QosPolicyInUse"
                )
        self._sql.execute(delete(qos_rule).where(qos_rule.c.policy_id == record.id))
        self._remove([record.id])

    def add_rule(self, record: QosPolicy, rule: QosRule, now: datetime) -> None:
        """A new rule of a policy. Raises Conflict where there is one of the kind for that direction."""
        self._refuse_conflict(record, rule)
        self._sql.execute(insert(qos_rule).values(policy_id=record.id, **msgspec.structs.asdict(rule)))
        self._rules_changed(record, now)

    def change_rule(self, record: QosPolicy, rule: QosRule, now: datetime) -> None:
        """A rule of a policy with other values. Raises Conflict as `add_rule` does."""
        self._refuse_conflict(record, rule)
        values = msgspec.structs.asdict(rule)
        self._sql.execute(update(qos_rule).where(qos_rule.c.id == values.pop("id")).values(**values))
        self._rules_changed(record, now)

    def remove_rule(self, record: QosPolicy, rule: QosRule, now: datetime) -> None:
        """A policy without that rule."""
        self._sql.execute(delete(qos_rule).where(qos_rule.c.id == rule.id))
        self._rules_changed(record, now)

    def of_rule(self, rule_id: str, viewer: str | None) -> QosPolicy:
        """The policy that a rule is of. Raises NotFound. At most two statements."""
        id = self._sql.execute(select(qos_rule.c.policy_id).where(qos_rule.c.id == rule_id)).scalar()
        if id is None:
            raise NotFound(f"QoS rule {rule_id} could not be found.", kind="QosRuleNotFound")
        return self.get(id, viewer=viewer)

    def default_of(self, project_id: str) -> str | None:
        """The id of the policy that a project's new networks are under, where it has one."""
        where = (qos_policy.c.project_id == project_id, qos_policy.c.is_default)
        id: str | None = self._sql.execute(select(qos_policy.c.id).where(*where)).scalar()
        return id

    def check(self, id: str | None, viewer: str | None) -> None:
        """Raise NotFound where there is no such policy to see for `viewer` (None = an administrator)."""
        if id is not None:
            self.get(id, viewer=viewer)

    def _refuse_other_default(self, record: QosPolicy) -> None:
        self._store.one_at_a_time(f"default QoS policy of {record.project_id}")
        if self.default_of(record.project_id) not in (None, record.id):
            raise Conflict(
                f"A default QoS policy exists for project {record.project_id}: unset that one first.",
                kind="QoSPolicyDefaultAlreadyExists",
            )

    def _refuse_conflict(self, record: QosPolicy, rule: QosRule) -> None:
        for other in record.rules:
            if other.id != rule.id and (other.kind, other.direction) == (rule.kind, rule.direction):
                raise Conflict(
                    f"Rule {rule.kind} conflicts with rule {other.id} which already exists in QoS Policy {record.id}.",
                    kind="QoSRulesConflict",
                )

    def _rules_changed(self, record: QosPolicy, now: datetime) -> None:
        self.bump([record.id], now)
        self.touched([record.id])


_USERS = (("port", port), ("network", network))
