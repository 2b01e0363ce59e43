"""Quotas and limits of projects."""

from typing import Any

import pytest

from polyvisor.model.errors import OverQuota
from tests.api.cloud import ApiCloud
from tests.api.compute.conftest import at
from tests.api.compute.estate import put, server

QUOTAS = "/compute/v2.1/os-quota-sets"
CLASSES = "/compute/v2.1/os-quota-class-sets"
LIMITS = "/compute/v2.1/limits"


@pytest.fixture
def used(cloud: ApiCloud) -> ApiCloud:
    """The project demo has two servers of 2 vCPUs and 512 MiB, and had a third."""
    demo = cloud.project_id("demo")
    first = server("a", demo)
    put(cloud.database, first, server("b", demo), server("gone", demo, deleted_at=first.created_at))
    return cloud


def test_defaults_hold_until_a_project_has_limits_of_its_own(cloud: ApiCloud) -> None:
    demo = cloud.project_id("demo")
    defaults = cloud.member.get(f"{QUOTAS}/{demo}/defaults").body["quota_set"]
    assert cloud.reader.get(f"{QUOTAS}/{demo}").body["quota_set"] == defaults
    assert (defaults["id"], defaults["instances"], defaults["cores"], defaults["ram"]) == (demo, 10, 20, 51_200)
    changed = cloud.admin.put(f"{QUOTAS}/{demo}", {"quota_set": {"cores": 7, "ram": "-1"}})
    assert (changed.status, changed.body["quota_set"]["cores"], changed.body["quota_set"]["ram"]) == (200, 7, -1)
    assert cloud.reader.get(f"{QUOTAS}/{demo}").body["quota_set"] == {**defaults, "cores": 7, "ram": -1}
    assert cloud.admin.delete(f"{QUOTAS}/{demo}").status == 202
    assert cloud.reader.get(f"{QUOTAS}/{demo}").body["quota_set"] == defaults


def test_the_default_class_changes_every_project_without_limits_of_its_own(cloud: ApiCloud) -> None:
    demo, other = cloud.project_id("demo"), cloud.project_id("other")
    cloud.admin.put(f"{QUOTAS}/{demo}", {"quota_set": {"cores": 7}})
    changed = cloud.admin.put(f"{CLASSES}/default", {"quota_class_set": {"cores": 9}})
    assert changed.body["quota_class_set"]["cores"] == 9
    assert cloud.admin.get(f"{CLASSES}/default").body["quota_class_set"]["cores"] == 9
    assert cloud.admin.get(f"{QUOTAS}/{demo}").body["quota_set"]["cores"] == 7
    assert cloud.admin.get(f"{QUOTAS}/{other}").body["quota_set"]["cores"] == 9
    assert cloud.admin.put(f"{CLASSES}/gold", {"quota_class_set": {"cores": 9}}).status == 404
    assert cloud.member.put(f"{CLASSES}/default", {"quota_class_set": {"cores": 9}}).status == 403


def test_usage_is_what_servers_that_are_there_use(used: ApiCloud) -> None:
    demo = used.project_id("demo")
    detail = used.reader.get(f"{QUOTAS}/{demo}/detail").body["quota_set"]
    assert detail["instances"] == {"limit": 10, "in_use": 2, "reserved": 0}
    assert detail["cores"] == {"limit": 20, "in_use": 4, "reserved": 0}
    assert detail["ram"] == {"limit": 51_200, "in_use": 1024, "reserved": 0}


def test_a_limit_below_what_is_used_needs_force(used: ApiCloud) -> None:
    where = f"{QUOTAS}/{used.project_id('demo')}"
    refused = used.admin.put(where, {"quota_set": {"cores": 3}})
    assert refused.status == 400
    assert "4 are in use" in refused.body["badRequest"]["message"]
    assert used.admin.put(where, {"quota_set": {"cores": -1}}).status == 200
    forced = used.admin.put(where, {"quota_set": {"cores": 3, "force": "True"}})
    assert (forced.status, forced.body["quota_set"]["cores"]) == (200, 3)


def test_resources_leave_at_their_microversion(cloud: ApiCloud) -> None:
    where, admin = f"{QUOTAS}/{cloud.project_id('demo')}", cloud.admin
    for resource, last, beyond in (("floating_ips", "2.35", "2.36"), ("injected_files", "2.56", "2.57")):
        assert resource in at(admin, last).get(where).body["quota_set"]
        assert resource not in at(admin, beyond).get(where).body["quota_set"]
        assert at(admin, last).put(where, {"quota_set": {resource: 1}}).body["quota_set"][resource] == 1
        assert at(admin, beyond).put(where, {"quota_set": {resource: 1}}).status == 400


@pytest.mark.parametrize("fields", [{"cores": -2}, {"cores": "x"}, {"cores": 2**31}, {"colors": 1}, {"cores": [1]}])
def test_what_is_wrong_with_a_limit_is_told(cloud: ApiCloud, fields: dict[str, Any]) -> None:
    where = f"{QUOTAS}/{cloud.project_id('demo')}"
    answer = cloud.admin.put(where, {"quota_set": fields})
    assert answer.status == 400
    assert next(iter(fields)) in answer.body["badRequest"]["message"]


def test_quotas_are_those_of_projects_that_there_are(cloud: ApiCloud) -> None:
    assert cloud.admin.put(f"{QUOTAS}/nobody", {"quota_set": {"cores": 1}}).status == 400
    where = f"{QUOTAS}/{cloud.project_id('demo')}"
    assert cloud.admin.get(where, user_id="x").body == cloud.admin.get(where).body
    assert cloud.admin.put(f"{where}?user_id=x", {"quota_set": {"cores": 1}}).status == 400


def test_projects_see_their_own_quotas_and_change_none(cloud: ApiCloud) -> None:
    mine, others = f"{QUOTAS}/{cloud.project_id('demo')}", f"{QUOTAS}/{cloud.project_id('other')}"
    assert cloud.member.get(mine).status == 200
    assert cloud.member.get(others).status == 403
    assert cloud.member.get(f"{others}/detail").status == 403
    assert cloud.member.put(mine, {"quota_set": {"cores": 99}}).status == 403
    assert cloud.member.delete(mine).status == 403


def test_limits_show_what_the_project_may_have_and_has(used: ApiCloud) -> None:
    shown = used.reader.get(LIMITS).body["limits"]
    assert shown["rate"] == []
    absolute = shown["absolute"]
    assert (absolute["maxTotalInstances"], absolute["totalInstancesUsed"]) == (10, 2)
    assert (absolute["maxTotalCores"], absolute["totalCoresUsed"]) == (20, 4)
    assert (absolute["maxTotalRAMSize"], absolute["totalRAMUsed"]) == (51_200, 1024)
    assert (absolute["maxTotalKeypairs"], absolute["maxServerMeta"]) == (100, 128)


def test_limits_of_another_project_are_for_administrators(used: ApiCloud) -> None:
    demo = used.project_id("demo")
    assert used.admin.get(LIMITS, tenant_id=demo).body["limits"]["absolute"]["totalCoresUsed"] == 4
    assert used.admin.get(LIMITS).body["limits"]["absolute"]["totalCoresUsed"] == 0
    assert used.other.get(LIMITS, tenant_id=demo).status == 403


def test_limits_leave_at_their_microversion(cloud: ApiCloud) -> None:
    for name, last, beyond in (
        ("maxSecurityGroups", "2.35", "2.36"),
        ("maxImageMeta", "2.38", "2.39"),
        ("maxPersonality", "2.56", "2.57"),
    ):
        assert name in at(cloud.member, last).get(LIMITS).body["limits"]["absolute"]
        assert name not in at(cloud.member, beyond).get(LIMITS).body["limits"]["absolute"]


def test_a_check_refuses_what_is_too_much_and_says_of_what(used: ApiCloud) -> None:
    demo = used.project_id("demo")
    with used.database.write() as store:
        store.quota.set(demo, {"instances": 3, "cores": -1, "ram": 1536})
    with used.database.write() as store:
        store.quota.check(demo, instances=1, cores=1000, ram=512)
        with pytest.raises(OverQuota, match=r"for ram: 513 more ram asked for, 1024 of 1536 in use"):
            store.quota.check(demo, instances=1, cores=1000, ram=513)
        with pytest.raises(OverQuota, match="for instances, ram"):
            store.quota.check(demo, instances=2, cores=0, ram=1024)
        assert store.quota.most_servers(demo, 5, cores=4, ram=100) == 1
        assert store.quota.most_servers(demo, 5, cores=4, ram=600) == 0


def test_metadata_items_are_counted_per_server(cloud: ApiCloud) -> None:
    demo = cloud.project_id("demo")
    with cloud.database.write() as store:
        store.quota.set(demo, {"metadata_items": 2})
        store.quota.check_items(demo, metadata_items=2)
        with pytest.raises(OverQuota, match="metadata_items"):
            store.quota.check_items(demo, metadata_items=3)
        store.quota.set(demo, {"metadata_items": -1})
        store.quota.check_items(demo, metadata_items=1000)
