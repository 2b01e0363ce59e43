"""Security groups in the store, with their rules; and the group that each project has from its first need on."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import msgspec
from sqlalchemy import Boolean, Column, ColumnElement, ForeignKey, Integer, String, Table, delete, exists, or_, select

from polyvisor.model.errors import Conflict
from polyvisor.model.network_intent import Unit
from polyvisor.model.security_group import SecurityGroup, SecurityGroupRule
from polyvisor.model.security_group_rule import first_rules, refuse_duplicates
from polyvisor.store.children import children
from polyvisor.store.locking import may_write
from polyvisor.store.network_standard import StandardNoun, standard_columns
from polyvisor.store.port_tables import port_security_group
from polyvisor.store.tables import metadata
from polyvisor.store.upsert import insert_missing

DEFAULT_NAME = "default"
_OF_DEFAULT_GROUPS = UUID("0f5ba8a2-6d43-5b5c-9a3d-7f3c5f0a6e11")
"""What the ids of default groups are made from, together with their project's: two requests that come at once make
one group."""

security_group = Table(
    "security_group",
    metadata,
    *standard_columns(),
    Column("stateful", Boolean, nullable=False),
    Column("is_default", Boolean, nullable=False),
)

security_group_rule = Table(
    "security_group_rule",
    metadata,
    *standard_columns(),
    Column("security_group_id", String(36), ForeignKey("security_group.id"), nullable=False, index=True),
    Column("direction", String(8), nullable=False),
    Column("ethertype", String(8), nullable=False),
    Column("protocol", String(16)),
    Column("port_range_min", Integer),
    Column("port_range_max", Integer),
    Column("remote_ip_prefix", String(64)),
    Column("remote_group_id", String(36), ForeignKey("security_group.id"), index=True),
    Column("remote_address_group_id", String(36), ForeignKey("address_group.id"), index=True),
    Column("normalized_cidr", String(64)),
    Column("belongs_to_default_sg", Boolean, nullable=False),
)


class SecurityGroups(StandardNoun[SecurityGroup]):
    """The statements on security groups."""

    table = security_group
    kind = SecurityGroup
    title = "Security group"
    missing = "SecurityGroupNotFound"
    object_type = "security_group"
    unit = Unit.SECURITY_GROUP

    def derived(self, viewer: str | None) -> dict[str, ColumnElement[Any]]:
        """The rules, and whether the group is shared."""
        rules = children(security_group.c.id, security_group_rule.c.security_group_id, SecurityGroupRule)
        return {**super().derived(viewer), "rules": rules}

    def create(self, group: SecurityGroup) -> SecurityGroup:
        """A new group, with the rules that every new group begins with. Raises Conflict."""
        rules = tuple(first_rules(group, self._store.default_security_group_rule.for_groups(default=False)))
        self._store.network_quota.check(group.project_id, security_group=1, security_group_rule=len(rules))
        self._add([group])
        self._store.security_group_rule.insert(rules)
        return msgspec.structs.replace(group, rules=rules)

    def default(self, project_id: str, now: datetime) -> str:
        """The id of a project's default group, made where there is none. One statement, six more the first time."""
        id = default_id(project_id)
        if self._sql.execute(select(security_group.c.id).where(security_group.c.id == id)).first() is None:
            self._make_default(id, project_id, now)
        return id

    def has_default(self, project_id: str) -> bool:
        """Whether a project has its default group already. One statement."""
        where = security_group.c.id == default_id(project_id)
        return self._sql.execute(select(security_group.c.id).where(where)).first() is not None

    def _make_default(self, id: str, project_id: str, now: datetime) -> None:
        group = SecurityGroup(
            id=id,
            project_id=project_id,
            name=DEFAULT_NAME,
            description="Default security group",
            is_default=True,
            created_at=now,
            updated_at=now,
        )
        fields = msgspec.structs.asdict(group)
        insert_missing(self._sql, security_group, [{name: fields[name] for name in fields if name in self.table.c}])
        rules = first_rules(group, self._store.default_security_group_rule.for_groups(default=True))
        insert_missing(self._sql, security_group_rule, [msgspec.structs.asdict(rule) for rule in rules])
        self.touched([id])

    def of_port(self, ids: Collection[str], viewer: str | None) -> tuple[str, ...]:
        """These groups for one port, each once and in order; they stay until the transaction ends.

        Raises NotFound where `viewer` (None = an administrator) does not see one, and Conflict where stateful and
        stateless ones are mixed. At most one statement.
        """
        if not ids:
            return ()
        where: list[ColumnElement[bool]] = [security_group.c.id.in_(sorted(set(ids)))]
        if viewer is not None:
            where.append(self.visible(viewer))
        statement = select(security_group.c.id, security_group.c.stateful).where(*where)
        if may_write(self._sql):
            # Ports of one group are made side by side: what is kept away is the group's removal alone.
            statement = statement.order_by(security_group.c.id).with_for_update(read=True, key_share=True)
        found = {row.id: row.stateful for row in self._sql.execute(statement)}
        for id in ids:
            if id not in found:
                raise self.not_found(id)
        if len(set(found.values())) > 1:
            raise Conflict(
                "Cannot apply both stateful and stateless security groups on the same port at the same time.",
                kind="SecurityGroupConflict",
            )
        return tuple(dict.fromkeys(ids))

    def in_use(self, id: str) -> bool:
        """Whether ports are in the group. One statement."""
        return bool(self._sql.execute(select(exists().where(port_security_group.c.security_group_id == id))).scalar())

    def refuse_in_use(self, id: str) -> None:
        """Raise Conflict where ports are in the group."""
        if self.in_use(id):
            raise Conflict(f"Security Group {id} in use: remove it from its ports first.", kind="SecurityGroupInUse")

    def delete(self, group: SecurityGroup, now: datetime) -> None:
        """Remove a group that no port is in, its rules, and the rules of other groups that name it. Raises Conflict."""
        held = select(security_group.c.id).where(security_group.c.id == group.id)
        # Whoever puts a port into the group holds it: this waits for them, and sees what they did.
        self._sql.execute(held.with_for_update())
        self.refuse_in_use(group.id)
        rule = security_group_rule.c
        naming = delete(security_group_rule).where(rule.remote_group_id == group.id).returning(rule.security_group_id)
        others = set(self._sql.execute(naming).scalars()) - {group.id}
        self._sql.execute(delete(security_group_rule).where(rule.security_group_id == group.id))
        self._remove([group.id])
        if others:
            self.rules_changed(others, now)

    def rules_changed(self, ids: Iterable[str], now: datetime) -> None:
        """Rules of these groups were made or removed."""
        self.bump(ids, now)
        self.touched(ids)


class SecurityGroupRules(StandardNoun[SecurityGroupRule]):
    """The statements on rules. What backends are told of is their group."""

    table = security_group_rule
    kind = SecurityGroupRule
    title = "Security group rule"
    missing = "SecurityGroupRuleNotFound"

    def visible(self, viewer: str) -> ColumnElement[bool]:
        """A project sees its own rules, and those of its groups."""
        group = security_group.c
        of_own = exists().where(group.id == security_group_rule.c.security_group_id, group.project_id == viewer)
        return or_(security_group_rule.c.project_id == viewer, of_own)

    def create(self, group: SecurityGroup, rules: list[SecurityGroupRule], now: datetime) -> None:
        """New rules of a group that was read in this transaction. Raises Conflict: over quota, or there already."""
        refuse_duplicates(rules, group.rules)
        self._store.network_quota.check(rules[0].project_id, security_group_rule=len(rules))
        self.insert(rules)
        self._store.security_group.rules_changed([group.id], now)

    def insert(self, rules: Iterable[SecurityGroupRule]) -> None:
        """Record rules, and no more."""
        if found := list(rules):
            self._add(found)

    def delete(self, rule: SecurityGroupRule, now: datetime) -> None:
        """Remove a rule."""
        self._remove([rule.id])
        self._store.security_group.rules_changed([rule.security_group_id], now)


def default_id(project_id: str) -> str:
    """The id of a project's default group."""
    return str(uuid5(_OF_DEFAULT_GROUPS, project_id))
