"""Host aggregates through the API, and the zones they make."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.api.cloud import ApiCloud
from tests.api.compute.conftest import at
from tests.api.compute.estate import host, put

AGGREGATES = "/compute/v2.1/os-aggregates"
ZONES = "/compute/v2.1/os-availability-zone"


def _make(cloud: ApiCloud, name: str, zone: str | None = None) -> int:
    answer = cloud.admin.post(AGGREGATES, {"aggregate": {"name": name, "availability_zone": zone}})
    assert answer.status == 200, answer
    made: int = answer.body["aggregate"]["id"]
    return made


def _do(cloud: ApiCloud, aggregate: int, action: str, argument: Any) -> Any:
    return cloud.admin.post(f"{AGGREGATES}/{aggregate}/action", {action: argument})


def test_an_aggregate_lives_from_create_to_delete(cloud: ApiCloud) -> None:
    put(cloud.database, host("kvm-1"))
    made = _make(cloud, "racks", "a")
    assert _do(cloud, made, "add_host", {"host": "kvm-1"}).status == 200
    assert _do(cloud, made, "set_metadata", {"metadata": {"ssd": "true", "gone": "x"}}).status == 200
    assert _do(cloud, made, "set_metadata", {"metadata": {"gone": None}}).status == 200
    renamed = cloud.admin.put(f"{AGGREGATES}/{made}", {"aggregate": {"name": "shelves"}})
    assert renamed.status == 200
    shown = at(cloud.admin, "2.41").get(f"{AGGREGATES}/{made}").body["aggregate"]
    assert len(shown.pop("uuid")) == 36
    assert shown.pop("created_at") < shown.pop("updated_at")
    assert shown == {
        "id": made,
        "name": "shelves",
        "availability_zone": "a",
        "hosts": ["kvm-1"],
        "metadata": {"ssd": "true", "availability_zone": "a"},
        "deleted": False,
        "deleted_at": None,
    }
    assert "uuid" not in at(cloud.admin, "2.40").get(f"{AGGREGATES}/{made}").body["aggregate"]
    assert cloud.admin.delete(f"{AGGREGATES}/{made}").status == 409
    assert _do(cloud, made, "remove_host", {"host": "kvm-1"}).status == 200
    assert cloud.admin.delete(f"{AGGREGATES}/{made}").status == 200
    assert cloud.admin.get(AGGREGATES).body == {"aggregates": []}


def test_a_list_takes_one_statement_however_long(cloud: ApiCloud) -> None:
    counts = []
    for name in ("a", "b", "c"):
        _make(cloud, name)
        counts.append(cloud.admin.get(AGGREGATES).statements)
    assert len(set(counts)) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x" * 256},
        {"name": ""},
        {"name": "a", "availability_zone": "x" * 256},
        {"name": "a", "availability_zone": ""},
        {"name": "a", "availability_zone": "a:b"},
        {"name": "a", "color": "red"},
        {"availability_zone": "a"},
        {"name": 7},
    ],
)
def test_what_is_wrong_with_an_aggregate_is_told(cloud: ApiCloud, body: dict[str, Any]) -> None:
    answer = cloud.admin.post(AGGREGATES, {"aggregate": body})
    assert answer.status == 400
    assert answer.body["badRequest"]["message"].endswith(".")
    assert cloud.admin.get(AGGREGATES).body == {"aggregates": []}


def test_unknown_aggregates_and_hosts_are_not_found(cloud: ApiCloud) -> None:
    made = _make(cloud, "racks")
    for wrong in ("99", "x", "-1", "9" * 30):
        assert cloud.admin.get(f"{AGGREGATES}/{wrong}").status == 404
    assert _do(cloud, made, "add_host", {"host": "nowhere"}).status == 404
    assert _do(cloud, made, "remove_host", {"host": "nowhere"}).status == 404
    assert _do(cloud, made, "paint", {}).status == 400
    assert _do(cloud, made, "set_metadata", {"metadata": {"availability_zone": "a:b"}}).status == 400
    assert _do(cloud, made, "set_metadata", {"metadata": {"k": "x" * 256}}).status == 400
    assert cloud.admin.put(f"{AGGREGATES}/{made}", {"aggregate": {}}).status == 400


def test_only_administrators_see_aggregates(cloud: ApiCloud) -> None:
    made = _make(cloud, "racks")
    assert cloud.member.get(AGGREGATES).status == 403
    assert cloud.member.delete(f"{AGGREGATES}/{made}").status == 403
    assert cloud.member.post(f"{AGGREGATES}/{made}/action", {"add_host": {"host": "x"}}).status == 403


def test_a_host_in_two_zones_is_refused_and_nothing_changes(cloud: ApiCloud) -> None:
    put(cloud.database, host("kvm-1"))
    first, second = _make(cloud, "one", "a"), _make(cloud, "two", "b")
    _do(cloud, first, "add_host", {"host": "kvm-1"})
    refused = _do(cloud, second, "add_host", {"host": "kvm-1"})
    assert refused.status == 409
    assert "a and b" in refused.body["conflictingRequest"]["message"]
    assert cloud.admin.get(f"{AGGREGATES}/{second}").body["aggregate"]["hosts"] == []


def test_zones_are_those_of_the_hosts(cloud: ApiCloud) -> None:
    put(cloud.database, host("kvm-1"), host("kvm-2", enabled=False), host("kvm-3"))
    made = _make(cloud, "one", "a")
    _do(cloud, made, "add_host", {"host": "kvm-2"})
    listed = cloud.reader.get(ZONES).body["availabilityZoneInfo"]
    assert listed == [
        {"zoneName": "a", "zoneState": {"available": False}, "hosts": None},
        {"zoneName": "nova", "zoneState": {"available": True}, "hosts": None},
    ]


def test_administrators_see_the_hosts_of_zones(cloud: ApiCloud) -> None:
    put(cloud.database, host("kvm-1"))
    with cloud.database.write() as store:
        store.control.start("here", uuid="00000000-0000-4000-8000-000000000001", now=datetime.now(UTC))
    assert cloud.member.get(f"{ZONES}/detail").status == 403
    internal, nova = cloud.admin.get(f"{ZONES}/detail").body["availabilityZoneInfo"]
    assert nova["hosts"]["kvm-1"]["nova-compute"]["available"] is True
    assert internal["zoneName"] == "internal"
    assert sorted(internal["hosts"]["here"]) == ["nova-conductor", "nova-scheduler"]
