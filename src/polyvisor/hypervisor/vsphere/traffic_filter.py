"""Traffic rules as vSphere takes and shows them: the filter policy of a distributed port or port group.

Source: VMware's reference of DvsFilterPolicy, DvsTrafficFilterConfig, DvsTrafficRule and DvsIpNetworkRuleQualifier.
Incoming packets are those towards the VM.
"""

import ipaddress
from collections.abc import Sequence
from typing import Any

from pyVmomi import vim

from polyvisor.network.dvs.rule import TrafficRule

AGENT = "dvfilter-generic-vmware"
_KIND = vim.dvs.TrafficRule
_DIRECTIONS = {True: "incomingPackets", False: "outgoingPackets"}


def filter_policy(rules: Sequence[TrafficRule], key: str | None = None) -> Any:
    """A policy of its own, with these rules in their order; `key`: of the configuration that it replaces.

    Without rules nothing is filtered.
    """
    ruleset = vim.dvs.TrafficRuleset(
        enabled=bool(rules), rules=[_to_vsphere(number, rule) for number, rule in enumerate(rules, 1)]
    )
    config = vim.dvs.DistributedVirtualPort.TrafficFilterConfig(
        inherited=False, key=key, agentName=AGENT, trafficRuleset=ruleset
    )
    return vim.dvs.DistributedVirtualPort.FilterPolicy(inherited=False, filterConfig=[config])


def rules_of(policy: Any) -> tuple[TrafficRule, ...] | None:
    """The rules of a policy of one's own; None where it is inherited, absent, or not of our making."""
    config = _config(policy)
    if config is None or policy.inherited or config.inherited:
        return None
    ruleset = config.trafficRuleset
    if ruleset is None or not ruleset.enabled:
        return ()
    found = [_from_vsphere(rule) for rule in sorted(ruleset.rules or (), key=lambda rule: int(rule.sequence or 0))]
    return tuple(rule for rule in found if rule is not None) if None not in found else None


def key_of(policy: Any) -> str | None:
    """The key of the configuration that a new one replaces."""
    config = _config(policy)
    return str(config.key) if config is not None and not config.inherited and config.key else None


def _config(policy: Any) -> Any:
    found = getattr(policy, "filterConfig", None) or ()
    kind = vim.dvs.DistributedVirtualPort.TrafficFilterConfig
    return next((each for each in found if isinstance(each, kind) and each.agentName == AGENT), None)


def _to_vsphere(number: int, rule: TrafficRule) -> Any:
    qualifier = _KIND.IpQualifier(
        sourceAddress=_address(rule.source),
        destinationAddress=_address(rule.destination),
        protocol=None if rule.protocol is None else vim.IntExpression(negate=False, value=rule.protocol),
        sourceIpPort=_ports(rule.source_ports),
        destinationIpPort=_ports(rule.destination_ports),
    )
    action = _KIND.AcceptAction() if rule.accept else _KIND.DropAction()
    return _KIND(
        description=f"polyvisor {number}", sequence=number, direction=_DIRECTIONS[rule.incoming],
        qualifier=[qualifier], action=action,
    )  # fmt: skip


def _address(cidr: str) -> Any:
    if not cidr:
        return None
    network = ipaddress.ip_network(cidr)
    if network.prefixlen == network.max_prefixlen:
        return vim.SingleIp(negate=False, address=str(network.network_address))
    return vim.IpRange(negate=False, addressPrefix=str(network.network_address), prefixLength=network.prefixlen)


def _ports(ports: tuple[int, int] | None) -> Any:
    if ports is None:
        return None
    if ports[0] == ports[1]:
        return _KIND.SingleIpPort(negate=False, portNumber=ports[0])
    return _KIND.IpPortRange(negate=False, startPortNumber=ports[0], endPortNumber=ports[1])


def _from_vsphere(rule: Any) -> TrafficRule | None:
    """None for a rule that none of ours is like."""
    qualifiers: list[Any] = rule.qualifier or []
    if len(qualifiers) != 1 or not isinstance(qualifiers[0], _KIND.IpQualifier):
        return None
    if rule.direction not in _DIRECTIONS.values() or not isinstance(rule.action, _KIND.AcceptAction | _KIND.DropAction):
        return None
    found = qualifiers[0]
    return TrafficRule(
        incoming=rule.direction == _DIRECTIONS[True],
        accept=isinstance(rule.action, _KIND.AcceptAction),
        protocol=None if found.protocol is None else int(found.protocol.value or 0),
        source=_cidr(found.sourceAddress),
        destination=_cidr(found.destinationAddress),
        source_ports=_range(found.sourceIpPort),
        destination_ports=_range(found.destinationIpPort),
    )


def _cidr(address: Any) -> str:
    # A zero may be left out in what is read back: it is the default of these numbers.
    if address is None:
        return ""
    if isinstance(address, vim.SingleIp):
        return str(ipaddress.ip_network(str(address.address)))
    return str(ipaddress.ip_network(f"{address.addressPrefix}/{int(address.prefixLength or 0)}", strict=False))


def _range(ports: Any) -> tuple[int, int] | None:
    if ports is None:
        return None
    if isinstance(ports, _KIND.SingleIpPort):
        return int(ports.portNumber or 0), int(ports.portNumber or 0)
    return int(ports.startPortNumber or 0), int(ports.endPortNumber or 0)
