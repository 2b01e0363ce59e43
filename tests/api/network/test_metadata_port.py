"""The port at which a network's metadata service answers: made with the first subnet that has DHCP."""

from typing import Any

import msgspec
import pytest

from polyvisor.model.network_settings import NetworkSettings
from tests.api.cloud import ApiCloud
from tests.api.network.conftest import SETTINGS

ROOT = "/network/v2.0"


@pytest.fixture
def settings() -> NetworkSettings:
    """Of a cloud whose networks OVN keeps."""
    return msgspec.structs.replace(SETTINGS, backend="ovn")


def make(cloud: ApiCloud, noun: str, **fields: Any) -> dict[str, Any]:
    answer = cloud.member.post(f"{ROOT}/{noun}s", {noun: fields})
    assert answer.status == 201, answer
    made: dict[str, Any] = answer.body[noun]
    return made


def subnet(cloud: ApiCloud, network_id: str, cidr: str, **more: Any) -> dict[str, Any]:
    return make(cloud, "subnet", network_id=network_id, cidr=cidr, **{"ip_version": 4, **more})


def metadata_ports(cloud: ApiCloud, network_id: str) -> list[dict[str, Any]]:
    answer = cloud.admin.get(f"{ROOT}/ports?network_id={network_id}&device_owner=network:distributed")
    assert answer.status == 200, answer
    found: list[dict[str, Any]] = answer.body["ports"]
    return found


def addresses(cloud: ApiCloud, network_id: str) -> list[str]:
    [port] = metadata_ports(cloud, network_id)
    return sorted(each["ip_address"] for each in port["fixed_ips"])


@pytest.fixture
def network_id(cloud: ApiCloud) -> str:
    return str(make(cloud, "network", name="net")["id"])


def test_the_first_subnet_with_dhcp_brings_it_and_the_others_give_it_addresses(
    cloud: ApiCloud, network_id: str
) -> None:
    subnet(cloud, network_id, "10.0.0.0/24", enable_dhcp=False)
    assert metadata_ports(cloud, network_id) == []
    subnet(cloud, network_id, "10.0.1.0/24")
    [port] = metadata_ports(cloud, network_id)
    assert (port["device_id"], port["port_security_enabled"], port["security_groups"]) == (
        f"ovnmeta-{network_id}", False, [],
    )  # fmt: skip
    assert addresses(cloud, network_id) == ["10.0.1.2"]
    subnet(cloud, network_id, "10.0.2.0/24")
    assert addresses(cloud, network_id) == ["10.0.1.2", "10.0.2.2"]
    assert metadata_ports(cloud, network_id)[0]["mac_address"] == port["mac_address"]


def test_dhcp_that_is_turned_off_and_on_takes_the_address_and_brings_it(cloud: ApiCloud, network_id: str) -> None:
    made = subnet(cloud, network_id, "10.0.1.0/24")
    address = f"{ROOT}/subnets/{made['id']}"
    assert cloud.member.put(address, {"subnet": {"enable_dhcp": False}}).status == 200
    assert addresses(cloud, network_id) == []
    assert cloud.member.put(address, {"subnet": {"enable_dhcp": True}}).status == 200
    assert len(addresses(cloud, network_id)) == 1


def test_a_network_of_ipv6_alone_has_it_too(cloud: ApiCloud, network_id: str) -> None:
    subnet(
        cloud, network_id, "2001:db8::/64", ip_version=6, ipv6_ra_mode="slaac", ipv6_address_mode="slaac"
    )  # fmt: skip
    [port] = metadata_ports(cloud, network_id)
    assert all(":" in each["ip_address"] for each in port["fixed_ips"])


def test_a_subnet_without_room_is_made_all_the_same(cloud: ApiCloud, network_id: str) -> None:
    subnet(cloud, network_id, "10.0.1.0/24")
    pool = [{"start": "10.0.2.9", "end": "10.0.2.9"}]
    subnet(cloud, network_id, "10.0.2.0/24", allocation_pools=pool)
    assert addresses(cloud, network_id) == ["10.0.1.2", "10.0.2.9"]
    full = str(make(cloud, "network", name="full")["id"])
    subnet(cloud, full, "10.0.3.0/30", allocation_pools=[], gateway_ip="10.0.3.1")
    assert addresses(cloud, full) == []


def test_it_keeps_no_subnet_and_no_network_from_being_deleted(cloud: ApiCloud, network_id: str) -> None:
    first, second = subnet(cloud, network_id, "10.0.1.0/24"), subnet(cloud, network_id, "10.0.2.0/24")
    assert cloud.member.delete(f"{ROOT}/subnets/{first['id']}").status == 204
    assert addresses(cloud, network_id) == ["10.0.2.2"]
    assert cloud.member.delete(f"{ROOT}/subnets/{second['id']}").status == 204
    assert cloud.member.delete(f"{ROOT}/networks/{network_id}").status == 204
    assert metadata_ports(cloud, network_id) == []


def test_it_counts_for_nobody_s_quota(cloud: ApiCloud, network_id: str) -> None:
    subnet(cloud, network_id, "10.0.1.0/24")
    shown = cloud.member.get(f"{ROOT}/ports")
    assert [port["device_owner"] for port in shown.body["ports"]] == ["network:distributed"]
    assert metadata_ports(cloud, network_id)[0]["project_id"] == ""
