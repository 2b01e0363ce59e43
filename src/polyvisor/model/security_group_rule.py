"""What a security group rule may say: its checks, the one form in which it is kept, and when two rules are the same."""

from collections.abc import Iterable
from datetime import datetime
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Any
from uuid import UUID, uuid5

import msgspec

from polyvisor.model.errors import Conflict, Invalid
from polyvisor.model.security_group import DefaultSecurityGroupRule, SecurityGroup, SecurityGroupRule

PROTOCOLS = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "icmp": 1, "igmp": 2, "ip": 0, "ipip": 4,
    "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "icmpv6": 58, "ipv6-nonxt": 59, "ipv6-opts": 60,
    "ipv6-route": 43, "ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136,
    "vrrp": 112,
}  # fmt: skip
"""Protocols by Neutron's names; "icmpv6" is an older name of "ipv6-icmp"."""
_WITH_PORTS = frozenset(PROTOCOLS[name] for name in ("tcp", "udp", "sctp", "dccp", "udplite"))
_ICMP = frozenset((PROTOCOLS["icmp"], PROTOCOLS["ipv6-icmp"]))
_IPV6_ONLY = frozenset(number for name, number in PROTOCOLS.items() if name.startswith("ipv6-"))
ETHERTYPES = ("IPv4", "IPv6")
PARENT = "PARENT"
"""The remote group of a default rule that stands for the group which begins with it."""
_OF_FIRST_RULES = UUID("5f1d7f0c-3f0e-5d53-8f0d-0b7f8a3a6c52")
_WHOLE_RANGE = (1, 65_535)
_EVERYWHERE = ("0.0.0.0/0", "::/0")


def protocol_number(protocol: str | None) -> int | None:
    """The number of a rule's protocol; None = all protocols."""
    if protocol is None:
        return None
    number = PROTOCOLS.get(protocol)
    return int(protocol) if number is None else number


# From the words of a request to a rule's


def protocol_of(value: Any) -> str | None:
    """A protocol by name, or by number as text; None = all. Raises Invalid."""
    if value is None or value == "any":
        return None
    if isinstance(value, str) and value.lower() in PROTOCOLS:
        return value.lower()
    number = _number(value, most=255)
    if number is not None:
        return str(number)
    raise Invalid(
        f"Security group rule protocol {_told(value)} not supported. Only protocol values "
        f"{', '.join(['any', *PROTOCOLS])} and integer representations [0 to 255] are supported.",
        kind="SecurityGroupRuleInvalidProtocol",
    )


def ethertype_of(value: Any) -> str:
    """ "IPv4" or "IPv6", whatever the case of its letters. Raises Invalid."""
    for ethertype in ETHERTYPES:
        if isinstance(value, str) and value.lower() == ethertype.lower():
            return ethertype
    raise Invalid(
        f"Security group rule for ethertype '{_told(value)}' not supported. "
        f"Allowed values are {' and '.join(ETHERTYPES)}.",
        kind="SecurityGroupRuleInvalidEtherType",
    )


def port_of(value: Any) -> int | None:
    """A port, or an ICMP type or code; None where none is given. Raises Invalid."""
    if value is None:
        return None
    number = _number(value, most=_WHOLE_RANGE[1])
    if number is not None:
        return number
    raise Invalid(
        f"Invalid value for port {_told(value)}: a number from 0 to 65535 is expected.",
        kind="SecurityGroupInvalidPortValue",
    )


def _number(value: Any, most: int) -> int | None:
    """A number from 0 to `most`, at most of five digits, that comes as a number or as text; else None."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6:
        value = int(value)
    # A boolean is an integer to Python, and to nobody else.
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most else None


def _told(value: Any) -> str:
    """A value in a sentence, however long it is."""
    return f"{value}"[:64]


def prefix_of(value: Any) -> str | None:
    """An address with its prefix length, as it was given; None where none is. Raises Invalid."""
    if value is None or value == "":
        return None
    return _interface(value).with_prefixlen


def _interface(value: Any) -> IPv4Interface | IPv6Interface:
    try:
        found = ip_interface(value if isinstance(value, str) else "")
    except ValueError:
        found = None
    if found is None or "%" in str(value):
        raise Invalid(
            f"Invalid CIDR {_told(value)} given as IP prefix: such as 192.0.2.0/24 or 2001:db8::/32 is expected.",
            kind="InvalidCIDR",
        )
    return found


# Whether the words go together


def checked(rule: SecurityGroupRule) -> SecurityGroupRule:
    """The rule in the form in which it is kept. Raises Invalid where its parts contradict each other."""
    rule = _canonical(rule)
    _check_ports(rule)
    interface = None if rule.remote_ip_prefix is None else _interface(rule.remote_ip_prefix)
    if interface is not None and f"IPv{interface.version}" != rule.ethertype:
        raise Invalid(
            f"Conflicting value ethertype {rule.ethertype} for CIDR {rule.remote_ip_prefix}.",
            kind="SecurityGroupRuleParameterConflict",
        )
    if rule.ethertype == "IPv4" and protocol_number(rule.protocol) in _IPV6_ONLY:
        raise Invalid(
            f"Invalid ethertype {rule.ethertype} for protocol {rule.protocol}.",
            kind="SecurityGroupEthertypeConflictWithProtocol",
        )
    if sum(1 for one in (rule.remote_ip_prefix, rule.remote_group_id, rule.remote_address_group_id) if one) > 1:
        raise Invalid(
            "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.",
            kind="SecurityGroupMultipleRemoteEntites",
        )
    return msgspec.structs.replace(rule, normalized_cidr=None if interface is None else str(interface.network))


def _canonical(rule: SecurityGroupRule) -> SecurityGroupRule:
    if rule.ethertype == "IPv6" and protocol_number(rule.protocol) in _ICMP:
        # ICMP of IPv6 has a protocol of its own; it is kept by number where it came by number.
        named = rule.protocol in PROTOCOLS
        rule = msgspec.structs.replace(rule, protocol="ipv6-icmp" if named else str(PROTOCOLS["ipv6-icmp"]))
    if (rule.port_range_min, rule.port_range_max) == _WHOLE_RANGE:
        rule = msgspec.structs.replace(rule, port_range_min=None, port_range_max=None)
    return rule


def _check_ports(rule: SecurityGroupRule) -> None:
    first, last = rule.port_range_min, rule.port_range_max
    if first is None and last is None:
        return
    number = protocol_number(rule.protocol)
    if number is None:
        raise Invalid(
            "Must also specify protocol if port range is given.", kind="SecurityGroupProtocolRequiredWithPorts"
        )
    if number in _ICMP:
        _check_icmp(first, last)
    elif number not in _WITH_PORTS:
        raise Invalid(
            f"Ports cannot be specified for protocol {number}. Ports are only supported for "
            "DCCP, SCTP, TCP, UDP, UDPLITE.",
            kind="SecurityGroupInvalidProtocolForPort",
        )
    elif 0 in (first, last):
        raise Invalid("Invalid value for port 0: ports begin at 1.", kind="SecurityGroupInvalidPortValue")
    elif first is None or last is None or first > last:
        raise Invalid(
            "For TCP/UDP protocols, port_range_min must be <= port_range_max, and both are needed.",
            kind="SecurityGroupInvalidPortRange",
        )


def _check_icmp(kind: int | None, code: int | None) -> None:
    for value, field, name in ((kind, "type", "port_range_min"), (code, "code", "port_range_max")):
        if value is not None and value > 255:
            raise Invalid(
                f"Invalid value for ICMP {field} ({name}) {value}. It must be 0 to 255.",
                kind="SecurityGroupInvalidIcmpValue",
            )
    if kind is None:
        raise Invalid(
            f"ICMP code (port-range-max) {code} is provided but ICMP type (port-range-min) is missing.",
            kind="SecurityGroupMissingIcmpType",
        )


def key_of(rule: SecurityGroupRule) -> tuple[object, ...]:
    """What a rule matches: two rules of one group with the same key are the same rule."""
    prefix = None if rule.remote_ip_prefix in _EVERYWHERE else rule.remote_ip_prefix
    return (
        rule.direction,
        rule.ethertype,
        protocol_number(rule.protocol),
        rule.port_range_min,
        rule.port_range_max,
        prefix,
        rule.remote_group_id,
        rule.remote_address_group_id,
    )


def refuse_duplicates(new: list[SecurityGroupRule], known: tuple[SecurityGroupRule, ...]) -> None:
    """Raise Conflict where one of `new` is there already, among them or among `known`, the rules of their group."""
    keys = {key_of(rule) for rule in new}
    if len(keys) < len(new):
        raise Conflict("Duplicate Security Group Rule in POST.", kind="DuplicateSecurityGroupRuleInPost")
    for rule in known:
        if key_of(rule) in keys:
            raise Conflict(f"Security group rule already exists. Rule id is {rule.id}.", kind="SecurityGroupRuleExists")


def rule_of(
    of: DefaultSecurityGroupRule, *, group_id: str, project_id: str, id: str, now: datetime, default: bool
) -> SecurityGroupRule:
    """The rule that a new group has of a default rule. `default`: whether the group is a project's default one."""
    return SecurityGroupRule(
        id=id,
        project_id=project_id,
        description=of.description,
        security_group_id=group_id,
        direction=of.direction,
        ethertype=of.ethertype,
        protocol=of.protocol,
        port_range_min=of.port_range_min,
        port_range_max=of.port_range_max,
        remote_ip_prefix=of.remote_ip_prefix,
        remote_group_id=group_id if of.remote_group_id == PARENT else None,
        belongs_to_default_sg=default,
        created_at=now,
        updated_at=now,
    )


def first_rules(group: SecurityGroup, of: Iterable[DefaultSecurityGroupRule]) -> list[SecurityGroupRule]:
    """The rules that a new group begins with. Their ids follow from the group's and the default rules', so that two
    requests which make one group make the same rules."""
    made = [
        checked(
            rule_of(
                each,
                group_id=group.id,
                project_id=group.project_id,
                id=str(uuid5(_OF_FIRST_RULES, f"{group.id}/{each.id}")),
                now=group.created_at,
                default=group.is_default,
            )
        )
        for each in of
    ]
    return sorted(made, key=lambda rule: rule.id)


def key_of_default(rule: DefaultSecurityGroupRule) -> tuple[object, ...]:
    """What rules that are made of a default rule match."""
    made = rule_of(rule, group_id=PARENT, project_id="", id=rule.id, now=rule.created_at, default=False)
    return key_of(made)


def neutrons_rules(now: datetime) -> list[DefaultSecurityGroupRule]:
    """What groups begin with as long as nobody says otherwise: all the way out, and a project's default group in from
    itself."""
    return [
        DefaultSecurityGroupRule(
            id=str(uuid5(_OF_FIRST_RULES, f"{direction} {ethertype}")),
            project_id="",
            description=f"Legacy default SG rule for {direction} traffic",
            direction=direction,
            ethertype=ethertype,
            remote_group_id=PARENT if direction == "ingress" else None,
            used_in_default_sg=True,
            used_in_non_default_sg=direction == "egress",
            created_at=now,
            updated_at=now,
        )
        for direction in ("egress", "ingress")
        for ethertype in ETHERTYPES
    ]
