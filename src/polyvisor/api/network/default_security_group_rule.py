"""Default security group rules: the rules that new security groups begin with."""

from typing import Any, Literal

import msgspec

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.fields import UNSET, Text, Truth, UnsetType, given, invalid, truths
from polyvisor.api.network.form import (
    ADMIN,
    body_of,
    check_revision,
    each_of,
    filters_of,
    listing,
    made,
    selected,
    standard,
)
from polyvisor.api.network.security_group_rule import read_fields
from polyvisor.model.security_group import DefaultSecurityGroupRule
from polyvisor.model.security_group_rule import PARENT, checked, rule_of

default_security_group_rules = Resource("/default-security-group-rules")
_NAME, _PLURAL = "default_security_group_rule", "default_security_group_rules"
RULES = [
    Rule(name=f"create_{_NAME}", check=ADMIN, description="Say what new security groups begin with."),
    Rule(name=f"get_{_NAME}", check="@", description="List and show what new security groups begin with."),
    Rule(name=f"delete_{_NAME}", check=ADMIN, description="Let new security groups begin without a rule."),
]
_FIELDS = (
    "direction", "ethertype", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix", "remote_group_id",
    "used_in_default_sg", "used_in_non_default_sg",
)  # fmt: skip
_FILTERS = filters_of(*_FIELDS)
_SORTS = ("id", "direction", "ethertype", "protocol", "created_at", "updated_at")


class NewDefaultRule(msgspec.Struct, forbid_unknown_fields=True):
    """What makes one. What has a type of error of its own is looked at by the handler."""

    direction: Literal["ingress", "egress"]
    ethertype: Any = UNSET
    protocol: Any = UNSET
    port_range_min: Any = UNSET
    port_range_max: Any = UNSET
    remote_ip_prefix: Any = UNSET
    remote_group_id: str | UnsetType | None = UNSET
    remote_address_group_id: str | UnsetType | None = UNSET
    description: Text | UnsetType = UNSET
    used_in_default_sg: Truth | UnsetType = UNSET
    used_in_non_default_sg: Truth | UnsetType = UNSET


@default_security_group_rules.route("POST", policy=f"create_{_NAME}", body=body_of(_NAME, _PLURAL, NewDefaultRule))
def create(call: Call) -> Reply:
    """New ones, all or none. Groups that are there already stay as they are."""
    wanted, several = each_of(call.body)
    return made(_NAME, _PLURAL, [view(call, _make(call, each)) for each in wanted], several=several)


def _make(call: Call, new: NewDefaultRule) -> DefaultSecurityGroupRule:
    values = {name: value for name, value in given(new).items() if value is not None}
    read_fields(values)
    truths(values, "used_in_default_sg", "used_in_non_default_sg")
    if values.pop("remote_address_group_id", None) is not None:
        raise invalid("default rules name no address group: give 'remote_ip_prefix', one rule for each.")
    if values.get("remote_group_id", PARENT) != PARENT:
        raise invalid(f"'remote_group_id' of a default rule is {PARENT}, which stands for the new group, or left out.")
    record = DefaultSecurityGroupRule(
        id=call.new_id(),
        project_id="",
        created_at=call.now,
        updated_at=call.now,
        **{name: value for name, value in values.items() if value is not None},
    )
    kept = checked(rule_of(record, group_id=PARENT, project_id="", id=record.id, now=call.now, default=False))
    same = {name: getattr(kept, name) for name in ("protocol", "port_range_min", "port_range_max")}
    record = msgspec.structs.replace(record, **same)
    call.store.default_security_group_rule.create(record)
    return record


@default_security_group_rules.route("GET", policy=f"get_{_NAME}")
def index(call: Call) -> Reply:
    """All of them, for everybody. One statement."""
    return listing(call, _PLURAL, call.store.default_security_group_rule.list, view, _FILTERS, _SORTS)


@default_security_group_rules.route("GET", "/{id}", policy=f"get_{_NAME}")
def show(call: Call) -> Reply:
    """One of them."""
    record = call.store.default_security_group_rule.get(call.path["id"])
    return Reply(200, {_NAME: selected(call, view(call, record))})


@default_security_group_rules.route("DELETE", "/{id}", policy=f"delete_{_NAME}")
def delete(call: Call) -> Reply:
    """Let new groups begin without it. Groups that are there already keep theirs."""
    record = call.store.default_security_group_rule.get(call.path["id"])
    check_revision(call, record)
    call.store.default_security_group_rule.delete(record)
    return Reply(204)


def view(_call: Call, record: DefaultSecurityGroupRule) -> dict[str, Any]:
    """A default rule as the API shows it; it belongs to no project."""
    told = standard(record)
    shown = {name: told[name] for name in ("id", "description", "created_at", "updated_at", "revision_number")}
    return {**shown, **{name: getattr(record, name) for name in _FIELDS}, "remote_address_group_id": None}
