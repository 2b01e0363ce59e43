"""What ports let through, put together from the groups that they are in, in a fixed number of statements."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event

from polyvisor.model.port import AddressPair
from polyvisor.model.port_filter import Permit, PortFilter
from polyvisor.model.security_group import AddressGroup, SecurityGroup, SecurityGroupRule
from polyvisor.store.database import Database
from polyvisor.store.port_permit import filters_at, filters_of
from polyvisor.store.store import Store
from tests.databases import with_tables
from tests.operate.networks import put_network, put_port

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = with_tables(database_url)
    yield database
    database.close()


def put_group(store: Store, id: str, *rules: dict[str, Any], stateful: bool = False) -> None:
    """A group with these rules alone."""
    group = SecurityGroup(id=id, project_id="p", name=id, stateful=stateful, created_at=NOW, updated_at=NOW)
    store.security_group.create(group)
    for each in store.security_group.get(id).rules:
        store.security_group_rule.delete(each, NOW)
    made = [
        SecurityGroupRule(
            id=f"{id}-{number}", project_id="p", security_group_id=id, created_at=NOW, updated_at=NOW,
            **{"direction": "ingress", **rule},
        )
        for number, rule in enumerate(rules)
    ]  # fmt: skip
    if made:
        store.security_group_rule.create(group, made, NOW)


def permit(**changes: Any) -> Permit:
    return Permit(**{"ingress": True, "ethertype": "IPv4", "stateful": False, **changes})


def test_a_port_lets_through_what_its_groups_say(database: Database) -> None:
    with database.write() as store:
        network = put_network(store, 1, project_id="p", now=NOW)
        store.address_group.create(
            AddressGroup(
                id="ag", project_id="p", name="ag", addresses=("192.0.2.0/24",), created_at=NOW, updated_at=NOW
            )
        )
        put_group(store, "members")
        put_group(
            store, "web",
            {"protocol": "tcp", "port_range_min": 80, "port_range_max": 81, "remote_ip_prefix": "10.9.0.0/16"},
            {"remote_group_id": "members"},
            {"remote_address_group_id": "ag"},
            {"direction": "egress", "ethertype": "IPv6"},
        )  # fmt: skip
        pair = AddressPair(ip_address="10.0.1.64/28", mac_address="fa:16:3e:00:00:09")
        web = put_port(store, "web-port", network, NOW, security_group_ids=("web",), allowed_address_pairs=(pair,))
        member = put_port(store, "member", network, NOW, security_group_ids=("members",))
        put_port(store, "free", network, NOW, port_security_enabled=False, security_group_ids=())
    with database.read() as store:
        found = filters_of(store, store.port.of_ids(["web-port", "member", "free"]).values())
    assert found.keys() == {"web-port", "member"}
    assert found["member"] == PortFilter(port_id="member", addresses=(member.fixed_ips[0].ip_address,))
    assert found["web-port"].addresses == (web.fixed_ips[0].ip_address, "10.0.1.64/28")
    assert set(found["web-port"].permits) == {
        permit(protocol="tcp", port_range_min=80, port_range_max=81, remotes=("10.9.0.0/16",)),
        permit(remotes=(member.fixed_ips[0].ip_address,)),
        permit(remotes=("192.0.2.0/24",)),
        permit(ingress=False, ethertype="IPv6"),
    }


def test_a_stateful_group_is_told_as_such(database: Database) -> None:
    with database.write() as store:
        network = put_network(store, 1, project_id="p", now=NOW)
        put_group(store, "web", {"protocol": "tcp"}, stateful=True)
        port = put_port(store, "port", network, NOW, security_group_ids=("web",))
        found = filters_of(store, [port])
    assert found["port"].permits == (permit(protocol="tcp", stateful=True),)


def test_the_ports_of_hosts_are_found_in_a_fixed_number_of_statements(database: Database) -> None:
    with database.write() as store:
        network = put_network(store, 1, project_id="p", now=NOW)
        put_group(store, "web", {"remote_group_id": "web"})
        for number in range(6):
            put_port(store, f"port-{number}", network, NOW, security_group_ids=("web",))
        store.port.bind(["port-0", "port-1"], host="one", vif_type="dvs", now=NOW)
        store.port.bind(["port-2"], host="two", vif_type="dvs", now=NOW)
        store.port.bind(["port-3"], host="three", vif_type="ovs", now=NOW)
    statements: list[str] = []
    with database.read() as store:
        event.listen(store.connection, "before_cursor_execute", lambda *given: statements.append(given[2]))
        found = filters_at(store, ["one", "two", "four"])
        assert {host: [each.port_id for each in filters] for host, filters in found.items()} == {
            "one": ["port-0", "port-1"], "two": ["port-2"], "four": [],
        }  # fmt: skip
        assert len(statements) == 3
        assert filters_at(store, []) == {}
        assert len(statements) == 3
