"""Default security group rules in the store: what new security groups begin with."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Boolean, Column, ColumnElement, Integer, String, Table, true

from polyvisor.model.errors import Conflict
from polyvisor.model.security_group import DefaultSecurityGroupRule
from polyvisor.model.security_group_rule import key_of_default, neutrons_rules
from polyvisor.store.locking import one_at_a_time
from polyvisor.store.network_standard import StandardNoun, standard_columns
from polyvisor.store.tables import metadata

default_security_group_rule = Table(
    "default_security_group_rule",
    metadata,
    *standard_columns(),
    Column("direction", String(8), nullable=False),
    Column("ethertype", String(8), nullable=False),
    Column("protocol", String(16)),
    Column("port_range_min", Integer),
    Column("port_range_max", Integer),
    Column("remote_ip_prefix", String(64)),
    Column("remote_group_id", String(36)),
    Column("used_in_default_sg", Boolean, nullable=False),
    Column("used_in_non_default_sg", Boolean, nullable=False),
)


_MADE = "default_security_group_rules"
"""The cloud's fact that says that the first rules were made."""


class DefaultSecurityGroupRules(StandardNoun[DefaultSecurityGroupRule]):
    """The statements on default rules."""

    table = default_security_group_rule
    kind = DefaultSecurityGroupRule
    title = "Default security group rule"
    missing = "DefaultSecurityGroupRuleNotFound"

    def bootstrap(self, now: datetime) -> None:
        """Give a cloud the rules that Neutron's groups begin with, once: those that are taken away stay away."""
        one_at_a_time(self._sql, "first_start")
        if self._store.cloud.find(_MADE) is None:
            self._add(neutrons_rules(now))
            self._store.cloud.keep(_MADE, "yes")

    def visible(self, viewer: str) -> ColumnElement[bool]:
        """They are everybody's to see."""
        return true()

    def for_groups(self, *, default: bool) -> list[DefaultSecurityGroupRule]:
        """What a project's default group begins with, or (`default=False`) any other group. One statement."""
        table = default_security_group_rule.c
        return list(self.every(table.used_in_default_sg if default else table.used_in_non_default_sg).values())

    def create(self, record: DefaultSecurityGroupRule) -> None:
        """A new one. Raises Conflict where a kind of groups that it is for has such a rule already."""
        for other in self.every().values():
            both = (other.used_in_default_sg and record.used_in_default_sg) or (
                other.used_in_non_default_sg and record.used_in_non_default_sg
            )
            if both and key_of_default(other) == key_of_default(record):
                raise Conflict(
                    f"Default Security group rule already exists. Rule id is {other.id}.",
                    kind="DefaultSecurityGroupRuleExists",
                )
        self._add([record])

    def delete(self, record: DefaultSecurityGroupRule) -> None:
        """Remove one; groups keep the rules that were made of it."""
        self._remove([record.id])
