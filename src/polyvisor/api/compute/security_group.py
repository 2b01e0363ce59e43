"""Security groups by the Compute API, which tells of the Networking API's in its own words, up to microversion 2.35."""

from typing import Annotated, Any

import msgspec

from polyvisor.api.compute.server_network import NONE_THERE, is_offered
from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.model.errors import Conflict, Invalid
from polyvisor.model.network_list import NetworkList
from polyvisor.model.security_group import SecurityGroup, SecurityGroupRule
from polyvisor.model.security_group_rule import checked, port_of, prefix_of, protocol_of

security_groups = Resource("/os-security-groups")
security_group_rules = Resource("/os-security-group-rules")

POLICY = "os_compute_api:os-security-groups"
_LAST = (2, 35)
_READER, _MEMBER = "rule:project_reader_or_admin", "rule:project_member_or_admin"
RULES = [
    Rule(name=f"{POLICY}:get", check=_READER, description="List security groups, up to 2.35."),
    Rule(name=f"{POLICY}:show", check=_READER, description="Show a security group, up to 2.35."),
    Rule(name=f"{POLICY}:create", check=_MEMBER, description="Make a security group, up to 2.35."),
    Rule(name=f"{POLICY}:update", check=_MEMBER, description="Change a security group, up to 2.35."),
    Rule(name=f"{POLICY}:delete", check=_MEMBER, description="Delete a security group, up to 2.35."),
    Rule(name=f"{POLICY}:rule:create", check=_MEMBER, description="Make a rule of a security group, up to 2.35."),
    Rule(name=f"{POLICY}:rule:delete", check=_MEMBER, description="Delete a rule of a security group, up to 2.35."),
]

_Words = Annotated[str, msgspec.Meta(max_length=255)]


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What makes a group, and all that can be changed of it."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    description: _Words


class NewRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What makes a rule for what comes in. Ports are -1 or null for all."""

    parent_group_id: str
    ip_protocol: str | int | None = None
    from_port: int | str | None = None
    to_port: int | str | None = None
    cidr: str | None = None
    group_id: str | None = None


@security_groups.route("GET", policy=f"{POLICY}:get", writes=True, last=_LAST)
def index(call: Call) -> Reply:
    """The project's groups, its default group among them."""
    if not is_offered(call):
        return Reply(200, {"security_groups": []})
    call.store.security_group.default(call.project_id, call.now)
    own = NetworkList(viewer=call.project_id, filters=(("project_id", (call.project_id,)),), sort=(("name", "asc"),))
    return Reply(200, {"security_groups": views(call, call.store.security_group.list(own))})


@security_groups.route("POST", policy=f"{POLICY}:create", body=Named, key="security_group", last=_LAST)
def create(call: Call) -> Reply:
    """A new group, which lets everything out and nothing in."""
    if not is_offered(call):
        raise Invalid(NONE_THERE)
    _refuse_default(call.body.name)
    record = SecurityGroup(
        id=call.new_id(),
        project_id=call.project_id,
        name=call.body.name,
        description=call.body.description,
        created_at=call.now,
        updated_at=call.now,
    )
    return _one(call, call.store.security_group.create(record))


@security_groups.route("GET", "/{id}", policy=f"{POLICY}:show", last=_LAST)
def show(call: Call) -> Reply:
    """One group."""
    return _one(call, _group(call, call.path["id"]))


@security_groups.route("PUT", "/{id}", policy=f"{POLICY}:update", body=Named, key="security_group", last=_LAST)
def update(call: Call) -> Reply:
    """Another name and description."""
    group = _group(call, call.path["id"])
    if group.is_default:
        raise Invalid("Unable to update system group 'default': it keeps its name.")
    _refuse_default(call.body.name)
    return _one(call, call.store.security_group.change(group, msgspec.structs.asdict(call.body), call.now))


@security_groups.route("DELETE", "/{id}", policy=f"{POLICY}:delete", last=_LAST)
def delete(call: Call) -> Reply:
    """Delete a group that no port is in."""
    group = _group(call, call.path["id"])
    if group.is_default:
        raise Invalid("Unable to delete system group 'default': every project keeps one.")
    try:
        call.store.security_group.delete(group, call.now)
    except Conflict as error:  # Nova's code for it
        raise Invalid(str(error)) from None
    return Reply(202)


@security_group_rules.route(
    "POST", policy=f"{POLICY}:rule:create", body=NewRule, key="security_group_rule", last=_LAST
)  # fmt: skip
def create_rule(call: Call) -> Reply:
    """A new rule for what comes in."""
    group = _group(call, call.body.parent_group_id)
    if call.body.group_id:
        call.store.security_group.get(call.body.group_id, viewer=call.project_id)
    prefix = prefix_of(call.body.cidr)
    rule = checked(
        SecurityGroupRule(
            id=call.new_id(),
            project_id=group.project_id,
            security_group_id=group.id,
            direction="ingress",
            ethertype="IPv6" if prefix and ":" in prefix else "IPv4",
            protocol=protocol_of(call.body.ip_protocol),
            port_range_min=_port(call.body.from_port),
            port_range_max=_port(call.body.to_port),
            remote_ip_prefix=prefix,
            remote_group_id=call.body.group_id or None,
            belongs_to_default_sg=group.is_default,
            created_at=call.now,
            updated_at=call.now,
        )
    )
    call.store.security_group_rule.create(group, [rule], call.now)
    [shown] = views(call, [msgspec.structs.replace(group, rules=(rule,))])
    return Reply(200, {"security_group_rule": shown["rules"][0]})


@security_group_rules.route("DELETE", "/{id}", policy=f"{POLICY}:rule:delete", last=_LAST)
def delete_rule(call: Call) -> Reply:
    """Delete a rule."""
    rule = call.store.security_group_rule.get(call.path["id"], viewer=call.project_id)
    _group(call, rule.security_group_id)
    call.store.security_group_rule.delete(rule, call.now)
    return Reply(202)


def views(call: Call, groups: list[SecurityGroup]) -> list[dict[str, Any]]:
    """Groups as Nova told of them when it had some of its own: with the rules for what comes in. One statement."""
    named = {rule.remote_group_id for group in groups for rule in group.rules if rule.remote_group_id}
    remote = call.store.security_group.of_ids(named) if named else {}
    return [
        {
            "id": group.id,
            "name": group.name,
            "description": group.description,
            "tenant_id": group.project_id,
            "rules": [_rule_view(rule, remote) for rule in group.rules if rule.direction == "ingress"],
        }
        for group in groups
    ]


def _rule_view(rule: SecurityGroupRule, remote: dict[str, SecurityGroup]) -> dict[str, Any]:
    other = remote.get(rule.remote_group_id or "")
    return {
        "id": rule.id,
        "parent_group_id": rule.security_group_id,
        "ip_protocol": rule.protocol,
        "from_port": -1 if rule.port_range_min is None else rule.port_range_min,
        "to_port": -1 if rule.port_range_max is None else rule.port_range_max,
        "group": {} if other is None else {"name": other.name, "tenant_id": other.project_id},
        "ip_range": {"cidr": rule.remote_ip_prefix} if rule.remote_ip_prefix else {},
    }


def _one(call: Call, group: SecurityGroup) -> Reply:
    [shown] = views(call, [group])
    return Reply(200, {"security_group": shown})


def _group(call: Call, id: str) -> SecurityGroup:
    """The project's own group, and none that another project shares with it. Raises NotFound."""
    group = call.store.security_group.get(id, viewer=call.project_id)
    if group.project_id != call.project_id:
        raise call.store.security_group.not_found(id)
    return group


def _refuse_default(name: str) -> None:
    if name.lower() == "default":
        raise Invalid("Security group default already exists: choose another name.")


def _port(value: int | str | None) -> int | None:
    return None if value in (-1, "-1", "") else port_of(value)
