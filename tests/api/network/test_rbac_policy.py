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
    outside = opened(cloud, network, action="access_as_external", target_tenant="*")
    refused(try_make(cloud.member, "rbac_policy", **outside), 403, "PolicyNotAuthorized")
    refused(try_make(cloud.other, "rbac_policy", **opened(cloud, network)), 404, "NetworkNotFound")
    make(cloud.member, "rbac_policy", **opened(cloud, network))
    onward = opened(cloud, network, to="third")
    assert "do not own" in refused(try_make(cloud.other, "rbac_policy", **onward), 400, "InvalidInput")
    refused(try_make(cloud.member, "rbac_policy", **opened(cloud, network, object_type="router")), 400, "BadRequest")
    refused(try_make(cloud.member, "rbac_policy", **opened(cloud, network, object_id="none")), 404, "NetworkNotFound")


def test_policies_are_seen_by_who_made_them(cloud: ApiCloud) -> None:
    network = make(cloud.member, "network")["id"]
    policy = make(cloud.member, "rbac_policy", **opened(cloud, network))
    for client in (cloud.member, cloud.admin):
        assert listed(client, "rbac_policy", object_id=network) == [policy]
    assert listed(cloud.other, "rbac_policy") == []
    refused(delete(cloud.other, "rbac_policy", policy["id"]), 404, "RbacPolicyNotFound")
    refused(cloud.other.get(f"{BASE}/rbac-policies/{policy['id']}"), 404, "RbacPolicyNotFound")
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


def test_a_member_opens_its_network_for_the_gateways_of_one_project(cloud: ApiCloud) -> None:
    network = make(cloud.member, "network")["id"]
    make(cloud.member, "rbac_policy", **opened(cloud, network, action="access_as_external"))
    assert show(cloud.other, "network", network)["router:external"] is True
    refused(cloud.caller("third", "member").get(f"{BASE}/networks/{network}"), 404, "NetworkNotFound")


def test_whom_a_thing_is_open_to_is_a_part_of_it(cloud: ApiCloud) -> None:
    network = make(cloud.member, "network")["id"]

    def revision() -> int:
        return int(show(cloud.member, "network", network)["revision_number"])

    seen = [revision()]
    policy = make(cloud.member, "rbac_policy", **opened(cloud, network))
    seen.append(revision())
    change(cloud.member, "rbac_policy", policy["id"], target_tenant=cloud.project_id("third"))
    seen.append(revision())
    delete(cloud.member, "rbac_policy", policy["id"])
    seen.append(revision())
    assert seen == sorted(set(seen))


def test_what_is_shared_cannot_be_found_for_a_change(cloud: ApiCloud) -> None:
    made = cloud.member.post(f"{BASE}/address-groups", {"address_group": {"name": "g"}}).body["address_group"]
    make(cloud.member, "rbac_policy", **opened(cloud, made["id"], object_type="address_group"))
    path = f"{BASE}/address-groups/{made['id']}"
    assert cloud.other.get(path).status == 200
    refused(cloud.other.put(path, {"address_group": {"name": "mine"}}), 404, "AddressGroupNotFound")
    refused(cloud.reader.put(path, {"address_group": {"name": "mine"}}), 403, "PolicyNotAuthorized")
    make(cloud.admin, "rbac_policy", **opened(cloud, made["id"], object_type="address_group", target_tenant="*"))
    refused(cloud.other.put(path, {"address_group": {"name": "mine"}}), 403, "PolicyNotAuthorized")


def test_an_address_scope_stays_open_to_those_who_have_pools_in_it(cloud: ApiCloud) -> None:
    scope = make(cloud.member, "address_scope", name="s", ip_version=4)["id"]
    policy = make(cloud.member, "rbac_policy", **opened(cloud, scope, object_type="address_scope"))
    pool = make(cloud.other, "subnetpool", name="p", prefixes=["10.0.0.0/16"], address_scope_id=scope)["id"]
    refused(delete(cloud.member, "rbac_policy", policy["id"]), 409, "RbacPolicyInUse")
    hidden = opened(cloud, pool, to="third", object_type="subnetpool")
    assert "address scope" in refused(try_make(cloud.other, "rbac_policy", **hidden), 400, "InvalidInput")
    make(cloud.other, "rbac_policy", **opened(cloud, pool, to="demo", object_type="subnetpool"))
    grown = change(cloud.other, "subnetpool", pool, prefixes=["10.0.0.0/16", "10.1.0.0/16"])
    refused(grown, 400, "IllegalSubnetPoolAssociationToAddressScope")
    assert delete(cloud.other, "subnetpool", pool).status == 204
    assert delete(cloud.member, "rbac_policy", policy["id"]).status == 204


def test_a_subnet_pool_in_use_stays_open(cloud: ApiCloud) -> None:
    pool = make(cloud.member, "subnetpool", name="p", prefixes=["10.0.0.0/16"], default_prefixlen=24)["id"]
    policy = make(cloud.member, "rbac_policy", **opened(cloud, pool, object_type="subnetpool"))
    network = make(cloud.other, "network")["id"]
    subnet = make(cloud.other, "subnet", network_id=network, subnetpool_id=pool)
    refused(delete(cloud.member, "rbac_policy", policy["id"]), 409, "RbacPolicyInUse")
    assert delete(cloud.other, "subnet", subnet["id"]).status == 204
    assert delete(cloud.member, "rbac_policy", policy["id"]).status == 204
