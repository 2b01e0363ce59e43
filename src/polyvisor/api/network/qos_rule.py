"""Rules of QoS policies: limits of bandwidth, and marks; each kind below its policy, and by the rule's id alone."""

from operator import itemgetter
from typing import Any, Literal

import msgspec

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.fields import UNSET, Number, UnsetType, given, invalid, number
from polyvisor.api.network.form import ADMIN, READER, asked, check_revision, listed, selected
from polyvisor.model.errors import NotFound
from polyvisor.model.qos_policy import BANDWIDTH_LIMIT, DSCP_MARKING, DSCP_MARKS, QosPolicy, QosRule

MANAGER = "rule:project_manager_or_admin"
KINDS = (BANDWIDTH_LIMIT, DSCP_MARKING)
_WORDS = {BANDWIDTH_LIMIT: "a limit of bandwidth", DSCP_MARKING: "a DSCP mark"}
_VERBS = {"get": ("See", READER), "create": ("Make", MANAGER), "update": ("Change", MANAGER),
          "delete": ("Delete", MANAGER)}  # fmt: skip
_MOST = 2**31 - 1


def _rules() -> list[Rule]:
    found = [
        Rule(name="get_rule_type", check="@", description="List the kinds of QoS rules."),
        Rule(name="get_rule_type:details", check=ADMIN, description="Show what rules of one kind take."),
    ]
    for kind in KINDS:
        for verb, (word, check) in _VERBS.items():
            what = f"{word} {_WORDS[kind]} of a QoS policy"
            found.append(Rule(name=f"{verb}_policy_{kind}_rule", check=check, description=f"{what}."))
            if verb != "create":
                name = f"{verb}_alias_{kind}_rule"
                found.append(Rule(name=name, check=check, description=f"{what}, by the rule's id alone."))
    return found


RULES = _rules()


class BandwidthLimit(msgspec.Struct, forbid_unknown_fields=True):
    """What makes a limit, in kilobits a second and kilobits."""

    max_kbps: Number
    max_burst_kbps: Number = 0
    direction: Literal["egress", "ingress"] = "egress"


class BandwidthLimitChange(msgspec.Struct, forbid_unknown_fields=True):
    """What of a limit can be changed."""

    max_kbps: Number | UnsetType = UNSET
    max_burst_kbps: Number | UnsetType = UNSET
    direction: Literal["egress", "ingress"] | UnsetType = UNSET


class DscpMarking(msgspec.Struct, forbid_unknown_fields=True):
    """What makes a mark."""

    dscp_mark: Number


class DscpMarkingChange(msgspec.Struct, forbid_unknown_fields=True):
    """What of a mark can be changed."""

    dscp_mark: Number | UnsetType = UNSET


_NEW: dict[str, type[msgspec.Struct]] = {BANDWIDTH_LIMIT: BandwidthLimit, DSCP_MARKING: DscpMarking}
_CHANGE: dict[str, type[msgspec.Struct]] = {BANDWIDTH_LIMIT: BandwidthLimitChange, DSCP_MARKING: DscpMarkingChange}
_SHOWN = {BANDWIDTH_LIMIT: ("max_kbps", "max_burst_kbps", "direction"), DSCP_MARKING: ("dscp_mark",)}


_PARAMETERS: dict[str, list[dict[str, Any]]] = {
    BANDWIDTH_LIMIT: [
        {"parameter_name": "max_kbps", "parameter_type": "range", "parameter_values": {"start": 1, "end": _MOST}},
        {"parameter_name": "max_burst_kbps", "parameter_type": "range", "parameter_values": {"start": 0, "end": _MOST}},
        {"parameter_name": "direction", "parameter_type": "choices", "parameter_values": ["egress", "ingress"]},
    ],
    DSCP_MARKING: [
        {"parameter_name": "dscp_mark", "parameter_type": "choices", "parameter_values": list(DSCP_MARKS)},
    ],
}
"""What rules of each kind take, as Neutron tells it of its drivers."""


def rule_view(rule: QosRule) -> dict[str, Any]:
    """A rule, with the fields of its kind."""
    return {"id": rule.id, **{name: getattr(rule, name) for name in _SHOWN[rule.kind]}}


def _values(body: msgspec.Struct) -> dict[str, Any]:
    values = given(body)
    for name, least in (("max_kbps", 1), ("max_burst_kbps", 0)):
        if name in values:
            values[name] = number(values[name], name, least, _MOST)
    if "dscp_mark" in values:
        values["dscp_mark"] = int(values["dscp_mark"])
        if values["dscp_mark"] not in DSCP_MARKS:
            known = ", ".join(map(str, DSCP_MARKS))
            raise invalid(f"'{values['dscp_mark']}' is not in [{known}], the marks that 'dscp_mark' takes.")
    return values


def _below_policy(call: Call, rule: str) -> QosPolicy:
    policy = call.store.qos_policy.get(call.path["id"], viewer=call.owner)
    call.require(rule, {"project_id": policy.project_id})
    return policy


def _one(call: Call, policy: QosPolicy, kind: str) -> QosRule:
    for each in policy.rules:
        if (each.id, each.kind) == (call.path["rule"], kind):
            return each
    raise NotFound(f"QoS rule {call.path['rule']} for policy {policy.id} could not be found.", kind="QosRuleNotFound")


def _update(call: Call, policy: QosPolicy, kind: str) -> Reply:
    check_revision(call, policy)
    changed = msgspec.structs.replace(_one(call, policy, kind), **_values(call.body))
    call.store.qos_policy.change_rule(policy, changed, call.now)
    return Reply(200, {f"{kind}_rule": rule_view(changed)})


def _delete(call: Call, policy: QosPolicy, kind: str) -> Reply:
    check_revision(call, policy)
    call.store.qos_policy.remove_rule(policy, _one(call, policy, kind), call.now)
    return Reply(204)


def below_policies(kind: str) -> Resource:
    """The rules of one kind, /qos/policies/ID/bandwidth_limit_rules."""
    rules = Resource(f"/qos/policies/{{id}}/{kind}_rules")
    name = f"{kind}_rule"

    @rules.route("POST", policy=f"create_policy_{name}", checked_by_handler=True, body=_NEW[kind], key=name)
    def create(call: Call) -> Reply:
        """A new rule."""
        # Whoever may make no rules at all is told so, even of a policy that is not to be seen.
        call.require(f"create_policy_{name}", {"project_id": call.project_id})
        policy = _below_policy(call, f"create_policy_{name}")
        check_revision(call, policy)
        rule = QosRule(id=call.new_id(), kind=kind, **_values(call.body))
        call.store.qos_policy.add_rule(policy, rule, call.now)
        return Reply(201, {name: rule_view(rule)})

    @rules.route("GET", policy=f"get_policy_{name}", checked_by_handler=True)
    def index(call: Call) -> Reply:
        """The policy's rules of this kind, all on one page: there are two at most. One statement."""
        policy = _below_policy(call, f"get_policy_{name}")
        by = asked(call, {field: field for field in ("id", *_SHOWN[kind])}, ("id", *_SHOWN[kind]))
        found = [rule_view(each) for each in policy.rules if each.kind == kind]
        kept = [each for each in found if all(str(each[field]) in values for field, values in by.filters)]
        for field, way in reversed(by.sort):
            kept.sort(key=itemgetter(field), reverse=way == "desc")
        return listed(call, f"{name}s", msgspec.structs.replace(by, limit=None), kept, [each["id"] for each in kept])

    @rules.route("GET", "/{rule}", policy=f"get_policy_{name}", checked_by_handler=True)
    def show(call: Call) -> Reply:
        """One rule."""
        rule = _one(call, _below_policy(call, f"get_policy_{name}"), kind)
        return Reply(200, {name: selected(call, rule_view(rule))})

    @rules.route(
        "PUT", "/{rule}", policy=f"update_policy_{name}", checked_by_handler=True, body=_CHANGE[kind], key=name
    )
    def update(call: Call) -> Reply:
        """Change a rule."""
        return _update(call, _below_policy(call, f"update_policy_{name}"), kind)

    @rules.route("DELETE", "/{rule}", policy=f"delete_policy_{name}", checked_by_handler=True)
    def delete(call: Call) -> Reply:
        """Delete a rule."""
        return _delete(call, _below_policy(call, f"delete_policy_{name}"), kind)

    return rules


def by_id(kind: str) -> Resource:
    """The same rules by their ids alone, /qos/alias-bandwidth-limit-rules/ID."""
    rules = Resource(f"/qos/alias-{kind.replace('_', '-')}-rules/{{rule}}")
    name = f"{kind}_rule"

    def policy_of(call: Call, rule: str) -> QosPolicy:
        policy = call.store.qos_policy.of_rule(call.path["rule"], call.owner)
        call.require(rule, {"project_id": policy.project_id})
        return policy

    @rules.route("GET", policy=f"get_alias_{name}", checked_by_handler=True)
    def show(call: Call) -> Reply:
        """One rule."""
        rule = _one(call, policy_of(call, f"get_alias_{name}"), kind)
        return Reply(200, {name: selected(call, rule_view(rule))})

    @rules.route("PUT", policy=f"update_alias_{name}", checked_by_handler=True, body=_CHANGE[kind], key=name)
    def update(call: Call) -> Reply:
        """Change a rule."""
        return _update(call, policy_of(call, f"update_alias_{name}"), kind)

    @rules.route("DELETE", policy=f"delete_alias_{name}", checked_by_handler=True)
    def delete(call: Call) -> Reply:
        """Delete a rule."""
        return _delete(call, policy_of(call, f"delete_alias_{name}"), kind)

    return rules


qos_rule_types = Resource("/qos/rule-types")


@qos_rule_types.route("GET", policy="get_rule_type")
def rule_types(call: Call) -> Reply:
    """The kinds of rules."""
    return Reply(200, {"rule_types": [selected(call, {"type": kind}) for kind in KINDS]})


@qos_rule_types.route("GET", "/{kind}", policy="get_rule_type:details")
def rule_type(call: Call) -> Reply:
    """One kind, with what each of its parameters may be."""
    kind = call.path["kind"]
    if kind not in KINDS:
        raise NotFound(f"Rule type {kind[:64]} is not supported: {', '.join(KINDS)} are.", kind="QosRuleTypeNotFound")
    drivers = [{"name": "ovn", "supported_parameters": _PARAMETERS[kind]}]
    return Reply(200, {"rule_type": selected(call, {"type": kind, "drivers": drivers})})


qos_rules = [make(kind) for make in (below_policies, by_id) for kind in KINDS]
