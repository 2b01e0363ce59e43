"""Security groups as rules of a filter that knows no connections: what is said, what is opened, what is left out."""

from typing import Any

import pytest

from polyvisor.model.port_filter import Permit, PortFilter
from polyvisor.network.dvs.rule import TrafficRule
from polyvisor.network.dvs.translate import closed, translate

OWN4, OWN6 = "10.0.0.5/32", "fd00::5/128"
REST = tuple(
    TrafficRule(incoming=incoming, accept=False, source=anywhere)
    for incoming in (True, False)
    for anywhere in ("0.0.0.0/0", "::/0")
)


def permit(*, ingress: bool = True, **changes: Any) -> Permit:
    return Permit(**{"ingress": ingress, "ethertype": "IPv4", "stateful": False, **changes})


def rules(*permits: Permit, addresses: tuple[str, ...] = (OWN4,), opening: bool = True) -> list[TrafficRule]:
    """The rules beside those that every port has."""
    found = translate(PortFilter(port_id="p", addresses=addresses, permits=permits), opening=opening).rules
    every = translate(PortFilter(port_id="p", addresses=addresses), opening=opening).rules
    return [rule for rule in found if rule not in every]


def into(source: str, protocol: int | None = None, **ports: Any) -> TrafficRule:
    return TrafficRule(incoming=True, accept=True, protocol=protocol, source=source, **ports)


def out(destination: str, protocol: int | None = None, *, source: str = OWN4, **ports: Any) -> TrafficRule:
    return TrafficRule(incoming=False, accept=True, protocol=protocol, source=source, destination=destination, **ports)


def test_a_stateless_rule_is_said_exactly() -> None:
    web = permit(protocol="tcp", port_range_min=80, port_range_max=81, remotes=("10.1.0.0/16",))
    assert rules(web, opening=False) == [into("10.1.0.0/16", 6, destination_ports=(80, 81))]
    query = permit(ingress=False, protocol="udp", port_range_min=53, port_range_max=53)
    assert rules(query, opening=False) == [out("0.0.0.0/0", 17, destination_ports=(53, 53))]


def test_what_is_not_permitted_is_dropped_last() -> None:
    found = translate(PortFilter(port_id="p", addresses=(OWN4,), permits=(permit(),)), opening=True).rules
    assert found[-4:] == REST
    assert sum(not rule.accept for rule in found) == 6  # and no guest hands out addresses


def test_replies_to_what_a_stateful_group_lets_in_leave_from_the_services_port() -> None:
    ssh = permit(protocol="tcp", port_range_min=22, port_range_max=22, remotes=("10.1.0.0/16",), stateful=True)
    assert rules(ssh) == [
        into("10.1.0.0/16", 6, destination_ports=(22, 22)),
        out("10.1.0.0/16", 6, source_ports=(22, 22)),
    ]


def test_replies_to_what_a_stateful_group_lets_out_come_to_ephemeral_ports() -> None:
    https = permit(ingress=False, protocol="tcp", port_range_min=443, port_range_max=443, stateful=True)
    assert rules(https) == [
        out("0.0.0.0/0", 6, destination_ports=(443, 443)),
        into("0.0.0.0/0", 6, source_ports=(443, 443), destination_ports=(32768, 65535)),
    ]
    everything = permit(ingress=False, stateful=True)
    assert rules(everything) == [
        out("0.0.0.0/0"),
        into("0.0.0.0/0", 6, destination_ports=(32768, 65535)),
        into("0.0.0.0/0", 17, destination_ports=(32768, 65535)),
        into("0.0.0.0/0", 1),
    ]


def test_a_packet_from_an_address_that_is_not_the_ports_is_dropped() -> None:
    sent = [rule for rule in rules(permit(ingress=False), addresses=(OWN4, "10.0.0.64/28")) if not rule.incoming]
    assert [rule.source for rule in sent] == [OWN4, "10.0.0.64/28"]
    assert rules(permit(ingress=False), addresses=()) == []


def test_each_version_of_ip_has_its_own_rules() -> None:
    both = (permit(ethertype="IPv6", remotes=("fd01::/64", "10.1.0.0/16")), permit(ethertype="IPv4"))
    assert rules(*both, addresses=(OWN4, OWN6)) == [into("fd01::/64"), into("0.0.0.0/0")]


def test_neighbours_are_found_by_ports_with_ipv6_alone() -> None:
    def icmp6(addresses: tuple[str, ...]) -> list[bool]:
        found = translate(PortFilter(port_id="p", addresses=addresses), opening=False).rules
        return [rule.incoming for rule in found if rule.protocol == 58]

    assert icmp6((OWN4,)) == []
    assert icmp6((OWN4, OWN6)) == [False, True]


@pytest.mark.parametrize(
    ("protocol", "ethertype", "number"),
    [("icmp", "IPv4", 1), ("icmp", "IPv6", 58), ("gre", "IPv4", 47), ("112", "IPv4", 112), (None, "IPv4", None)],
)
def test_protocols_go_by_their_numbers(protocol: str | None, ethertype: str, number: int | None) -> None:
    (rule,) = rules(permit(protocol=protocol, ethertype=ethertype), addresses=(OWN4,))
    assert rule.protocol == number


def test_members_of_a_group_that_names_nobody_are_nobody() -> None:
    assert rules(permit(remotes=())) == []


def test_neighbouring_members_are_said_together() -> None:
    members = tuple(f"10.0.0.{number}/32" for number in range(4))
    assert rules(permit(remotes=members)) == [into("10.0.0.0/30")]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"protocol": "tcp", "port_range_min": 22, "stateful": True}, "stateful"),
        ({"protocol": "icmp", "port_range_min": 8, "port_range_max": 0}, "names a type"),
    ],
)
def test_what_cannot_be_said_exactly_is_left_out_or_opened(changes: dict[str, Any], sentence: str) -> None:
    asked = permit(**changes)
    strict = translate(PortFilter(port_id="p", addresses=(OWN4,), permits=(asked,)), opening=False)
    assert [sentence in each for each in strict.unsaid] == [True]
    assert rules(asked, opening=False) == []
    assert translate(PortFilter(port_id="p", addresses=(OWN4,), permits=(asked,)), opening=True).unsaid == ()
    assert rules(asked)


def test_a_port_that_nobody_has_told_anything_may_ask_for_an_address_and_nothing_else() -> None:
    accepted = [rule for rule in closed() if rule.accept]
    assert closed()[-4:] == REST
    assert {(rule.source_ports, rule.destination_ports) for rule in accepted} == {
        ((68, 68), (67, 67)), ((67, 67), (68, 68)), ((546, 546), (547, 547)), ((547, 547), (546, 546)),
    }  # fmt: skip
