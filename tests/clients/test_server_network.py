"""Servers on networks, as the unmodified `openstack` client makes and shows them."""

import functools
from collections.abc import Iterator

import pytest

from tests.clients.cloud import ADMIN, RunningCloud
from tests.clients.servers import IMAGE, Servers, wait_until


@pytest.fixture
def private(cloud: RunningCloud, servers: Servers) -> Iterator[str]:
    """The member's network, removed once its servers are gone."""
    cloud.openstack("network", "create", "private")
    cloud.openstack("subnet", "create", "--network", "private", "--subnet-range", "10.7.0.0/24", "inside")
    yield "private"
    admin = cloud.sdk(ADMIN).compute
    for server in admin.servers(all_projects=True):
        admin.delete_server(server.id)
    wait_until(lambda: not list(admin.servers(all_projects=True)), "all servers are gone")
    for port in cloud.sdk().network.ports(device_id=""):
        cloud.sdk().network.delete_port(port.id)
    cloud.openstack("network", "delete", "private")


def boot(cloud: RunningCloud, servers: Servers, name: str, *options: str) -> str:
    words = ("server", "create", "--image", IMAGE, "--flavor", "m1.nano", *options, name)
    id = str(cloud.ask(*words)["id"])
    servers.reach(id, "ACTIVE")
    return id


def ports_of(cloud: RunningCloud, id: str) -> list[str]:
    return [port.id for port in cloud.sdk().network.ports(device_id=id)]


def is_out(cloud: RunningCloud, id: str, port: str) -> bool:
    return port not in ports_of(cloud, id)


def test_a_server_has_a_port_on_its_network_and_takes_it_along(
    cloud: RunningCloud, servers: Servers, private: str
) -> None:
    id = boot(cloud, servers, "one", "--network", private)
    [port] = cloud.sdk().network.ports(device_id=id)
    assert (port.network_id, port.device_owner) == (cloud.ask("network", "show", private)["id"], "compute:nova")
    [address] = [each["ip_address"] for each in port.fixed_ips]
    assert cloud.ask("server", "show", "one")["addresses"] == {private: [address]}
    assert [row["Name"] for row in cloud.ask("server", "list", "--ip", f"^{address}$")] == ["one"]
    wait_until(lambda: cloud.sdk().network.get_port(port.id).status == "ACTIVE", "the port is plugged in")
    cloud.openstack("server", "delete", "--wait", "one")
    assert ports_of(cloud, id) == []


def test_the_only_network_is_the_automatic_one(cloud: RunningCloud, servers: Servers, private: str) -> None:
    id = boot(cloud, servers, "automatic")
    assert len(ports_of(cloud, id)) == 1


def test_a_project_without_a_network_is_given_one(cloud: RunningCloud, servers: Servers) -> None:
    id = boot(cloud, servers, "first")
    try:
        [(network, addresses)] = cloud.ask("server", "show", "first")["addresses"].items()
        assert network == "auto_allocated_network"
        assert len(addresses) == 1
        assert boot(cloud, servers, "second")
        assert [row["Name"] for row in cloud.ask("network", "list", "--internal")] == [network], "one for all servers"
    finally:
        cloud.openstack("server", "delete", "--wait", id, "second")
        cloud.openstack("network", "auto", "allocated", "topology", "delete")
    assert cloud.ask("network", "list") == []


def test_ports_are_plugged_in_and_taken_out(cloud: RunningCloud, servers: Servers, private: str) -> None:
    given = str(cloud.ask("port", "create", "--network", private, "given")["id"])
    id = boot(cloud, servers, "changing", "--nic", f"port-id={given}")
    cloud.openstack("server", "add", "network", "changing", private)
    wait_until(lambda: len(ports_of(cloud, id)) == 2, "a second port is there")
    [made] = [port for port in ports_of(cloud, id) if port != given]
    for port in (made, given):
        cloud.openstack("server", "remove", "port", "changing", port)
        wait_until(functools.partial(is_out, cloud, id, port), "the port is out")
    assert [port.id for port in cloud.sdk().network.ports()] == [given]
    cloud.openstack("server", "add", "port", "changing", given)
    wait_until(lambda: ports_of(cloud, id) == [given], "it is in again")
    cloud.openstack("server", "delete", "--wait", "changing")
    assert [port.id for port in cloud.sdk().network.ports()] == [given]


def test_a_servers_ports_are_put_into_security_groups(cloud: RunningCloud, servers: Servers, private: str) -> None:
    boot(cloud, servers, "guarded", "--network", private)
    cloud.openstack("security", "group", "create", "web")
    cloud.openstack("server", "add", "security", "group", "guarded", "web")
    shown = cloud.ask("server", "show", "guarded")["security_groups"]
    assert {group["name"] for group in shown} == {"default", "web"}
    cloud.openstack("server", "remove", "security", "group", "guarded", "web")
    cloud.openstack("security", "group", "delete", "web")
