"""QoS policies: limits and marks of a port, as rules of its switch."""

from collections.abc import Iterator

from polyvisor.model.port import Port
from polyvisor.model.qos_policy import QosRule
from polyvisor.network.backend import Subject
from polyvisor.network.ovn.row import Place, Row, Value
from polyvisor.network.ovn.view import View

PRIORITY = 2002


def rows(view: View, port: Port, subject: Subject) -> Iterator[Row]:
    """A rule each for the policy that the port has, or that its network gives to guests' ports."""
    policy_id = port.qos_policy_id
    if policy_id is None and not port.device_owner.startswith("network:"):
        policy_id = view.records.networks[port.network_id].qos_policy_id
    policy = view.records.qos_policies.get(policy_id) if policy_id else None
    for rule in policy.rules if policy else ():
        yield Row(
            table="QoS",
            key=f"{port.id} {rule.id}",
            subject=subject,
            columns=_columns(port, rule),
            places=(Place(table="Logical_Switch", key=port.network_id, column="qos_rules"),),
        )


def _columns(port: Port, rule: QosRule) -> dict[str, Value]:
    sends = rule.direction == "egress"
    columns: dict[str, Value] = {
        "priority": PRIORITY,
        "direction": "from-lport" if sends else "to-lport",
        "match": f'{"inport" if sends else "outport"} == "{port.id}"',
    }
    if rule.kind == "dscp_marking":
        columns["action"] = {"dscp": rule.dscp_mark}
    else:
        columns["bandwidth"] = {"rate": rule.max_kbps}
        if rule.max_burst_kbps:
            columns["bandwidth"]["burst"] = rule.max_burst_kbps
    return columns
