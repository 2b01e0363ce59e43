"""RBAC policies: opening one's things to other projects."""

from typing import Any, Literal

import msgspec

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.fields import UNSET, Project, UnsetType, given, invalid
from polyvisor.api.network.form import ADMIN, MEMBER, READER, asked, listed, project_of, selected
from polyvisor.model.rbac_policy import AS_EXTERNAL, AS_SHARED, EVERYBODY, RbacPolicy
from polyvisor.model.subnet_pool import SubnetPool
from polyvisor.store.network_standard import StandardNoun

rbac_policies = Resource("/rbac-policies")

RULES = [
    Rule(name="create_rbac_policy", check=MEMBER, description="Open a thing of one's own to another project."),
    Rule(
        name="create_rbac_policy:target_tenant",
        check=ADMIN,
        description="Open a thing to every project.",
    ),
    Rule(name="get_rbac_policy", check=READER, description="List and show RBAC policies."),
    Rule(name="update_rbac_policy", check=MEMBER, description="Open a thing to another project instead."),
    Rule(name="update_rbac_policy:target_tenant", check=ADMIN, description="Open a thing to every project instead."),
    Rule(name="delete_rbac_policy", check=MEMBER, description="Open a thing to a project no longer."),
]
Kind = Literal["network", "security_group", "qos_policy", "address_scope", "subnetpool", "address_group"]


class NewPolicy(msgspec.Struct, forbid_unknown_fields=True):
    """What makes a policy."""

    object_type: Kind
    object_id: str
    action: Literal["access_as_shared", "access_as_external"]
    target_tenant: Project | UnsetType = UNSET
    target_project_id: Project | UnsetType = UNSET
    tenant_id: Project | UnsetType = UNSET
    project_id: Project | UnsetType = UNSET


class PolicyChange(msgspec.Struct, forbid_unknown_fields=True):
    """What of a policy can be changed."""

    target_tenant: Project


_FILTERS = {name: name for name in ("id", "project_id", "object_type", "object_id", "action")} | {
    "tenant_id": "project_id", "target_tenant": "target_project",
}  # fmt: skip
_SORTS = ("id", "project_id", "object_type", "object_id", "action")


def _noun(call: Call, kind: str) -> StandardNoun[Any]:
    store = call.store
    nouns: dict[str, StandardNoun[Any]] = {
        "network": store.network,
        "security_group": store.security_group,
        "qos_policy": store.qos_policy,
        "address_scope": store.address_scope,
        "subnetpool": store.subnet_pool,
        "address_group": store.address_group,
    }
    return nouns[kind]


@rbac_policies.route("POST", policy="create_rbac_policy", checked_by_handler=True, body=NewPolicy, key="rbac_policy")
def create(call: Call) -> Reply:
    """A new policy for a thing of one's own (an administrator: of anybody)."""
    values = given(call.body)
    target = {"project_id": project_of(call, values)}
    call.require("create_rbac_policy", target)
    targets = {values.pop(name) for name in ("target_tenant", "target_project_id") if name in values}
    if len(targets) != 1:
        raise invalid("'target_tenant' is required: a project's id, or '*'.")
    record = RbacPolicy(id=call.new_id(), target_project=targets.pop(), **values, **target)
    if record.target_project == EVERYBODY:
        call.require("create_rbac_policy:target_tenant", target)
    if record.action == AS_EXTERNAL and record.object_type != "network":
        raise invalid(f"the action {AS_EXTERNAL} is for networks alone.")
    thing = _noun(call, record.object_type).get(record.object_id, viewer=call.owner)
    if not call.is_admin and thing.project_id != call.project_id:
        raise invalid("Only admins can manipulate policies on objects they do not own.")
    if isinstance(thing, SubnetPool):
        _refuse_hidden_scope(call, thing, record.target_project)
    call.store.rbac_policy.create(record)
    _changed(call, record)
    if record.action == AS_EXTERNAL:
        call.store.network.opened_outside(thing, call.now)
    return Reply(201, {"rbac_policy": view(record)})


def _changed(call: Call, record: RbacPolicy) -> None:
    """Whom a thing is open to is a part of it: it gets its next revision."""
    _noun(call, record.object_type).bump([record.object_id], call.now)


def _refuse_hidden_scope(call: Call, pool: SubnetPool, target: str) -> None:
    """A pool is of use to those alone who may use its address scope."""
    scope = pool.address_scope_id
    if scope is None:
        return
    if call.store.address_scope.get(scope).project_id == target:
        return
    if not {target, EVERYBODY} & call.store.rbac_policy.targets(scope, AS_SHARED):
        raise invalid(
            f"subnetpool {pool.id} cannot be shared with {target}, which may not use its address scope {scope}: "
            "share the address scope first."
        )


@rbac_policies.route("GET", policy="get_rbac_policy")
def index(call: Call) -> Reply:
    """The policies that the project made. One statement."""
    by = asked(call, _FILTERS, _SORTS)
    found = call.store.rbac_policy.list(by)
    return listed(call, "rbac_policies", by, [view(each) for each in found], [each.id for each in found])


@rbac_policies.route("GET", "/{id}", policy="get_rbac_policy")
def show(call: Call) -> Reply:
    """One policy."""
    record = call.store.rbac_policy.get(call.path["id"], viewer=call.owner)
    return Reply(200, {"rbac_policy": selected(call, view(record))})


@rbac_policies.route("PUT", "/{id}", policy="update_rbac_policy", checked_by_handler=True, body=PolicyChange,
                     key="rbac_policy")  # fmt: skip
def update(call: Call) -> Reply:
    """Open the thing to another project instead, unless the one before uses it."""
    record = call.store.rbac_policy.get(call.path["id"], viewer=call.owner)
    target = {"project_id": record.project_id}
    call.require("update_rbac_policy", target)
    if call.body.target_tenant == EVERYBODY:
        call.require("update_rbac_policy:target_tenant", target)
    else:
        # What is shared stays with those who use it; an external network may be kept for one of them.
        kept = call.body.target_tenant if record.action == AS_EXTERNAL else ""
        call.store.rbac_policy.refuse_in_use(record, instead=kept)
    call.store.rbac_policy.set_target(record, call.body.target_tenant)
    _changed(call, record)
    return Reply(200, {"rbac_policy": view(msgspec.structs.replace(record, target_project=call.body.target_tenant))})


@rbac_policies.route("DELETE", "/{id}", policy="delete_rbac_policy", checked_by_handler=True)
def delete(call: Call) -> Reply:
    """Open the thing no longer, unless it is used."""
    record = call.store.rbac_policy.get(call.path["id"], viewer=call.owner)
    call.require("delete_rbac_policy", {"project_id": record.project_id})
    call.store.rbac_policy.refuse_in_use(record)
    call.store.rbac_policy.delete(record.id)
    _changed(call, record)
    if record.action == AS_EXTERNAL:
        call.store.network.closed_outside(record.object_id, call.now)
    return Reply(204)


def view(record: RbacPolicy) -> dict[str, Any]:
    """A policy as the API shows it."""
    return {
        "id": record.id,
        "tenant_id": record.project_id,
        "project_id": record.project_id,
        "object_type": record.object_type,
        "object_id": record.object_id,
        "action": record.action,
        "target_tenant": record.target_project,
    }
