"""Services: nova-compute of each host, and the control processes'."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from polyvisor.model.agent import Agent, AgentPlace
from polyvisor.model.held_place import HeldPlace
from polyvisor.model.host import HostState
from tests.api.cloud import ApiCloud
from tests.api.compute.conftest import at
from tests.api.compute.estate import host, put

SERVICES = "/compute/v2.1/os-services"


@pytest.fixture
def hosts(cloud: ApiCloud) -> ApiCloud:
    put(
        cloud.database,
        host("kvm-1"),
        host("kvm-2", servers=1, state=HostState.DOWN, state_reason="It does not answer."),
    )
    with cloud.database.write() as store:
        store.control.start("here", uuid="00000000-0000-4000-8000-000000000001", now=datetime.now(UTC))
        ago = datetime.now(UTC) - timedelta(hours=1)
        store.control.start("there", uuid="00000000-0000-4000-8000-000000000002", now=ago)
    return cloud


def _services(cloud: ApiCloud, version: str = "2.53", **query: Any) -> list[dict[str, Any]]:
    answer = at(cloud.admin, version).get(SERVICES, **query)
    assert answer.status == 200, answer
    found: list[dict[str, Any]] = answer.body["services"]
    return found


def _id(cloud: ApiCloud, name: str, version: str = "2.53", binary: str = "nova-compute") -> Any:
    [found] = _services(cloud, version, host=name, binary=binary)
    return found["id"]


def test_services_tell_the_state_of_hosts_and_processes(hosts: ApiCloud) -> None:
    told = {(each["host"], each["binary"]): (each["state"], each["disabled_reason"]) for each in _services(hosts)}
    assert told == {
        ("kvm-1", "nova-compute"): ("up", None),
        ("kvm-2", "nova-compute"): ("down", "It does not answer."),
        ("here", "nova-conductor"): ("up", None),
        ("here", "nova-scheduler"): ("up", None),
        ("there", "nova-conductor"): ("down", None),
        ("there", "nova-scheduler"): ("down", None),
    }
    assert {each["zone"] for each in _services(hosts)} == {"nova", "internal"}
    assert len({each["id"] for each in _services(hosts)}) == 6
    assert len({each["id"] for each in _services(hosts, "2.1")}) == 6


def test_fields_begin_at_their_microversion(hosts: ApiCloud) -> None:
    assert "forced_down" not in _services(hosts, "2.10")[0]
    assert _services(hosts, "2.11")[0]["forced_down"] is False
    assert isinstance(_services(hosts, "2.52")[0]["id"], int)
    assert len(_services(hosts, "2.53")[0]["id"]) == 36


def test_a_host_is_disabled_and_enabled_by_name(hosts: ApiCloud) -> None:
    named = {"host": "kvm-1", "binary": "nova-compute"}
    off = hosts.admin.put(f"{SERVICES}/disable", named)
    assert off.body == {"service": {**named, "status": "disabled"}}
    why = hosts.admin.put(f"{SERVICES}/disable-log-reason", {**named, "disabled_reason": "new disks"})
    assert why.body == {"service": {**named, "status": "disabled", "disabled_reason": "new disks"}}
    [shown] = _services(hosts, host="kvm-1")
    assert (shown["status"], shown["disabled_reason"]) == ("disabled", "new disks")
    on = hosts.admin.put(f"{SERVICES}/enable", named)
    assert on.body == {"service": {**named, "status": "enabled"}}
    [shown] = _services(hosts, host="kvm-1")
    assert (shown["status"], shown["disabled_reason"]) == ("enabled", None)


def test_a_host_is_changed_by_id_from_2_53_on(hosts: ApiCloud) -> None:
    admin, where = at(hosts.admin, "2.53"), f"{SERVICES}/{_id(hosts, 'kvm-1')}"
    off = admin.put(where, {"status": "disabled", "disabled_reason": "new disks"})
    assert (off.status, off.body["service"]["status"], off.body["service"]["disabled_reason"]) == (
        200,
        "disabled",
        "new disks",
    )
    assert admin.put(where, {"status": "enabled"}).body["service"]["disabled_reason"] is None
    assert admin.put(where, {"status": "enabled", "disabled_reason": "x"}).status == 400
    assert admin.put(where, {"status": "tired"}).status == 400
    assert admin.put(where, {}).status == 400
    assert admin.put(f"{SERVICES}/{_id(hosts, 'here', binary='nova-scheduler')}", {"status": "disabled"}).status == 400
    assert admin.put(f"{SERVICES}/00000000-0000-4000-8000-00000000ffff", {"status": "disabled"}).status == 404
    assert admin.put(f"{SERVICES}/disable", {"status": "disabled"}).status == 404


def test_a_host_that_is_forced_down_stays_down_whatever_it_reports(hosts: ApiCloud) -> None:
    admin, where = at(hosts.admin, "2.53"), f"{SERVICES}/{_id(hosts, 'kvm-1')}"
    down = admin.put(where, {"forced_down": True}).body["service"]
    assert (down["state"], down["forced_down"]) == ("down", True)
    _report(hosts, "kvm-1")
    assert _services(hosts, host="kvm-1")[0]["state"] == "down"
    named = {"host": "kvm-1", "binary": "nova-compute", "forced_down": False}
    assert at(hosts.admin, "2.11").put(f"{SERVICES}/force-down", named).body == {"service": named}
    _report(hosts, "kvm-1")
    assert _services(hosts, host="kvm-1")[0]["state"] == "up"
    assert at(hosts.admin, "2.10").put(f"{SERVICES}/force-down", named).status == 404


def _report(cloud: ApiCloud, name: str) -> None:
    with cloud.database.write() as store:
        known = store.host.get(name)
        store.host.save_report(name, known.report, known.place, datetime.now(UTC))


def test_unknown_services_are_not_found(hosts: ApiCloud) -> None:
    for body, status in (
        ({"host": "nowhere", "binary": "nova-compute"}, 404),
        ({"host": "here", "binary": "nova-scheduler"}, 400),
        ({"host": "kvm-1"}, 400),
        ({"host": "kvm-1", "binary": "nova-compute", "color": "red"}, 400),
        ({"host": "x" * 256, "binary": "nova-compute"}, 400),
    ):
        assert hosts.admin.put(f"{SERVICES}/disable", body).status == status
    for wrong in ("77", "9" * 30, "x"):
        assert hosts.admin.delete(f"{SERVICES}/{wrong}").status == 404
        assert at(hosts.admin, "2.53").delete(f"{SERVICES}/{wrong}").status == 404


def test_only_a_service_that_is_gone_can_be_deleted(hosts: ApiCloud) -> None:
    admin = at(hosts.admin, "2.53")
    assert admin.delete(f"{SERVICES}/{_id(hosts, 'kvm-1')}").status == 409
    assert admin.delete(f"{SERVICES}/{_id(hosts, 'kvm-2')}").status == 409
    with hosts.database.write() as store:
        store.host.down("here", "It has left.")
    left = _id(hosts, "kvm-1", "2.1")
    made = hosts.admin.post("/compute/v2.1/os-aggregates", {"aggregate": {"name": "racks"}}).body["aggregate"]["id"]
    hosts.admin.post(f"/compute/v2.1/os-aggregates/{made}/action", {"add_host": {"host": "kvm-1"}})
    assert hosts.admin.delete(f"{SERVICES}/{left}").status == 204
    assert _services(hosts, host="kvm-1") == []
    assert hosts.admin.get(f"/compute/v2.1/os-aggregates/{made}").body["aggregate"]["hosts"] == []
    assert admin.delete(f"{SERVICES}/{_id(hosts, 'here', binary='nova-scheduler')}").status == 409
    assert admin.delete(f"{SERVICES}/{_id(hosts, 'there', binary='nova-scheduler')}").status == 204
    assert _services(hosts, host="there") == []


def test_a_list_costs_the_same_however_long(hosts: ApiCloud) -> None:
    _services(hosts)
    before = hosts.admin.get(SERVICES).statements
    put(hosts.database, *(host(f"more-{number}") for number in range(20)))
    after = hosts.admin.get(SERVICES)
    assert len(after.body["services"]) == 26
    assert after.statements == before


def test_only_administrators_see_and_change_services(hosts: ApiCloud) -> None:
    assert hosts.member.get(SERVICES).status == 403
    assert hosts.member.put(f"{SERVICES}/disable", {"host": "kvm-1", "binary": "nova-compute"}).status == 403
    assert hosts.member.delete(f"{SERVICES}/1").status == 403
    assert _services(hosts, host="kvm-1")[0]["status"] == "enabled"


@pytest.fixture
def agents(hosts: ApiCloud) -> ApiCloud:
    """Two agents for one place: the first holds it; and one that was not heard of for long."""
    now = datetime.now(UTC)
    with hosts.database.write() as store:
        for number, (name, ago) in enumerate((("one", 1), ("two", 2), ("three", 600))):
            seen = now - timedelta(seconds=ago)
            agent = Agent(
                id=f"{number:032x}", name=name, certificate_serial=str(number), certificate_until=now,
                created_at=seen, seen_at=seen,
            )  # fmt: skip
            store.agent.add(agent)
            store.agent.note_places([AgentPlace(agent_id=agent.id, place="vcenter", seen_at=seen)])
        held = HeldPlace(
            name="vcenter", driver="vsphere", holder="x", agent_id=f"{0:032x}", epoch=1,
            held_until=now + timedelta(minutes=5), seen_at=now,
        )  # fmt: skip
        store.place.add([held])
    return hosts


def test_agents_are_shown_as_active_and_standby(agents: ApiCloud) -> None:
    told = {each["host"]: (each["binary"], each["state"]) for each in _services(agents) if "agent" in each["binary"]}
    assert told == {
        "one": ("polyvisor-agent-active", "up"),
        "two": ("polyvisor-agent-standby", "up"),
        "three": ("polyvisor-agent-standby", "down"),
    }
    for version in ("2.1", "2.10", "2.11", "2.52", "2.53", "2.96"):
        shapes = {frozenset(each) for each in _services(agents, version)}
        assert len(shapes) == 1
        assert len({each["id"] for each in _services(agents, version)}) == 9
        assert {isinstance(each["id"], str) for each in _services(agents, version)} == {version in ("2.53", "2.96")}


def test_an_agent_in_trouble_says_why_and_is_down(agents: ApiCloud) -> None:
    with agents.database.write() as store:
        sentence = "The vCenter does not answer it."
        store.agent.note_places(
            [AgentPlace(agent_id=f"{1:032x}", place="vcenter", seen_at=datetime.now(UTC), trouble=sentence)]
        )
    [two] = _services(agents, host="two")
    assert (two["state"], two["disabled_reason"]) == ("down", "The vCenter does not answer it.")


def test_an_agent_with_several_places_tells_them_apart(agents: ApiCloud) -> None:
    with agents.database.write() as store:
        store.agent.allow(f"{1:032x}", ["another"])
    hosts = {each["host"] for each in _services(agents) if "agent" in each["binary"]}
    assert hosts == {"one", "three", "two/another", "two/vcenter"}


def test_an_agents_service_is_neither_changed_nor_deleted(agents: ApiCloud) -> None:
    id = _id(agents, "one", binary="polyvisor-agent-active")
    client = at(agents.admin, "2.53")
    assert client.put(f"{SERVICES}/{id}", {"status": "disabled"}).status == 400
    refused = client.delete(f"{SERVICES}/{id}")
    assert refused.status == 409
    assert b"polyvisor agents revoke" in refused.content
    named = {"host": "one", "binary": "polyvisor-agent-active"}
    assert at(agents.admin, "2.52").put(f"{SERVICES}/disable", named).status == 400
