"""Security groups: a port group each, whose ACLs let through what its rules name; one group more drops all else."""

import ipaddress
from collections.abc import Iterator

from polyvisor.model.network_intent import Unit
from polyvisor.model.security_group import SecurityGroupRule
from polyvisor.network.backend import Subject
from polyvisor.network.ovn.address_group import set_name
from polyvisor.network.ovn.row import Place, Row
from polyvisor.network.ovn.view import View

DROP = "drop"
"""The key and, with its prefix, the name of the group that every guarded port is in."""
DROP_GROUP = Subject(unit=Unit.SECURITY_GROUP, id=DROP)
DROP_NAME = "polyvisor_drop"
DROP_PRIORITY = 1001
ALLOW_PRIORITY = 1002
SPOOF_PRIORITY = 1003

# Neutron's names of protocols, with their numbers (IANA).
PROTOCOLS = {
    "ah": 51,
    "dccp": 33,
    "egp": 8,
    "esp": 50,
    "gre": 47,
    "igmp": 2,
    "ipip": 4,
    "ipv6-encap": 41,
    "ipv6-frag": 44,
    "ipv6-nonxt": 59,
    "ipv6-opts": 60,
    "ipv6-route": 43,
    "ospf": 89,
    "pgm": 113,
    "rsvp": 46,
    "udplite": 136,
    "vrrp": 112,
}
_WITH_PORTS = {"tcp": "tcp", "6": "tcp", "udp": "udp", "17": "udp", "sctp": "sctp", "132": "sctp"}
_ICMP = frozenset(("icmp", "1", "icmpv6", "ipv6-icmp", "58"))

# What a guarded port may always send, and what it may never send, whatever its groups say.
_ALWAYS = (
    ("dhcp4", "from-lport", "ip4 && udp.src == 68 && udp.dst == 67"),
    ("dhcp6", "from-lport", "ip6 && udp.src == 546 && udp.dst == 547"),
    ("neighbours-out", "from-lport", "icmp6.type == {130, 131, 132, 133, 135, 136, 143}"),
    ("neighbours-in", "to-lport", "icmp6.type == {130, 131, 132, 134, 135, 136, 143}"),
)
_NEVER = (
    ("dhcp4-server", "from-lport", "ip4 && udp.src == 67 && udp.dst == 68"),
    ("dhcp6-server", "from-lport", "ip6 && udp.src == 547 && udp.dst == 546"),
    ("router", "from-lport", "icmp6.type == 134"),
)


def rows(view: View, subject: Subject) -> Iterator[Row]:
    """A group and its rules."""
    if subject == DROP_GROUP:
        yield from _drop_rows()
        return
    group = view.records.security_groups[subject.id]
    name = group_name(group.id)
    yield Row(table="Port_Group", key=group.id, subject=subject, columns={"name": name})
    for rule in group.rules:
        match = match_of(name, rule)
        if match is not None:
            action = "allow-related" if group.stateful else "allow-stateless"
            yield _acl(subject, group.id, rule.id, (_side(rule), ALLOW_PRIORITY, match, action))


def group_name(group_id: str) -> str:
    """The port group's name: OVN takes letters, digits and "_"."""
    return f"polyvisor_{group_id.replace('-', '_')}"


def match_of(name: str, rule: SecurityGroupRule) -> str | None:
    """What a rule lets through, in OVN's expressions (ovn-sb(5), "Logical_Flow"); None where OVN cannot say it.

    A rule that cannot be said lets nothing through: dccp and udplite by port.
    """
    incoming = rule.direction == "ingress"
    version = "ip4" if rule.ethertype == "IPv4" else "ip6"
    remote = f"{version}.{'src' if incoming else 'dst'}"
    parts = [f"{'outport' if incoming else 'inport'} == @{name}", version]
    if rule.remote_group_id:
        parts.append(f"{remote} == ${group_name(rule.remote_group_id)}_{version}")
    if rule.remote_address_group_id:
        parts.append(f"{remote} == ${set_name(rule.remote_address_group_id, version)}")
    prefix = rule.normalized_cidr or rule.remote_ip_prefix
    if prefix and ipaddress.ip_network(prefix, strict=False).prefixlen:
        parts.append(f"{remote} == {prefix}")
    protocol = _protocol(rule, version)
    if protocol is None:
        return None
    return " && ".join([*parts, *protocol])


def _side(rule: SecurityGroupRule) -> str:
    return "to-lport" if rule.direction == "ingress" else "from-lport"


def _protocol(rule: SecurityGroupRule, version: str) -> list[str] | None:
    asked = rule.protocol
    if asked is None or asked in ("any", "0", "-1"):
        return []
    if asked in _ICMP:
        return _icmp(rule, "icmp4" if version == "ip4" else "icmp6")
    if asked in _WITH_PORTS:
        return _ports(rule, _WITH_PORTS[asked])
    number = PROTOCOLS.get(asked) or (int(asked) if asked.isdecimal() else None)
    if number is None or rule.port_range_min is not None:
        return None
    return [f"ip.proto == {number}"]


def _icmp(rule: SecurityGroupRule, name: str) -> list[str]:
    parts = [name]
    if rule.port_range_min is not None:
        parts.append(f"{name}.type == {rule.port_range_min}")
    if rule.port_range_max is not None:
        parts.append(f"{name}.code == {rule.port_range_max}")
    return parts


def _ports(rule: SecurityGroupRule, name: str) -> list[str]:
    first, last = rule.port_range_min, rule.port_range_max
    if first is None and last is None:
        return [name]
    if first == last:
        return [name, f"{name}.dst == {first}"]
    bounds = [f"{name}.dst >= {first}"] if first is not None else []
    return [name, *bounds, *([f"{name}.dst <= {last}"] if last is not None else [])]


def _acl(subject: Subject, group: str, key: str, said: tuple[str, int, str, str]) -> Row:
    direction, priority, match, action = said
    return Row(
        table="ACL",
        key=key,
        subject=subject,
        columns={"direction": direction, "priority": priority, "match": match, "action": action},
        places=(Place(table="Port_Group", key=group, column="acls"),),
    )


def _drop_rows() -> Iterator[Row]:
    yield Row(table="Port_Group", key=DROP, subject=DROP_GROUP, columns={"name": DROP_NAME})
    of_port = {"from-lport": f"inport == @{DROP_NAME}", "to-lport": f"outport == @{DROP_NAME}"}
    for side, port in of_port.items():
        yield _acl(DROP_GROUP, DROP, f"drop {side}", (side, DROP_PRIORITY, f"{port} && ip", "drop"))
    for key, side, match in _ALWAYS:
        yield _acl(DROP_GROUP, DROP, key, (side, ALLOW_PRIORITY, f"{of_port[side]} && {match}", "allow-related"))
    for key, side, match in _NEVER:
        yield _acl(DROP_GROUP, DROP, key, (side, SPOOF_PRIORITY, f"{of_port[side]} && {match}", "drop"))
