"""QoS policies: how much ports may send and receive, and how their packets are marked."""

from typing import Any

import msgspec

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.fields import UNSET, Name, Project, Tags, Text, Truth, UnsetType, given, given_new, truths
from polyvisor.api.network.form import (
    ADMIN,
    READER,
    body_of,
    each_of,
    filters_of,
    for_change,
    listing,
    made,
    names_of,
    project_of,
    require_each,
    restricted,
    selected,
    standard,
)
from polyvisor.api.network.qos_rule import rule_view
from polyvisor.model.qos_policy import QosPolicy

qos_policies = Resource("/qos/policies")
MANAGER = "rule:project_manager_or_admin"
_SHARED = {verb: restricted(verb, "policy", {"shared": ADMIN}) for verb in ("create", "update")}
RULES = [
    Rule(name="create_policy", check=MANAGER, description="Make a QoS policy."),
    Rule(name="get_policy", check=READER, description="List and show the QoS policies that one sees."),
    Rule(name="update_policy", check=MANAGER, description="Change a QoS policy."),
    Rule(name="delete_policy", check=MANAGER, description="Delete a QoS policy."),
    *_SHARED["create"],
    *_SHARED["update"],
]
_KNOWN = {verb: names_of(rules) for verb, rules in _SHARED.items()}
_FILTERS = filters_of("shared", "is_default")
_SORTS = ("id", "name", "description", "project_id", "is_default", "created_at", "updated_at")


class NewPolicy(msgspec.Struct, forbid_unknown_fields=True):
    """What makes a policy."""

    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    tenant_id: Project | UnsetType = UNSET
    project_id: Project | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    shared: Truth | UnsetType = UNSET
    is_default: Truth | UnsetType = UNSET


class PolicyChange(msgspec.Struct, forbid_unknown_fields=True):
    """What of a policy can be changed."""

    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    shared: Truth | UnsetType = UNSET
    is_default: Truth | UnsetType = UNSET


@qos_policies.route(
    "POST", policy="create_policy", checked_by_handler=True, body=body_of("policy", "policies", NewPolicy)
)
def create(call: Call) -> Reply:
    """New policies, without rules."""
    wanted, several = each_of(call.body)
    return made("policy", "policies", [view(call, _make(call, each)) for each in wanted], several=several)


def _make(call: Call, new: NewPolicy) -> QosPolicy:
    values = given_new(new)
    target: dict[str, Any] = {"project_id": project_of(call, values)}
    call.require("create_policy", target)
    require_each(call, "create_policy", values, _KNOWN["create"], target)
    truths(values, "shared", "is_default")
    record = QosPolicy(id=call.new_id(), created_at=call.now, updated_at=call.now, **target, **values)
    call.store.qos_policy.create(record)
    return record


@qos_policies.route("GET", policy="get_policy")
def index(call: Call) -> Reply:
    """The policies that the project sees, with their rules. One statement."""
    return listing(call, "policies", call.store.qos_policy.list, view, _FILTERS, _SORTS)


@qos_policies.route("GET", "/{id}", policy="get_policy")
def show(call: Call) -> Reply:
    """One policy."""
    record = call.store.qos_policy.get(call.path["id"], viewer=call.owner)
    return Reply(200, {"policy": selected(call, view(call, record))})


@qos_policies.route("PUT", "/{id}", policy="update_policy", checked_by_handler=True, body=PolicyChange, key="policy")
def update(call: Call) -> Reply:
    """Change fields."""
    record = for_change(call, call.store.qos_policy, "update_policy")
    values = given(call.body)
    require_each(call, "update_policy", values, _KNOWN["update"], {"project_id": record.project_id})
    truths(values, "shared", "is_default")
    return Reply(200, {"policy": view(call, call.store.qos_policy.update(record, values, call.now))})


@qos_policies.route("DELETE", "/{id}", policy="delete_policy", checked_by_handler=True)
def delete(call: Call) -> Reply:
    """Delete a policy that nothing is under, with its rules."""
    call.store.qos_policy.delete(for_change(call, call.store.qos_policy, "delete_policy"))
    return Reply(204)


def view(_call: Call, record: QosPolicy) -> dict[str, Any]:
    """A policy as the caller sees it."""
    return {
        **standard(record),
        "shared": record.shared,
        "is_default": record.is_default,
        "rules": [{**rule_view(each), "type": each.kind, "qos_policy_id": record.id} for each in record.rules],
    }
