"""Security groups."""

from typing import Any
from urllib.parse import parse_qsl

import msgspec

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.fields import UNSET, Name, Project, Tags, Text, Truth, UnsetType, given, given_new, truths
from polyvisor.api.network.form import (
    MEMBER,
    READER,
    body_of,
    each_of,
    filters_of,
    for_change,
    listing,
    made,
    project_of,
    selected,
    standard,
)
from polyvisor.api.network.security_group_rule import rule_view
from polyvisor.model.errors import Conflict
from polyvisor.model.network_list import NetworkList
from polyvisor.model.security_group import SecurityGroup
from polyvisor.store.security_group import DEFAULT_NAME

security_groups = Resource("/security-groups")
RULES = [
    Rule(name="create_security_group", check=MEMBER, description="Make a security group."),
    Rule(name="get_security_group", check=READER, description="List and show the security groups that one sees."),
    Rule(name="update_security_group", check=MEMBER, description="Change a security group."),
    Rule(name="delete_security_group", check=MEMBER, description="Delete a security group."),
]
_FILTERS = filters_of("stateful", "shared")
_SORTS = ("id", "name", "project_id", "stateful", "created_at", "updated_at")


class NewSecurityGroup(msgspec.Struct, forbid_unknown_fields=True):
    """What makes a security group."""

    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    tenant_id: Project | UnsetType = UNSET
    project_id: Project | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    stateful: Truth | UnsetType = UNSET


class SecurityGroupChange(msgspec.Struct, forbid_unknown_fields=True):
    """What of a security group can be changed."""

    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    stateful: Truth | UnsetType = UNSET


@security_groups.route(
    "POST",
    policy="create_security_group",
    checked_by_handler=True,
    body=body_of("security_group", "security_groups", NewSecurityGroup),
)
def create(call: Call) -> Reply:
    """New groups, which let everything out and nothing in."""
    wanted, several = each_of(call.body)
    shown = [view(call, _make(call, each)) for each in wanted]
    return made("security_group", "security_groups", shown, several=several)


def _make(call: Call, new: NewSecurityGroup) -> SecurityGroup:
    values = given_new(new)
    target: dict[str, Any] = {"project_id": project_of(call, values)}
    call.require("create_security_group", target)
    truths(values, "stateful")
    _refuse_default(values)
    call.store.security_group.default(target["project_id"], call.now)
    record = SecurityGroup(id=call.new_id(), created_at=call.now, updated_at=call.now, **target, **values)
    return call.store.security_group.create(record)


def _refuse_default(values: dict[str, Any]) -> None:
    """There is one group of that name in each project, and nobody makes it."""
    if values.get("name", "").lower() == DEFAULT_NAME:
        raise Conflict(
            "Default security group already exists: choose another name.", kind="SecurityGroupDefaultAlreadyExists"
        )


@security_groups.route("GET", policy="get_security_group")
def index(call: Call) -> Reply:
    """The groups that the project sees, its default group among them. One statement, if that group was made before.

    An administrator who asks for a project's groups is shown its default group too.
    """
    found: list[SecurityGroup] = []

    def find(by: NetworkList) -> list[SecurityGroup]:
        found.extend(call.store.security_group.list(by))
        return found

    reply = _listing(call, find)
    own = _asked_project(call) or call.caller.project_id
    if own is None or any(each.is_default and each.project_id == own for each in found):
        return reply
    if call.store.security_group.has_default(own):
        return reply
    with call.database.write() as store:
        store.security_group.default(own, call.now)
        return _listing(call, store.security_group.list)


def _asked_project(call: Call) -> str | None:
    """The project that an administrator narrows the list to, if there is such a one."""
    if not call.is_admin:
        return None
    named = [value for name, value in parse_qsl(call.request.raw_query) if name in ("project_id", "tenant_id")]
    return named[0] if len(named) == 1 and call.store.project.find(named[0]) is not None else None


def _listing(call: Call, find: Any) -> Reply:
    return listing(call, "security_groups", find, view, _FILTERS, _SORTS)


@security_groups.route("GET", "/{id}", policy="get_security_group")
def show(call: Call) -> Reply:
    """One group."""
    record = call.store.security_group.get(call.path["id"], viewer=call.owner)
    return Reply(200, {"security_group": selected(call, view(call, record))})


@security_groups.route(
    "PUT", "/{id}", policy="update_security_group", checked_by_handler=True, body=SecurityGroupChange,
    key="security_group",
)  # fmt: skip
def update(call: Call) -> Reply:
    """Change fields. Whether it is stateful changes only while no port is in it."""
    record = for_change(call, call.store.security_group, "update_security_group")
    values = given(call.body)
    truths(values, "stateful")
    _refuse_default(values)
    if record.is_default and "name" in values:
        raise Conflict(
            "Updating default security group not allowed: it keeps its name.", kind="SecurityGroupCannotUpdateDefault"
        )
    if values.get("stateful", record.stateful) != record.stateful:
        call.store.security_group.refuse_in_use(record.id)
    changed = call.store.security_group.change(record, values, call.now)
    return Reply(200, {"security_group": view(call, changed)})


@security_groups.route("DELETE", "/{id}", policy="delete_security_group", checked_by_handler=True)
def delete(call: Call) -> Reply:
    """Delete a group that no port is in, with its rules and those that name it."""
    record = for_change(call, call.store.security_group, "delete_security_group")
    call.store.security_group.refuse_in_use(record.id)
    if record.is_default and not call.is_admin:
        raise Conflict(
            "Insufficient rights for removing default security group: an administrator may, once the project is gone.",
            kind="SecurityGroupCannotRemoveDefault",
        )
    call.store.security_group.delete(record, call.now)
    return Reply(204)


def view(call: Call, record: SecurityGroup) -> dict[str, Any]:
    """A group as the caller sees it."""
    return {
        **standard(record),
        "stateful": record.stateful,
        "shared": record.shared,
        "security_group_rules": [rule_view(call, each) for each in record.rules],
    }
