"""Addresses of networks: how many there are, and how many are in use."""

from tests.api.cloud import ApiCloud
from tests.api.network.calls import BASE, make, refused

PATH = f"{BASE}/network-ip-availabilities"


def test_addresses_are_counted_by_network_and_subnet(cloud: ApiCloud) -> None:
    one = make(cloud.member, "network", name="one")["id"]
    make(cloud.member, "network", name="empty")
    four = make(cloud.member, "subnet", network_id=one, ip_version=4, cidr="10.0.0.0/24")["id"]
    make(cloud.member, "subnet", network_id=one, ip_version=6, cidr="fd00::/48")
    for _ in range(3):
        make(cloud.member, "port", network_id=one, fixed_ips=[{"subnet_id": four}])
    shown = cloud.admin.get(f"{PATH}/{one}").body["network_ip_availability"]
    assert (shown["network_name"], shown["used_ips"], shown["total_ips"]) == ("one", 3, 253 + 2**80 - 2)
    [first, second] = sorted(shown["subnet_ip_availability"], key=lambda each: each["ip_version"])
    assert (first["subnet_id"], first["used_ips"], first["total_ips"]) == (four, 3, 253)
    assert (second["used_ips"], second["cidr"]) == (0, "fd00::/48")
    every = cloud.admin.get(PATH)
    assert every.statements == 4, "one is the identity's change counter"
    names = {each["network_name"]: each["used_ips"] for each in every.body["network_ip_availabilities"]}
    assert names == {"one": 3, "empty": 0}
    only = cloud.admin.get(PATH, ip_version=4).body["network_ip_availabilities"]
    assert [(each["network_id"], each["total_ips"]) for each in only] == [(one, 253)]
    refused(cloud.member.get(PATH), 403, "PolicyNotAuthorized")
    refused(cloud.admin.get(f"{PATH}/none"), 404, "NetworkNotFound")
