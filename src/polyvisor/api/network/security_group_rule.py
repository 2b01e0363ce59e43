"""Rules of security groups."""

from typing import Any, Literal

import msgspec

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.fields import UNSET, Project, Tags, Text, UnsetType, given_new
from polyvisor.api.network.form import (
    MEMBER,
    READER,
    body_of,
    check_revision,
    each_of,
    filters_of,
    listing,
    made,
    project_of,
    selected,
    standard,
)
from polyvisor.model.errors import Invalid
from polyvisor.model.security_group import SecurityGroup, SecurityGroupRule
from polyvisor.model.security_group_rule import checked, ethertype_of, port_of, prefix_of, protocol_of

security_group_rules = Resource("/security-group-rules")
RULES = [
    Rule(name="create_security_group_rule", check=MEMBER, description="Make a rule of a security group."),
    Rule(name="get_security_group_rule", check=READER, description="List and show the rules of security groups."),
    Rule(name="delete_security_group_rule", check=MEMBER, description="Delete a rule of a security group."),
]
_FIELDS = (
    "security_group_id", "direction", "ethertype", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix",
    "remote_group_id", "remote_address_group_id", "normalized_cidr", "belongs_to_default_sg",
)  # fmt: skip
_FILTERS = filters_of(*_FIELDS)
_SORTS = ("id", "project_id", "created_at", "updated_at", *_FIELDS)
_READ = {
    "ethertype": ethertype_of,
    "protocol": protocol_of,
    "port_range_min": port_of,
    "port_range_max": port_of,
    "remote_ip_prefix": prefix_of,
}


class NewSecurityGroupRule(msgspec.Struct, forbid_unknown_fields=True):
    """What makes a rule. What has a type of error of its own is looked at by the handler."""

    security_group_id: str
    direction: Literal["ingress", "egress"]
    ethertype: Any = UNSET
    protocol: Any = UNSET
    port_range_min: Any = UNSET
    port_range_max: Any = UNSET
    remote_ip_prefix: Any = UNSET
    remote_group_id: str | UnsetType | None = UNSET
    remote_address_group_id: str | UnsetType | None = UNSET
    description: Text | UnsetType = UNSET
    tenant_id: Project | UnsetType = UNSET
    project_id: Project | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET


@security_group_rules.route(
    "POST",
    policy="create_security_group_rule",
    checked_by_handler=True,
    body=body_of("security_group_rule", "security_group_rules", NewSecurityGroupRule),
)
def create(call: Call) -> Reply:
    """New rules of one group, all or none."""
    wanted, several = each_of(call.body)
    if len({each.security_group_id for each in wanted}) > 1:
        raise Invalid("Only allowed to update rules for one security profile at a time.",
                      kind="SecurityGroupNotSingleGroupRules")  # fmt: skip
    group = call.store.security_group.get(wanted[0].security_group_id, viewer=call.owner)
    call.require("create_security_group_rule", {"project_id": group.project_id})
    rules = [_rule(call, group, each) for each in wanted]
    if len({rule.project_id for rule in rules}) > 1:
        raise Invalid("Multiple project_ids in bulk security group rule create not allowed.",
                      kind="SecurityGroupRulesNotSingleProject")  # fmt: skip
    _check_remotes(call, rules)
    call.store.security_group_rule.create(group, rules, call.now)
    shown = [rule_view(call, rule) for rule in rules]
    return made("security_group_rule", "security_group_rules", shown, several=several)


def read_fields(values: dict[str, Any]) -> None:
    """Bring what says which packets a rule is for into the form in which it is kept. Raises Invalid."""
    for name, read in _READ.items():
        if name in values:
            values[name] = read(values[name])


def _rule(call: Call, group: SecurityGroup, new: NewSecurityGroupRule) -> SecurityGroupRule:
    values = given_new(new)
    read_fields(values)
    rule = SecurityGroupRule(
        id=call.new_id(),
        project_id=project_of(call, values),
        belongs_to_default_sg=group.is_default,
        created_at=call.now,
        updated_at=call.now,
        **{name: value for name, value in values.items() if value is not None},
    )
    return checked(rule)


def _check_remotes(call: Call, rules: list[SecurityGroupRule]) -> None:
    """Raise NotFound for groups that the caller does not see. Two statements at most, however many rules there are."""
    for noun, ids in (
        (call.store.security_group, {rule.remote_group_id for rule in rules}),
        (call.store.address_group, {rule.remote_address_group_id for rule in rules}),
    ):
        named = {id for id in ids if id}
        known = noun.of_ids(named, viewer=call.owner)
        for id in sorted(named - set(known)):
            raise noun.not_found(id)


@security_group_rules.route("GET", policy="get_security_group_rule")
def index(call: Call) -> Reply:
    """The rules that the project sees. One statement."""
    return listing(call, "security_group_rules", call.store.security_group_rule.list, rule_view, _FILTERS, _SORTS)


@security_group_rules.route("GET", "/{id}", policy="get_security_group_rule")
def show(call: Call) -> Reply:
    """One rule."""
    record = call.store.security_group_rule.get(call.path["id"], viewer=call.owner)
    return Reply(200, {"security_group_rule": selected(call, rule_view(call, record))})


@security_group_rules.route("DELETE", "/{id}", policy="delete_security_group_rule", checked_by_handler=True)
def delete(call: Call) -> Reply:
    """Delete a rule."""
    record = call.store.security_group_rule.get(call.path["id"], viewer=call.owner)
    group = call.store.security_group.get(record.security_group_id)
    call.require("delete_security_group_rule", {"project_id": group.project_id})
    check_revision(call, record)
    call.store.security_group_rule.delete(record, call.now)
    return Reply(204)


def rule_view(_call: Call, record: SecurityGroupRule) -> dict[str, Any]:
    """A rule as the caller sees it."""
    shown = {**standard(record), **{name: getattr(record, name) for name in _FIELDS}}
    del shown["name"]
    return shown
