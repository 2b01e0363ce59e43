"""Quotas: shown with what is used, set by administrators, and given back to the defaults."""

from polyvisor.model.network_quota import DEFAULTS
from tests.api.cloud import ApiCloud
from tests.api.network.calls import BASE, make, refused, try_make


def test_a_project_has_the_defaults_until_an_administrator_sets_others(cloud: ApiCloud) -> None:
    project = cloud.project_id("demo")
    path = f"{BASE}/quotas/{project}"
    assert cloud.member.get(path).body == {"quota": DEFAULTS}
    assert cloud.admin.get(f"{BASE}/quotas").body == {"quotas": []}
    refused(cloud.member.put(path, {"quota": {"port": 1}}), 403, "PolicyNotAuthorized")
    changed = cloud.admin.put(path, {"quota": {"port": 1, "subnet": -1, "tenant_id": project}})
    assert changed.body == {"quota": {**DEFAULTS, "port": 1, "subnet": -1}}
    assert cloud.admin.get(f"{BASE}/quotas").body["quotas"] == [
        {"tenant_id": project, "project_id": project, **DEFAULTS, "port": 1, "subnet": -1}
    ]
    assert cloud.member.get(f"{path}/default").body == {"quota": DEFAULTS}
    network = make(cloud.member, "network")["id"]
    make(cloud.member, "port", network_id=network)
    refused(try_make(cloud.member, "port", network_id=network), 409, "OverQuota")
    assert cloud.admin.delete(path).status == 204
    refused(cloud.admin.delete(path), 404, "TenantQuotaNotFound")
    make(cloud.member, "port", network_id=network)


def test_the_details_say_what_is_used(cloud: ApiCloud) -> None:
    network = make(cloud.member, "network")["id"]
    for _ in range(2):
        make(cloud.member, "port", network_id=network)
    for name in ("details", "details.json"):
        answer = cloud.member.get(f"{BASE}/quotas/{cloud.project_id('demo')}/{name}")
        assert answer.body["quota"]["port"] == {"limit": 500, "used": 2, "reserved": 0}
        assert answer.body["quota"]["network"]["used"] == 1
        assert answer.body["quota"]["security_group"]["used"] == 1
        assert answer.statements == 3


def test_quotas_of_others_are_not_shown(cloud: ApiCloud) -> None:
    refused(cloud.other.get(f"{BASE}/quotas/{cloud.project_id('demo')}"), 403, "PolicyNotAuthorized")
    refused(cloud.member.get(f"{BASE}/quotas"), 403, "PolicyNotAuthorized")
    mine = cloud.project_id("demo")
    assert cloud.member.get(f"{BASE}/quotas/tenant").body["tenant"]["tenant_id"] == mine
    assert cloud.member.get(f"{BASE}/quotas/project").body["project"]["project_id"] == mine


def test_a_limit_is_a_number_from_minus_one(cloud: ApiCloud) -> None:
    path = f"{BASE}/quotas/{cloud.project_id('demo')}"
    for limits in ({"port": -2}, {"port": "many"}, {"port": 2**31}, {"colour": 1}):
        refused(cloud.admin.put(path, {"quota": limits}), 400, "BadRequest")


def test_less_than_a_project_has_needs_force(cloud: ApiCloud) -> None:
    path = f"{BASE}/quotas/{cloud.project_id('demo')}"
    for name in ("a", "b"):
        assert cloud.member.post(f"{BASE}/networks", {"network": {"name": name}}).status == 201
    refused = cloud.admin.put(path, {"quota": {"network": 1, "check_limit": True}})
    assert refused.status == 400
    assert "already used 2" in refused.body["NeutronError"]["message"]
    assert cloud.admin.get(path).body["quota"]["network"] == DEFAULTS["network"]
    assert cloud.admin.put(path, {"quota": {"network": 2}}).body["quota"]["network"] == 2
    assert cloud.admin.put(path, {"quota": {"network": 1, "force": True}}).body["quota"]["network"] == 1
    assert cloud.admin.put(path, {"quota": {"network": -1}}).status == 200
