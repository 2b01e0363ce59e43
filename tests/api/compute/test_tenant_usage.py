"""What projects used over a span of time."""

from datetime import timedelta
from typing import Any

import pytest

from tests.api.cloud import ApiCloud
from tests.api.compute.conftest import at
from tests.api.compute.estate import NOW, put, server

USAGE = "/compute/v2.1/os-simple-tenant-usage"
DAY = {"start": "2026-01-02T00:00:00", "end": "2026-01-03T00:00:00"}
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0)


@pytest.fixture
def used(cloud: ApiCloud) -> ApiCloud:
    demo, other = cloud.project_id("demo"), cloud.project_id("other")
    put(
        cloud.database,
        server("whole-day", demo, launched_at=MIDNIGHT - timedelta(days=9)),
        server("six-hours", demo, launched_at=MIDNIGHT, deleted_at=MIDNIGHT + timedelta(hours=6)),
        server("the-day-before", demo, launched_at=MIDNIGHT - timedelta(days=1), deleted_at=MIDNIGHT),
        server("never-ran", demo, launched_at=None),
        server("another", other, launched_at=MIDNIGHT + timedelta(hours=23)),
    )
    return cloud


def test_usage_is_size_times_hours_within_the_span(used: ApiCloud) -> None:
    demo = used.project_id("demo")
    usage = used.reader.get(f"{USAGE}/{demo}", **DAY).body["tenant_usage"]
    assert (usage["tenant_id"], usage["start"], usage["stop"]) == (
        demo,
        "2026-01-02T00:00:00.000000",
        "2026-01-03T00:00:00.000000",
    )
    assert usage["total_hours"] == 30
    assert usage["total_vcpus_usage"] == 60
    assert usage["total_memory_mb_usage"] == 30 * 512
    assert usage["total_local_gb_usage"] == 30 * 12
    by_name = {each["name"]: each for each in usage["server_usages"]}
    assert {name: each["hours"] for name, each in by_name.items()} == {"whole-day": 24, "six-hours": 6}
    ended = by_name["six-hours"]
    assert (ended["state"], ended["uptime"], ended["flavor"], ended["vcpus"]) == ("terminated", 6 * 3600, "small", 2)
    assert (by_name["whole-day"]["state"], by_name["whole-day"]["ended_at"]) == ("active", None)


def test_administrators_see_every_project(used: ApiCloud) -> None:
    plain = used.admin.get(USAGE, **DAY).body["tenant_usages"]
    hours = {each["tenant_id"]: each["total_hours"] for each in plain}
    assert hours == {used.project_id("demo"): 30, used.project_id("other"): 1}
    assert "server_usages" not in plain[0]
    assert "server_usages" in used.admin.get(USAGE, **DAY, detailed=1).body["tenant_usages"][0]
    assert used.member.get(USAGE).status == 403
    assert used.member.get(f"{USAGE}/{used.project_id('other')}").status == 403


def test_a_project_that_used_nothing_shows_zeros(used: ApiCloud) -> None:
    nothing = used.admin.get(f"{USAGE}/nobody", **DAY).body["tenant_usage"]
    assert (nothing["total_hours"], nothing["total_vcpus_usage"], nothing["server_usages"]) == (0, 0, [])


def test_usage_comes_in_pages_from_2_40_on(used: ApiCloud) -> None:
    admin = at(used.admin, "2.40")
    seen: list[str] = []
    answer = admin.get(USAGE, **DAY, detailed=1, limit=2)
    while True:
        seen += [one["name"] for each in answer.body["tenant_usages"] for one in each["server_usages"]]
        if "tenant_usages_links" not in answer.body:
            break
        answer = admin.get(answer.body["tenant_usages_links"][0]["href"].partition("cloud.test")[2])
    assert sorted(seen) == ["another", "six-hours", "whole-day"]
    assert admin.get(USAGE, marker="gone").status == 400


@pytest.mark.parametrize("query", [{"start": "yesterday"}, {"start": "2026-01-03", "end": "2026-01-02"}])
def test_a_span_that_is_none_is_refused(used: ApiCloud, query: dict[str, Any]) -> None:
    assert used.admin.get(USAGE, **query).status == 400


def test_a_list_takes_one_statement_however_long(used: ApiCloud) -> None:
    used.admin.get(USAGE)
    before = used.admin.get(USAGE, **DAY, detailed=1).statements
    put(used.database, *(server(f"more-{n}", used.project_id("demo"), launched_at=MIDNIGHT) for n in range(20)))
    after = used.admin.get(USAGE, **DAY, detailed=1)
    assert sum(len(each["server_usages"]) for each in after.body["tenant_usages"]) == 23
    assert after.statements == before
