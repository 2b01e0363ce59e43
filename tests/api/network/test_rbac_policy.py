"""RBAC policies: what they open, to whom, and when they stay."""

from typing import Any

from tests.api.cloud import ApiCloud
from tests.api.network.calls import BASE, change, delete, listed, make, refused, show, try_make


def opened(cloud: ApiCloud, id: str, to: str = "other", **fields: Any) -> dict[str, Any]:
    """A policy by which the project "demo" opens its network."""
    known: dict[str, Any] = {"object_type": "network", "object_id": id, "action": "access_as_shared",
                             "target_tenant": cloud.project_id(to)}  # fmt: skip
    return {**known, **fields}


def test_a_network_is_opened_to_one_project_and_to_no_third(cloud: ApiCloud) -> None:
    network = make(cloud.member, "network")["id"]
    policy = make(cloud.member, "rbac_policy", **opened(cloud, network))
    assert policy["project_id"] == policy["tenant_id"] == cloud.project_id("demo")
    assert show(cloud.other, "network", network)["shared"] is True
    assert show(cloud.member, "network", network)["shared"] is False
    refused(cloud.caller("third", "member").get(f"{BASE}/networks/{network}"), 404, "NetworkNotFound")
    refused(try_make(cloud.member, "rbac_policy", **opened(cloud, network)), 409, "DuplicateRbacPolicy")
    port = make(cloud.other, "port", network_id=network)
    refused(delete(cloud.member, "rbac_policy", policy["id"]), 409, "RbacPolicyInUse")
    elsewhere = {"target_tenant": cloud.project_id("demo")}
    refused(change(cloud.member, "rbac_policy", policy["id"], **elsewhere), 409, "RbacPolicyInUse")
    assert delete(cloud.other, "port", port["id"]).status == 204
    assert delete(cloud.member, "rbac_policy", policy["id"]).status == 204
    refused(cloud.other.get(f"{BASE}/networks/{network}"), 404, "NetworkNotFound")


def test_members_open_what_is_theirs_and_not_to_all(cloud: ApiCloud) -> None:
    network = make(cloud.member, "network")["id"]
    refused(
        try_make(cloud.member, "rbac_policy", **opened(cloud, network, target_tenant="*")), 403, "PolicyNotAuthorized"
    )
    outside = opened(cloud, network, action="access_as_external")
    refused(try_make(cloud.member, "rbac_policy", **outside), 403, "PolicyNotAuthorized")
    refused(try_make(cloud.other, "rbac_policy", **opened(cloud, network)), 404, "NetworkNotFound")
    make(cloud.member, "rbac_policy", **opened(cloud, network))
    onward = opened(cloud, network, to="third")
    refused(try_make(cloud.other, "rbac_policy", **onward), 403, "PolicyNotAuthorized")
    refused(try_make(cloud.member, "rbac_policy", **opened(cloud, network, object_type="router")), 400, "BadRequest")
    refused(try_make(cloud.member, "rbac_policy", **opened(cloud, network, object_id="none")), 404, "NetworkNotFound")


def test_policies_are_seen_by_both_sides(cloud: ApiCloud) -> None:
    network = make(cloud.member, "network")["id"]
    policy = make(cloud.member, "rbac_policy", **opened(cloud, network))
    for client in (cloud.member, cloud.other, cloud.admin):
        assert listed(client, "rbac_policy", object_id=network) == [policy]
    assert listed(cloud.caller("third", "member"), "rbac_policy") == []
    refused(delete(cloud.other, "rbac_policy", policy["id"]), 403, "PolicyNotAuthorized")
    refused(cloud.caller("third", "member").get(f"{BASE}/rbac-policies/{policy['id']}"), 404, "RbacPolicyNotFound")
    assert listed(cloud.member, "rbac_policy", target_tenant="*") == []


def test_sharing_with_all_is_a_policy_too(cloud: ApiCloud) -> None:
    network = make(cloud.admin, "network", shared=True)["id"]
    [policy] = listed(cloud.admin, "rbac_policy", object_id=network)
    assert (policy["target_tenant"], policy["action"]) == ("*", "access_as_shared")
    assert delete(cloud.admin, "rbac_policy", policy["id"]).status == 204
    assert show(cloud.admin, "network", network)["shared"] is False
    assert listed(cloud.member, "network") == []


def test_a_network_opened_for_gateways_is_external(cloud: ApiCloud) -> None:
    network = make(cloud.admin, "network")["id"]
    wanted = opened(cloud, network, to="demo", action="access_as_external")
    make(cloud.admin, "rbac_policy", **wanted)
    assert show(cloud.member, "network", network)["router:external"] is True
    refused(cloud.other.get(f"{BASE}/networks/{network}"), 404, "NetworkNotFound")


def test_a_subnet_pool_in_use_stays_open(cloud: ApiCloud) -> None:
    pool = make(cloud.member, "subnetpool", name="p", prefixes=["10.0.0.0/16"], default_prefixlen=24)["id"]
    policy = make(cloud.member, "rbac_policy", **opened(cloud, pool, object_type="subnetpool"))
    network = make(cloud.other, "network")["id"]
    subnet = make(cloud.other, "subnet", network_id=network, subnetpool_id=pool)
    refused(delete(cloud.member, "rbac_policy", policy["id"]), 409, "RbacPolicyInUse")
    assert delete(cloud.other, "subnet", subnet["id"]).status == 204
    assert delete(cloud.member, "rbac_policy", policy["id"]).status == 204
