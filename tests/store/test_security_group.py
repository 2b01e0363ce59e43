"""Security groups in the store: with their rules in one statement, and a default group that two may need at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

import msgspec
import pytest
from sqlalchemy import event, insert

from polyvisor.model.errors import Conflict, NotFound
from polyvisor.model.network_intent import Unit
from polyvisor.model.network_list import NetworkList, everything
from polyvisor.model.security_group import SecurityGroup, SecurityGroupRule
from polyvisor.store.database import Database
from polyvisor.store.rbac_policy import rbac_policy
from polyvisor.store.security_group import default_id
from tests.databases import with_tables

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = with_tables(database_url)
    yield database
    database.close()


def group(id: str, project_id: str = "mine", **more: Any) -> SecurityGroup:
    return SecurityGroup(id=id, project_id=project_id, name=id, created_at=NOW, updated_at=NOW, **more)


def rule(id: str, group: SecurityGroup, **more: Any) -> SecurityGroupRule:
    values = {"direction": "ingress", "protocol": "tcp", **more}
    return SecurityGroupRule(
        id=id, project_id=group.project_id, security_group_id=group.id, created_at=NOW, updated_at=NOW, **values
    )


def make(database: Database, *groups: SecurityGroup) -> None:
    with database.write() as store:
        for one in groups:
            store.security_group.create(one)


def touched(database: Database) -> set[str]:
    with database.write() as store:
        due = store.network_intent.due(100)
        store.network_intent.strike_off(due)
    return {one.id for one in due if one.unit is Unit.SECURITY_GROUP}


def test_a_new_group_lets_everything_out_and_nothing_in(database: Database) -> None:
    make(database, group("web"))
    with database.read() as store:
        found = store.security_group.get("web")
    assert sorted((each.direction, each.ethertype, each.remote_group_id) for each in found.rules) == [
        ("egress", "IPv4", None),
        ("egress", "IPv6", None),
    ]
    assert found.stateful
    assert found.rules[0].created_at == NOW
    assert touched(database) == {"web"}


def test_the_default_group_is_made_once_and_lets_its_own_ports_in(database: Database) -> None:
    with database.read() as store:
        assert not store.security_group.has_default("mine")
    with database.write() as store:
        id = store.security_group.default("mine", NOW)
    with database.write() as store:
        assert store.security_group.default("mine", NOW) == id == default_id("mine")
        assert store.security_group.default("other", NOW) != id
        found = store.security_group.get(id)
    assert (found.name, found.is_default) == ("default", True)
    ingress = [each for each in found.rules if each.direction == "ingress"]
    assert {each.ethertype for each in ingress} == {"IPv4", "IPv6"}
    assert {each.remote_group_id for each in ingress} == {id}
    assert all(each.belongs_to_default_sg for each in found.rules)


def test_two_requests_at_once_make_one_default_group(database: Database) -> None:
    together = Barrier(2)

    def need() -> str:
        together.wait(60)
        with database.write() as store:
            return store.security_group.default("mine", NOW)

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(need) for _ in range(2)]
        assert {each.result(60) for each in both} == {default_id("mine")}
    with database.read() as store:
        [found] = store.security_group.list(everything("mine"))
    assert len(found.rules) == 4


def test_a_list_of_groups_with_their_rules_is_one_statement(database: Database) -> None:
    groups = [group(f"g{number}") for number in range(9)]
    make(database, *groups)
    statements: list[str] = []
    with database.read() as store:
        event.listen(store.connection, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
        found = store.security_group.list(NetworkList(viewer="mine", sort=(("name", "desc"),), limit=5))
    assert [each.name for each in found] == ["g8", "g7", "g6", "g5", "g4"]
    assert [len(each.rules) for each in found] == [2] * 5
    assert len(statements) == 1


def test_a_group_is_seen_by_its_project_and_by_those_that_it_is_shared_with(database: Database) -> None:
    make(database, group("web"), group("db", "other"))
    with database.write() as store:
        row = {"id": "p", "project_id": "other", "object_type": "security_group", "object_id": "db",
               "action": "access_as_shared", "target_project": "mine"}  # fmt: skip
        store.connection.execute(insert(rbac_policy), row)
    with database.read() as store:
        assert {(each.id, each.shared) for each in store.security_group.list(everything("mine"))} == {
            ("web", False),
            ("db", True),
        }
        assert [each.id for each in store.security_group.list(everything("other"))] == ["db"]
        assert [each.id for each in store.security_group_rule.list(everything("third"))] == []
        with pytest.raises(NotFound):
            store.security_group.get("web", viewer="other")


def test_a_rule_changes_its_group(database: Database) -> None:
    web = group("web")
    make(database, web)
    touched(database)
    with database.write() as store:
        store.security_group_rule.create(store.security_group.get("web"), [rule("ssh", web, port_range_min=22)], NOW)
    assert touched(database) == {"web"}
    with database.write() as store:
        found = store.security_group.get("web")
        assert found.revision_number == 1
        assert "ssh" in {each.id for each in found.rules}
        store.security_group_rule.delete(store.security_group_rule.get("ssh"), NOW)
    assert touched(database) == {"web"}
    with database.read() as store:
        assert store.security_group.get("web").revision_number == 2
        assert len(store.security_group.get("web").rules) == 2


def test_the_same_rule_twice_is_refused(database: Database) -> None:
    web = group("web")
    make(database, web)
    with database.write() as store:
        found = store.security_group.get("web")
        store.security_group_rule.create(found, [rule("any", web, remote_ip_prefix="0.0.0.0/0")], NOW)
    with database.write() as store:
        found = store.security_group.get("web")
        with pytest.raises(Conflict, match="any") as refused:
            # Everywhere and nowhere said mean the same.
            store.security_group_rule.create(found, [rule("again", web)], NOW)
        assert refused.value.kind == "SecurityGroupRuleExists"
        twins = [rule("one", web, port_range_min=1), rule("two", web, port_range_min=1)]
        with pytest.raises(Conflict) as refused:
            store.security_group_rule.create(found, twins, NOW)
        assert refused.value.kind == "DuplicateSecurityGroupRuleInPost"


def test_a_group_takes_the_rules_that_name_it_along(database: Database) -> None:
    web, db = group("web"), group("db")
    make(database, web, db)
    with database.write() as store:
        store.security_group_rule.create(store.security_group.get("db"), [rule("r", db, remote_group_id="web")], NOW)
    touched(database)
    with database.write() as store:
        store.security_group.delete(store.security_group.get("web"), NOW)
    assert touched(database) == {"web", "db"}
    with database.read() as store:
        assert {each.security_group_id for each in store.security_group_rule.list(everything())} == {"db"}
        assert len(store.security_group.get("db").rules) == 2


def test_a_port_has_groups_that_its_project_sees_and_of_one_kind(database: Database) -> None:
    make(database, group("web"), group("free", stateful=False), group("theirs", "other"))
    with database.write() as store:
        assert store.security_group.of_port(["web", "web"], "mine") == ("web",)
        assert store.security_group.of_port([], "mine") == ()
        assert store.security_group.of_port(["theirs"], None) == ("theirs",)
        with pytest.raises(NotFound, match="theirs"):
            store.security_group.of_port(["web", "theirs"], "mine")
        with pytest.raises(Conflict) as refused:
            store.security_group.of_port(["web", "free"], "mine")
    assert refused.value.kind == "SecurityGroupConflict"


def test_a_change_gives_the_next_revision(database: Database) -> None:
    make(database, group("web"))
    with database.write() as store:
        changed = store.security_group.change(store.security_group.get("web"), {"description": "front"}, NOW)
    with database.read() as store:
        assert store.security_group.get("web") == msgspec.structs.replace(changed)
        assert changed.revision_number == 1
