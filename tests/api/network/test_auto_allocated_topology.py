"""Automatic networks: made once, whole, and only where what they take is there."""

import threading

from tests.api.cloud import ApiCloud
from tests.api.network.calls import BASE, delete, listed, make, refused, show

PATH = f"{BASE}/auto-allocated-topology"


def pools(cloud: ApiCloud) -> None:
    for prefix, size in (("10.64.0.0/16", 26), ("fd00::/48", 64)):
        make(cloud.admin, "subnetpool", name=prefix, prefixes=[prefix], default_prefixlen=size, is_default=True,
             shared=True)  # fmt: skip


def outside(cloud: ApiCloud) -> str:
    network = make(cloud.admin, "network", router__external=True, is_default=True)["id"]
    make(cloud.admin, "subnet", network_id=network, ip_version=4, cidr="203.0.113.0/24")
    id: str = network
    return id


def test_without_a_default_pool_it_says_what_to_do(cloud: ApiCloud) -> None:
    for query in ({}, {"fields": "dry-run"}):
        sentence = refused(cloud.member.get(f"{PATH}/None", **query), 409, "AutoAllocationFailure")
        assert "subnet pool create --default" in sentence
    assert listed(cloud.member, "network") == []


def test_a_project_gets_a_network_with_subnets_behind_a_router(cloud: ApiCloud) -> None:
    pools(cloud)
    external = outside(cloud)
    assert cloud.member.get(f"{PATH}/None", fields="dry-run").body["auto_allocated_topology"]["id"] == "dry-run=pass"
    first = cloud.member.get(f"{PATH}/None").body["auto_allocated_topology"]
    assert first["tenant_id"] == cloud.project_id("demo")
    again = cloud.reader.get(f"{PATH}/{cloud.project_id('demo')}").body["auto_allocated_topology"]
    assert again["id"] == first["id"]
    assert sorted(each["cidr"] for each in listed(cloud.member, "subnet")) == ["10.64.0.0/26", "fd00::/64"]
    [gateway] = listed(cloud.admin, "port", device_owner="network:router_gateway")
    assert gateway["network_id"] == external
    port = make(cloud.member, "port", network_id=first["id"])
    assert len(port["fixed_ips"]) == 2
    refused(cloud.member.delete(f"{PATH}/None"), 409, "NetworkInUse")
    assert show(cloud.member, "port", port["id"]) == port, "a refused deletion leaves all as it was"
    assert delete(cloud.member, "port", port["id"]).status == 204
    assert cloud.member.delete(f"{PATH}/None").status == 204
    assert cloud.member.delete(f"{PATH}/None").status == 204, "there is nothing left to delete"
    assert [each["id"] for each in listed(cloud.admin, "network")] == [external]
    assert listed(cloud.admin, "port") == []


def test_without_a_default_external_network_there_is_no_router(cloud: ApiCloud) -> None:
    pools(cloud)
    made = cloud.member.get(f"{PATH}/None").body["auto_allocated_topology"]["id"]
    assert show(cloud.member, "network", made)["name"] == "auto_allocated_network"
    assert listed(cloud.member, "port") == []
    assert cloud.member.delete(f"{PATH}/None").status == 204


def test_readers_get_what_is_there_and_make_nothing(cloud: ApiCloud) -> None:
    pools(cloud)
    refused(cloud.reader.get(f"{PATH}/None"), 403, "PolicyNotAuthorized")
    refused(cloud.other.get(f"{PATH}/{cloud.project_id('demo')}"), 403, "PolicyNotAuthorized")
    assert listed(cloud.admin, "network") == []


def test_of_many_that_ask_at_once_one_makes_it(cloud: ApiCloud) -> None:
    pools(cloud)
    cloud.member.get(f"{BASE}/networks")
    found: list[str] = []

    def ask() -> None:
        found.append(cloud.member.get(f"{PATH}/None").body["auto_allocated_topology"]["id"])

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1
    assert len(listed(cloud.member, "network")) == 1
